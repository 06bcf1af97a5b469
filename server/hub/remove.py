"""Models out of the cache, and their bytes off the disk, by huggingface_hub's own way of deleting."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CachedFileInfo, CachedRevisionInfo, DeleteCacheStrategy

from . import cache
from .choice import matching, models
from .name import HubError, HubName


@dataclass(frozen=True)
class Removal:
    """What is to go."""

    repo: str
    files: tuple[str, ...]
    """Their paths in the repository."""
    size: int
    """The bytes that this frees: what another revision has too stays."""
    strategy: DeleteCacheStrategy
    unfinished: tuple[Path, ...]
    """What interrupted downloads have left."""

    def execute(self) -> None:
        """Remove it. Raises HubError."""
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # what it couldn't delete is told below
        try:
            self.strategy.execute()
            for path in self.unfinished:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise HubError(f"cannot remove {error.filename}: {error.strerror}") from None
        if left := [path for path in self.strategy.blobs if path.exists()]:  # of which huggingface_hub only logs
            raise HubError(f"cannot remove {left[0]}")
        _remove_empty_revisions(self.repo)


def plan(name: HubName) -> Removal:
    """What goes: one quantization, or a revision, or all that the cache has of a repository, files that are no models
    included. Raises HubError if it has nothing of that."""
    info = cache.scan()
    everything = name.quant is None and name.revision is None
    blobs = cache.folder(name.repo).resolve() / "blobs"
    partial = [file for file in info.incomplete_files if everything and file.file_path.parent == blobs]
    revisions = cache.revisions(info, name.repo)
    if name.revision is not None:
        commit = cache.commit_of(name.repo, name.revision)
        revisions = [revision for revision in revisions if revision.commit_hash == commit]
    found = [(path, file) for revision in revisions for path, file in _files(revision, name.quant)]
    if not found and not partial:
        raise HubError(f"the cache has nothing of {name}")
    strategy = info.delete_files(*(file for _path, file in found))
    return Removal(
        repo=name.repo,
        files=tuple(sorted({path for path, _file in found})),
        size=strategy.expected_freed_size + sum(file.size_on_disk for file in partial),
        strategy=strategy,
        unfinished=tuple(file.file_path for file in partial),
    )


def _files(revision: CachedRevisionInfo, quant: str | None) -> list[tuple[str, CachedFileInfo]]:
    by_path = cache.by_path(revision)
    if quant is None:
        return list(by_path.items())
    return [(path, by_path[path]) for model in matching(models(sorted(by_path)), quant) for path in model.files]


def _remove_empty_revisions(repo: str) -> None:
    """The last of them takes the repository's folder with it."""
    info = cache.scan()
    empty = [revision.commit_hash for revision in cache.revisions(info, repo) if not revision.files]
    info.delete_revisions(*empty).execute()
