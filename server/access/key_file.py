"""The file of `--api-key-file`: a key a line, as llama-server has it; or TOML or JSON, with names and limits."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from server.access.keys import HASH, NAME, Key, hashed

_FIELD = re.compile("unknown field `.*?`", re.DOTALL)
_OTHER_FORMS = ("[[", "{")
"""What lines of TOML and JSON begin with. Taken for keys they would let in whoever guesses them."""
_Number = Annotated[int, Meta(ge=1)]


class KeyFileError(Exception):
    """The file can't be used; the message is one line that names it, and holds no key."""


class _Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """A key as TOML and JSON write it."""

    name: str
    key: str | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    models: Annotated[list[str], Meta(min_length=1)] | None = None
    requests_per_minute: _Number | None = None
    tokens_per_minute: _Number | None = None
    concurrency: _Number | None = None
    admin: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[_Entry]


def read_keys(path: Path) -> list[Key]:
    """Its keys, in order; at least one. The name's end tells the form. Raises KeyFileError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        keys = _lines(text) if path.suffix not in _FORMS else _entries(_FORMS[path.suffix](text))
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} is not UTF-8") from None
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from None
    if not keys:
        raise KeyFileError(f"{path} holds no key")
    return keys


def _lines(text: str) -> list[Key]:
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        secret = line.strip()
        if not secret or secret.startswith("#"):
            continue
        if secret.startswith(_OTHER_FORMS):
            raise ValueError(f"line {number}: this is no key (TOML and JSON are read from *.toml and *.json)")
        try:
            keys.append(Key(name=f"line-{number}", sha256=hashed(secret)))
        except ValueError as error:
            hint = " (TOML is read from a file whose name ends in .toml)" if "=" in secret else ""
            raise ValueError(f"line {number}: {error}{hint}") from None
    return keys


def _entries(value: Any) -> list[Key]:
    try:
        file = msgspec.convert(value, _File)
    except msgspec.ValidationError as error:  # a key may stand where a field's name should
        raise ValueError(_FIELD.sub("unknown field", str(error))) from None
    return [_key(entry, number) for number, entry in enumerate(file.keys, 1)]


def _key(entry: _Entry, number: int) -> Key:
    if not NAME.fullmatch(entry.name):
        raise ValueError(f"key {number}: a name is up to 64 letters, digits, dots, dashes and underscores")
    if (entry.key is UNSET) == (entry.sha256 is UNSET):
        raise ValueError(f"key {entry.name}: give either 'key' or 'sha256'")
    if isinstance(entry.key, str):
        try:
            sha256 = hashed(entry.key)
        except ValueError as error:
            raise ValueError(f"key {entry.name}: {error}") from None
    else:
        sha256 = str(entry.sha256).lower()
        if not HASH.fullmatch(sha256):
            raise ValueError(f"key {entry.name}: 'sha256' must be 64 hexadecimal digits")
    return Key(
        name=entry.name,
        sha256=sha256,
        models=None if entry.models is None else frozenset(entry.models),
        requests_per_minute=entry.requests_per_minute,
        tokens_per_minute=entry.tokens_per_minute,
        concurrency=entry.concurrency,
        admin=entry.admin,
    )


_FORMS = {".toml": tomllib.loads, ".json": json.loads}
"""json.loads raises ValueError as tomllib does. Neither repeats values, where keys stand; tomllib may name a table or a
field that is there twice."""
