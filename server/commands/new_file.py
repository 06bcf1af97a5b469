"""A file that is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.commands.command import CommandError


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A place beside `path` to write to, which becomes `path` at the end, and is removed if the body fails or is
    interrupted. Raises CommandError if `path` is there already (unless it is a file, and `force`), or if its folder
    can't be written."""
    if path.is_dir():
        raise CommandError(f"{path} is a folder: name a file")
    if path.exists() and not path.is_file():
        raise CommandError(f"{path} is not a regular file: name another")  # /dev/null would be gone
    if path.exists() and not force:
        raise CommandError(f"{path} is there already (--force overwrites it)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
