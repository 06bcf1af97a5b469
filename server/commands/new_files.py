"""Several files that belong together, there all or none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from server.commands.command import CommandError


@contextmanager
def new_files(paths: Sequence[Path], *, force: bool = False) -> Iterator[Path]:
    """A folder to write files of these names to, which become `paths` (all of one folder) at the end, and are removed
    if the body fails or is interrupted. Raises CommandError as `new_file` does."""
    folder = paths[0].parent
    for path in paths:
        if path.exists() and not force:
            raise CommandError(f"{path} is there already (--force overwrites it)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = tempfile.TemporaryDirectory(prefix=".paddock.", suffix=".part", dir=folder)
    except OSError as error:
        raise CommandError(f"cannot write to {folder}: {error.strerror}") from None
    with unfinished as place:
        yield Path(place)
        for path in paths:
            (Path(place) / path.name).replace(path)
