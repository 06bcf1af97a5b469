"""The keys that are valid at the moment: those of the command line, and those of a file that may change."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from server.access.key_file import KeyFileError, read_keys
from server.access.keys import Key, KeyRing

log = logging.getLogger("paddock.access")

LOOK_SECONDS = 1.0
"""How old what is known of the file may be. It is looked at when a request comes: nothing wakes up for it."""
SETTLE_SECONDS = 1.0
"""How long a file must have stood still: some write files in pieces."""

_Stamp = tuple[int, ...]


class KeyStore:
    """Takes up a changed file at the next request; one that can't be used is refused, and the old keys stay."""

    def __init__(
        self, fixed: Sequence[Key] = (), file: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises KeyFileError."""
        self._now = clock
        self._fixed = list(fixed)
        self._file = file
        self._stamp = None if file is None else _stamp(file)
        self._looked = clock()
        self._ring = self._read()

    @property
    def has_admin(self) -> bool:
        return self._ring.has_admin

    def find(self, secret: bytes) -> Key | None:
        """The key that this is, if it is one."""
        self._refresh()
        return self._ring.find(secret)

    def _read(self) -> KeyRing:
        read = [] if self._file is None else read_keys(self._file)
        try:
            return KeyRing([*self._fixed, *read])
        except ValueError as error:
            raise KeyFileError(f"{self._file}: {error}" if self._file else str(error)) from None

    def _refresh(self) -> None:
        now = self._now()
        if self._file is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        stamp = _stamp(self._file)
        if stamp == self._stamp or (stamp is not None and 0 <= time.time() - stamp[0] / 1e9 < SETTLE_SECONDS):
            return
        self._stamp = stamp
        try:
            self._ring = self._read()
        except KeyFileError as error:
            log.error("the new keys are refused, and the old ones stay: %s", error)
        else:
            log.info("new keys from %s: %d", self._file, len(self._ring))


def _stamp(file: Path) -> _Stamp | None:
    """What changes when the file does; None: it isn't there."""
    try:
        status = file.stat()
    except OSError:
        return None
    # the last: who may read it has changed, or it has been given an older time
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns
