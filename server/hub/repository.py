"""What the Hub says of a repository: which commit a revision is, and its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from huggingface_hub import HfApi, constants

from server.version import __version__

from .errors import explained
from .name import HubAccess, HubError, HubName

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Repository:
    """A repository at one commit."""

    commit: str
    files: dict[str, int]
    """Their sizes in bytes by their paths, in the Hub's order; 0: not said. Files with strange paths are left out."""


def ask(name: HubName, access: HubAccess) -> Repository:
    """The repository of `name`, at its revision. Raises HubError."""
    hub = HfApi(endpoint=constants.ENDPOINT, token=access.token, library_name="paddock", library_version=__version__)
    with explained(name, access):
        info = hub.model_info(
            name.repo, revision=name.revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):  # it becomes a folder's name
        raise HubError(f"the Hub doesn't say which commit of {name.repo} it means")
    files = {file.rfilename: file.size if isinstance(file.size, int) else 0 for file in info.siblings or ()}
    return Repository(info.sha, {path: size for path, size in files.items() if _is_plain(path)})


def _is_plain(path: str) -> bool:
    """Whether it is a path inside of the repository's folder, in one line, of which a terminal obeys nothing."""
    parts = PurePosixPath(path)
    return path.isprintable() and "\\" not in path and not parts.is_absolute() and ".." not in parts.parts
