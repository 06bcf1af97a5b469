"""`--models-preset`: an INI file as llama-server's, a section for each model and `[*]` for all of them.

A key is a flag without its dashes, short or long, or its environment variable.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from server.command_line import UsageError, suggestion
from server.config import SETTINGS, Setting, Settings
from server.config.settings import SERVER_WIDE
from server.config.sources import FALSE, NOT_OURS, TRUE, overlaid

FOR_ALL = "*"
_TOP = "\0"
"""What stands above the first section: only `version`."""


class PresetError(Exception):
    """The file can't be read as it should be; the message is one line."""


@dataclass(frozen=True)
class Preset:
    settings: Settings
    """The server's, with the preset's over them."""
    model: str | None
    """The file or repository that it is for, if it says."""
    aliases: tuple[str, ...]
    load_on_startup: bool
    stop_timeout: float


@dataclass(frozen=True)
class _Key:
    """What a key stands for."""

    setting: Setting
    prefix: str = ""
    """Of its value."""
    stands_for: str | None = None
    """The value that it has, if it is set to true."""


def read_presets(file: Path, settings: Settings) -> dict[str, Preset]:
    """By name, in the file's order; FOR_ALL is always there. Raises PresetError."""
    parser = configparser.ConfigParser(
        default_section=FOR_ALL,
        interpolation=None,
        delimiters=("=",),
        comment_prefixes=(";", "#"),
        empty_lines_in_values=False,
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys as they are written
    try:
        parser.read_string(f"[{_TOP}]\n" + file.read_text(encoding="utf-8"), str(file))
    except OSError as error:
        raise PresetError(f"cannot read {file}: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise PresetError(f"cannot read {file}: {_reason(error)}") from None
    for_all = dict(parser.defaults())
    for key in parser[_TOP]:
        if key != "version" and key not in for_all:
            raise PresetError(f"{file}: {key} stands above the first section: only `version` may")
    for key in ("model", "m", "alias", "a"):
        if key in for_all:
            raise PresetError(f"{file}: [{FOR_ALL}] {key} can't be the same for all models")
    presets = {FOR_ALL: _preset(file, FOR_ALL, for_all, settings)}
    for name in parser.sections():
        if name != _TOP:
            presets[name] = _preset(file, name, parser[name], settings)
    return presets


def _preset(file: Path, name: str, table: Mapping[str, str], settings: Settings) -> Preset:
    given: list[tuple[Setting, str, str]] = []
    load_on_startup, stop_timeout = False, 10.0
    for key, text in table.items():
        where = f"{file}: [{name}] {key}"
        if key == "load-on-startup":
            load_on_startup = _truth(text, where)
        elif key == "stop-timeout":
            stop_timeout = _seconds(text, where)
        elif (found := _KEYS.get(key)) is None:
            raise PresetError(f"{where} {_no_setting(key)}")
        elif found.stands_for is None:
            given.append((found.setting, found.prefix + text, where))
        elif _truth(text, where):
            given.append((found.setting, found.stands_for, where))
        elif found.setting.flags:
            raise PresetError(f"{where} can only be true: leave it out")
        else:
            given.append((found.setting, "false", where))
    try:
        own = overlaid(settings, given)
    except UsageError as error:
        raise PresetError(str(error)) from None
    named = {setting.name for setting, _, _ in given}
    model = own.model[-1] if "model" in named else None
    return Preset(own, model, own.alias if "alias" in named else (), load_on_startup, stop_timeout)


def _keys() -> dict[str, _Key]:
    keys = {}
    for setting in SETTINGS:
        if setting.group not in SERVER_WIDE:
            keys.update({flag.lstrip("-"): _Key(setting) for flag in (*setting.flags, setting.env)})
            keys.update({flag.lstrip("-"): _Key(setting, prefix=text) for flag, text in setting.prefixed.items()})
            keys.update({flag.lstrip("-"): _Key(setting, stands_for=text) for flag, text in setting.shorthands.items()})
    return keys


_KEYS = _keys()


def _no_setting(key: str) -> str:
    """Why there is no such key."""
    for flag in (f"-{key}", f"--{key}"):
        if flag in NOT_OURS:
            return f"is no setting here: {NOT_OURS[flag]}"
        if any(flag in (*setting.flags, *setting.shorthands) for setting in SETTINGS):
            return f"holds for the whole server: give it as {flag}"
    return f"is no setting{suggestion(key, _KEYS)}"


def _truth(text: str, where: str) -> bool:
    if (lowered := text.lower()) not in TRUE + FALSE:
        raise PresetError(f"{where} must be true or false, not {text!r}")
    return lowered in TRUE


def _seconds(text: str, where: str) -> float:
    if not text.isascii() or not text.isdigit():
        raise PresetError(f"{where} must be a whole number of seconds, not {text!r}")
    return float(text)


def _reason(error: Exception) -> str:
    """In one line, with the line's number in the file, above which one was put."""
    if isinstance(error, configparser.ParsingError) and not isinstance(error, configparser.MissingSectionHeaderError):
        number, line = error.errors[0]
        return f"line {number - 1} is neither `key = value` nor a section: {line}"
    if isinstance(error, configparser.DuplicateOptionError):
        return f"[{error.section}] has {error.option} twice"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"[{error.section}] is there twice"
    return str(error).replace("\n", " ")
