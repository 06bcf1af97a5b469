"""Settings from flags, environment and configuration file, in this order of precedence, and then the defaults.

Whatever is wrong is a UsageError: one line that names where the value came from.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from server.command_line import UsageError, suggestion

from .setting import Setting
from .settings import GROUPS, SETTINGS, Settings

CONFIG_FLAG = "--config"
CONFIG_ENV = "PADDOCK_CONFIG"
TRUE = ("true", "1", "on", "yes", "enabled")
FALSE = ("false", "0", "off", "no", "disabled")

_CONTINUOUS = "batching is always continuous"
_ONE_POOL = "sequences always share one pool"
_NO_PAGE = "there is no web page"
NOT_OURS = {
    "-cb": _CONTINUOUS,
    "--cont-batching": _CONTINUOUS,
    "--jinja": "chat templates are always Jinja",
    "--metrics": "/metrics is always there",
    "--slots": "/slots is always there",
    "-kvu": _ONE_POOL,
    "--kv-unified": _ONE_POOL,
    "--cache-prompt": "prompts are always cached",
    "--no-context-shift": "the context is never shifted",
    "--no-ui": _NO_PAGE,
    "--no-webui": _NO_PAGE,
}
"""Flags of llama-server that Paddock has no use for, and why."""


def settings_of(given: dict[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the parsed flags of `add_settings` ask for, as `vars` gives them. Raises UsageError."""
    notes = {name: value for name, value in given.items() if value is not None}
    positional, config = notes.pop("MODEL", None), notes.pop("config", None) or environment.get(CONFIG_ENV)
    if positional is not None and "model" in notes:
        raise UsageError("MODEL and --model both name a model: give one")
    if positional is not None:
        notes["model"] = [(positional, "MODEL")]
    values = _from_file(Path(config)) if config else {}
    values |= _from_environment(environment)
    for setting in SETTINGS:
        if setting.name in notes:
            values[setting.name] = _from_flags(setting, notes[setting.name])
    if values.get("rope_scale") and values.get("rope_freq_scale"):
        raise UsageError("--rope-scale and --rope-freq-scale both scale positions: give one")
    return _build(values)


# --- flags ---


class _Note(argparse.Action):
    """Collects (text, flag as it was written), as often as it is given. A const is the text, or stands before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        text = self.const if self.nargs == 0 else (self.const or "") + values
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or ()), (text, option_string)])


def add_settings(parser: argparse.ArgumentParser) -> None:
    """MODEL, a flag for every setting, and --config."""
    parser.add_argument("MODEL", nargs="?", help=argparse.SUPPRESS)
    add_flags(parser, GROUPS)


def add_flags(parser: argparse.ArgumentParser, groups: Iterable[str]) -> None:
    """A flag for every setting of these groups, and --config."""
    for title in groups:
        group = parser.add_argument_group(title)
        for setting in (s for s in SETTINGS if s.group == title):
            _add(group, setting)
    other = parser.add_argument_group("Other")
    other.add_argument(CONFIG_FLAG, metavar="FILE", help=f"settings in TOML, as `ctx-size = 4096` [${CONFIG_ENV}]")


def _add(group: Any, setting: Setting) -> None:
    text = f"{setting.help} (default: {default_text(setting)}) [${setting.env}]".replace("%", "%%")
    if setting.flags:
        group.add_argument(*setting.flags, dest=setting.name, metavar=setting.metavar, action=_Note, help=text)
    for value in dict.fromkeys(setting.shorthands.values()):
        flags = [flag for flag, meaning in setting.shorthands.items() if meaning == value]
        stands_for = f"the same as {setting.flags[-1]} {value}" if setting.flags else text
        group.add_argument(*flags, dest=setting.name, action=_Note, nargs=0, const=value, help=stands_for)
    for prefix in dict.fromkeys(setting.prefixed.values()):
        flags = [flag for flag, meaning in setting.prefixed.items() if meaning == prefix]
        text, metavar = f"the same as {setting.flags[-1]} {prefix}{setting.metavar}", setting.metavar
        group.add_argument(*flags, dest=setting.name, metavar=metavar, action=_Note, const=prefix, help=text)


def default_text(setting: Setting) -> str:
    """The default as help and docs show it."""
    if setting.default_text:
        return setting.default_text
    return f"{setting.default:g}" if isinstance(setting.default, float) else str(setting.default)


def _from_flags(setting: Setting, notes: list[tuple[str, str]]) -> Any:
    if setting.repeatable:
        return tuple(item for text, flag in notes for item in _read(setting, text, flag))
    return _read(setting, *notes[-1])


# --- environment and file ---


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for setting in SETTINGS:
        text = environment.get(setting.env)
        if text == "" and setting.secret:  # a Secret that was never filled is not to let everybody in
            raise UsageError(f"{setting.env} is empty: give it a value, or unset it to do without")
        if not text:  # compose files and charts set what they leave open to nothing
            continue
        # Kubernetes sets PADDOCK_PORT=tcp://… in every pod where there is a Service called paddock.
        if setting.name in ("port", "admin_port") and text.startswith("tcp://"):
            continue
        values[setting.name] = _read(setting, text, setting.env)
    return values


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    by_key = {setting.key: setting for setting in SETTINGS}
    values = {}
    for written, value in table.items():
        setting = by_key.get(written.replace("_", "-"))
        where = f"{path}: {written}"
        if setting is None:
            raise UsageError(f"{where} is no setting{suggestion(written.replace('_', '-'), by_key)}")
        values[setting.name] = _from_toml(setting, value, where)
    return values


def _from_toml(setting: Setting, value: Any, where: str) -> Any:
    if isinstance(value, list) and setting.repeatable:
        return tuple(item for text in value for item in _read(setting, str(text), where))
    if isinstance(value, list) and setting.separator:
        return _read(setting, setting.separator.join(map(str, value)), where)
    if isinstance(value, str) or (setting.parse and isinstance(value, int | float)):
        return _read(setting, str(value), where)
    return _check(setting, value, where)


# --- values ---


def _read(setting: Setting, text: str, where: str) -> Any:
    """A setting's value from text."""
    if setting.parse is not None:
        try:
            return _check(setting, setting.parse(text), where, text)
        except ValueError:
            raise _wrong(setting, text, where) from None
    kind = _bare(setting.type)
    if kind is bool:
        lowered = text.lower()
        if lowered not in TRUE + FALSE:
            raise _wrong(setting, text, where)
        return lowered in TRUE
    return _check(setting, text, where, text, lax=kind in (int, float))


