"""One file of a repository, into huggingface_hub's cache.

huggingface_hub throws away what it has of a file when a download is broken off. So the bytes are got here, by its own
`http_get`, into a file of which the next download goes on; the cache's links are made by huggingface_hub.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from server.sizes import shown
from server.version import __version__

from .errors import explained
from .name import HubAccess, HubError, HubName
from .progress import lines_or_bar

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ETAG = re.compile(r"[\w-]+", re.ASCII)


def download(name: HubName, commit: str, file: str, access: HubAccess, say: Callable[[str], None]) -> Path:
    """Where the cache has `file`, of the repository of `name` at `commit`, after getting what is missing of it.

    Where there is no terminal for a bar, `say` is told how far that is.

    Interrupted, it leaves what it has got to the next download. Raises HubError.
    """
    # Its warnings quote signed addresses, and are lines of another format.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    url = hf_hub_url(name.repo, file, revision=commit, endpoint=constants.ENDPOINT)
    headers = build_hf_headers(token=access.token, library_name="paddock", library_version=__version__)
    with explained(name, access):
        cached = try_to_load_from_cache(name.repo, file, revision=commit, cache_dir=constants.HF_HUB_CACHE)
        if isinstance(cached, str):
            return Path(cached)
        about = get_hf_file_metadata(url, headers=headers, token=access.token, endpoint=constants.ENDPOINT)
        if about.etag and not _ETAG.fullmatch(about.etag):  # huggingface_hub writes to a file of that name
            raise HubError(f"what answers at {constants.ENDPOINT} is no Hub: its ETags are none")
        # What is put together from two downloads is known to be right by its hash alone; and files that are larger are
        # not to be had by HTTP.
        sha256 = about.etag if about.etag and _SHA256.fullmatch(about.etag) else None
        if sha256 and about.size and about.size <= constants.MAX_HTTP_DOWNLOAD_SIZE:
            _get_blob(name.repo, _Remote(file, url, headers, sha256, about.size), lines_or_bar(say))
        return Path(
            hf_hub_download(
                name.repo, file, revision=commit, cache_dir=constants.HF_HUB_CACHE, endpoint=constants.ENDPOINT,
                token=access.token, library_name="paddock", library_version=__version__,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class _Remote:
    """A file as the Hub has it."""

    path: str
    url: str
    headers: dict[str, str]
    sha256: str
    size: int


def _get_blob(repo: str, file: _Remote, progress: Any) -> None:
    """The bytes of `file`, to where huggingface_hub keeps them."""
    cache, folder = Path(constants.HF_HUB_CACHE), repo_folder_name(repo_id=repo, repo_type="model")
    blob, lock = cache / folder / "blobs" / file.sha256, cache / ".locks" / folder / f"{file.sha256}.lock"
    blob.parent.mkdir(parents=True, exist_ok=True)
    lock.parent.mkdir(parents=True, exist_ok=True)
    (cache / folder / "snapshots").mkdir(exist_ok=True)  # without it the folder is no repository's for huggingface_hub
    with WeakFileLock(lock):  # huggingface_hub's own, for the same blob
        if blob.exists():
            return
        partial = blob.with_name(f"{file.sha256}.incomplete")
        have = partial.stat().st_size if partial.exists() else 0
        if have > file.size:
            partial.unlink()
            have = 0
        free, lacking = shutil.disk_usage(blob.parent).free, file.size - have
        if free < lacking:
            raise HubError(f"no room for {file.path} in {cache}: it takes {shown(lacking)}, and {shown(free)} are free")
        _append(file, partial, progress)
        with partial.open("rb") as content:
            arrived = hashlib.file_digest(content, "sha256").hexdigest()
        if arrived != file.sha256:
            partial.unlink()
            raise HubError(f"{file.path} of {repo} arrived damaged (its SHA-256 isn't the Hub's): try again")
        partial.replace(blob)


def _append(file: _Remote, partial: Path, progress: Any) -> None:
    """The bytes that `partial` lacks. Broken connections are tried again as long as something comes of it."""
    headers, name = file.headers | {"accept-encoding": "identity"}, Path(file.path).name
    while True:
        with partial.open("ab") as target:
            have = target.tell()
            try:
                http_get(
                    file.url, target, resume_size=have, headers=headers, expected_size=file.size,
                    displayed_filename=name, tqdm_class=progress,
                )  # fmt: skip
                return
            except httpx2.TransportError as error:
                came = target.tell()
                if came > have:
                    continue
                raise HubError(
                    f"the download of {name} broke off at {shown(came)} of {shown(file.size)} ({error}): "
                    "the same command goes on from there"
                ) from None
