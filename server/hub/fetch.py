"""The model that a name means, on this machine: asked of the Hub and downloaded, or taken from the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, is_offline_mode

from server.sizes import shown

from . import cache, repository
from .choice import choose
from .download import download
from .name import HubAccess, HubError, HubName


@dataclass(frozen=True)
class HubModel:
    """A model of the Hub, all of it in the cache."""

    name: HubName
    """Its quantization is None only where the file's name doesn't tell it."""
    commit: str
    paths: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The file to load: the first part brings the others."""
        return self.paths[0]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in self.paths)


def fetch(name: HubName, access: HubAccess, say: Callable[[str], None]) -> HubModel:
    """The model of that name. `say` is told in a line what is downloaded. Raises HubError.

    If the Hub can't be asked, or doesn't answer as hoped, what the cache has of the model is taken.
    """
    if access.offline or is_offline_mode():
        model = _cached(name)
        if model is None:
            raise HubError(f"{name} is not in the cache ({constants.HF_HUB_CACHE}), and the Hub isn't to be asked")
        return model
    try:
        found = repository.ask(name, access)
    except HubError as error:
        model = _cached(name)
        if model is None:
            raise
        say(f"{error}; taking {name} from the cache")
        return model
    return _got(name, found, access, say)


def _got(name: HubName, found: repository.Repository, access: HubAccess, say: Callable[[str], None]) -> HubModel:
    chosen = choose(name, found.files)
    there = cache.files(name.repo, found.commit)
    if missing := [file for file in chosen.files if file not in there]:
        size = shown(sum(found.files[file] for file in missing))
        say(f"downloading {', '.join(missing)} ({size}) from {name.repo} at {found.commit[: cache.SHORT]}")
    paths = tuple(download(name, found.commit, file, access, say) for file in chosen.files)
    # Not before: until now the revision meant, offline, what the cache has all of.
    cache.remember(name.repo, name.revision, found.commit)
    return HubModel(_exact(name, chosen.quant), found.commit, paths)


def _cached(name: HubName) -> HubModel | None:
    """That model, if the cache has it."""
    commit = cache.commit_of(name.repo, name.revision)
    if commit is None:
        return None
    there = cache.files(name.repo, commit)
    try:
        chosen = choose(name, there)
    except HubError:
        return None
    return HubModel(_exact(name, chosen.quant), commit, tuple(there[file] for file in chosen.files))


def _exact(name: HubName, quant: str | None) -> HubName:
    return HubName(name.repo, quant, name.revision, name.file)