def _check(setting: Setting, value: Any, where: str, shown: Any = None, *, lax: bool = False) -> Any:
    try:
        checked = msgspec.convert(value, setting.type, strict=not lax)
    except msgspec.ValidationError:
        raise _wrong(setting, value if shown is None else shown, where) from None
    if isinstance(checked, float) and not math.isfinite(checked):
        raise _wrong(setting, value, where)
    return checked


def _wrong(setting: Setting, value: Any, where: str) -> UsageError:
    given = "" if setting.secret else f", not {value!r}"
    return UsageError(f"{where} must be {setting.expects or _expectation(setting.type)}{given}")


def _bare(hint: Any) -> Any:
    """The type without bounds and without None."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    alternatives = (
        [kind for kind in get_args(hint) if kind is not type(None)] if get_origin(hint) is not Literal else []
    )
    return _bare(alternatives[0]) if len(alternatives) == 1 and get_origin(hint) is not tuple else hint


def _expectation(hint: Any) -> str:
    """What a type takes, in words: "a whole number from 0 to 65535"."""
    kind = _bare(hint)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, "a list")
    bounds = [extra for extra in get_args(hint)[1:] if isinstance(extra, msgspec.Meta)]
    for meta in bounds:
        if meta.ge is not None and meta.le is not None:
            words += f" from {meta.ge:g} to {meta.le:g}" if kind is float else f" from {meta.ge} to {meta.le}"
        elif meta.ge is not None:
            words += f" of at least {meta.ge}"
        elif meta.le is not None:
            words += f" of at most {meta.le}"
        elif meta.gt is not None:
            words += f" above {meta.gt}"
    return words


def overlaid(settings: Settings, given: Iterable[tuple[Setting, str, str]]) -> Settings:
    """The same with others over them: each a setting, its text, and where that stands. Raises UsageError."""
    own = {field.name for field in dataclasses.fields(Settings)}
    values = {setting.name: _read(setting, text, where) for setting, text, where in given}
    sampling = {name: value for name, value in values.items() if name not in own}
    fields = {name: value for name, value in values.items() if name in own}
    return dataclasses.replace(settings, **fields, sampling=settings.sampling | sampling)


def _build(values: dict[str, Any]) -> Settings:
    own = {
        name: value for name, value in values.items() if name in {field.name for field in dataclasses.fields(Settings)}
    }
    sampling = {name: value for name, value in values.items() if name not in own}
    return Settings(**own, sampling=sampling)
