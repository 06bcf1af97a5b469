"""API keys: what each may do, and which one a request has presented. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

import msgspec

_KEY = re.compile(r"[!-~]{1,512}")
"""What fits into an HTTP header as one word."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a key: fit for log lines and for metrics' labels as it is."""
HASH = re.compile(r"[0-9a-fA-F]{64}")


def hashed(secret: str) -> str:
    """The key's SHA-256 in hex. Raises ValueError for what can't be a key, without repeating it."""
    if not _KEY.fullmatch(secret):
        raise ValueError("a key is up to 512 visible ASCII characters, without spaces")
    return hashlib.sha256(secret.encode()).hexdigest()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key's rights. None: no limit."""

    name: str
    sha256: str
    models: frozenset[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    """Requests that may run at the same time."""
    admin: bool = False


class KeyRing:
    """The keys that are valid now."""

    def __init__(self, keys: Sequence[Key]) -> None:
        """Raises ValueError if two have the same name, or are the same."""
        names: set[str] = set()
        secrets: dict[str, str] = {}
        for key in keys:
            if key.name in names:
                raise ValueError(f"there are two keys called {key.name}")
            if key.sha256 in secrets:
                raise ValueError(f"the keys {secrets[key.sha256]} and {key.name} are the same")
            names.add(key.name)
            secrets[key.sha256] = key.name
        self._keys = [(bytes.fromhex(key.sha256), key) for key in keys]

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def has_admin(self) -> bool:
        return any(key.admin for _, key in self._keys)

    def find(self, secret: bytes) -> Key | None:
        """The presented key, if there is such a one. All are compared, in a time that doesn't tell how far they agree:
        less than a microsecond for each."""
        digest = hashlib.sha256(secret).digest()
        found = None
        for own, key in self._keys:
            if hmac.compare_digest(own, digest):
                found = key
        return found
