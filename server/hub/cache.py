"""huggingface_hub's cache: what it has of a repository, and which models there are in it.

Its layout is the one that huggingface_hub documents: `models--ORG--NAME/refs/REVISION` holds a commit, and
`snapshots/COMMIT/` links to the files in `blobs/`. Other programs read and write it too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CachedFileInfo, CachedRepoInfo, CachedRevisionInfo, HFCacheInfo, constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound
from huggingface_hub.file_download import repo_folder_name

from .choice import models
from .name import HubName

SHORT = 12
"""Digits of a commit that tell it from others."""


def folder(repo: str) -> Path:
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")


def commit_of(repo: str, revision: str | None) -> str | None:
    """The commit that a branch, tag, commit or a commit's beginning meant when it was last got."""
    revision = revision or constants.DEFAULT_REVISION
    reference = folder(repo) / "refs" / revision
    if reference.is_file():
        return reference.read_text().strip()
    snapshots = folder(repo) / "snapshots"
    found = [path.name for path in snapshots.iterdir() if path.name.startswith(revision)] if snapshots.is_dir() else []
    return found[0] if len(found) == 1 and len(revision) >= 7 else None


def remember(repo: str, revision: str | None, commit: str) -> None:
    """Have a revision mean `commit` from now on, if the cache can be written to."""
    revision = revision or constants.DEFAULT_REVISION
    reference = folder(repo) / "refs" / revision
    if revision == commit or (reference.is_file() and reference.read_text() == commit):
        return
    with suppress(OSError):
        reference.parent.mkdir(parents=True, exist_ok=True)
        written = reference.with_name(f"{reference.name}.{os.getpid()}.tmp")
        written.write_text(commit)
        written.replace(reference)


def files(repo: str, commit: str) -> dict[str, Path]:
    """What there is of a commit: where, by the path in the repository."""
    snapshot = folder(repo) / "snapshots" / commit
    found = sorted(path for path in snapshot.rglob("*") if path.is_file())  # not a link to a blob that is gone
    return {path.relative_to(snapshot).as_posix(): path for path in found}


@dataclass(frozen=True)
class CachedModel:
    """A model in the cache, all of its parts."""

    name: HubName
    """By which it is served; the revision is left out where it is the main branch's."""
    commit: str
    files: tuple[CachedFileInfo, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(file.size_on_disk for file in self.files)

    @property
    def modified(self) -> float:
        """When it was got, in seconds since 1970."""
        return max(file.blob_last_modified for file in self.files)


def scan() -> HFCacheInfo:
    """All of the cache. Raises OSError if it can't be read."""
    try:
        return scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:  # nothing was ever got
        return HFCacheInfo(size_on_disk=0, repos=frozenset(), incomplete_files=frozenset(), warnings=[])
    except ValueError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), constants.HF_HUB_CACHE) from None


def cached_models(info: HFCacheInfo) -> list[CachedModel]:
    """The models in it, sorted by name."""
    repos = (repo for repo in info.repos if repo.repo_type == "model")
    found = (model for repo in repos for revision in repo.revisions for model in _models(repo, revision))
    return sorted(found, key=lambda model: (str(model.name), model.files[0].file_name))


def revisions(info: HFCacheInfo, repo: str) -> list[CachedRevisionInfo]:
    """What the cache has of a repository of models."""
    found = (cached.revisions for cached in info.repos if (cached.repo_type, cached.repo_id) == ("model", repo))
    return list(next(found, ()))


def by_path(revision: CachedRevisionInfo) -> dict[str, CachedFileInfo]:
    """A revision's files by their paths in the repository."""
    return {file.file_path.relative_to(revision.snapshot_path).as_posix(): file for file in revision.files}


def _models(repo: CachedRepoInfo, revision: CachedRevisionInfo) -> Iterable[CachedModel]:
    cached = by_path(revision)
    for model in models(sorted(cached)):
        if model.whole:
            name = HubName(repo.repo_id, model.quant, _shown_revision(revision))
            yield CachedModel(name, revision.commit_hash, tuple(cached[file] for file in model.files))


def _shown_revision(revision: CachedRevisionInfo) -> str | None:
    if constants.DEFAULT_REVISION in revision.refs:
        return None
    return min(revision.refs, default=revision.commit_hash[:SHORT])
