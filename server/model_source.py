"""Which file a model's name means, and the names it is served under."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from backends.gguf.file_name import model_stem
from server.hub.name import PREFIX, HubAccess, HubError, HubName

DEFAULT_ACCESS = HubAccess()

log = logging.getLogger("paddock")


class ModelNotFound(Exception):
    """There is no such model; the message is one line."""


def find_model(name: str | None, access: HubAccess = DEFAULT_ACCESS, *, hub_file: str | None = None) -> Path:
    """The GGUF that `name` means; None: the demo model. Raises ModelNotFound.

    A repository's is downloaded, which may take hours. `hub_file`: the path of the file in the repository.
    """
    hub_name = in_hub(name, hub_file)
    return local_model(name) if hub_name is None else hub_model(hub_name, access, log.info)


def in_hub(name: str | None, hub_file: str | None = None) -> HubName | None:
    """The repository's model that `name` means; None: it means a file here, if anything. Raises ModelNotFound.

    Files and folders here come first, unless the name begins with `hf://`.
    """
    found = None if name is None else _parsed(name)
    if hub_file is None:
        return found
    if found is None:
        raise ModelNotFound("--hf-file names a file of a repository: name that too (-hf REPO)")
    return HubName(found.repo, found.quant, found.revision, hub_file)


def _parsed(name: str) -> HubName | None:
    found = HubName.parse(name)
    if name.startswith(PREFIX):
        if found is None:
            raise ModelNotFound(f"{name} names no repository's model: write {PREFIX}ORG/NAME[@REVISION][:QUANT]")
        return found
    return None if name.lower().endswith(".gguf") or Path(name).expanduser().exists() else found


def hub_model(name: HubName, access: HubAccess, say: Callable[[str], None]) -> Path:
    """Where the cache has a repository's model, after downloading it. Raises ModelNotFound."""
    from server.hub.fetch import fetch  # huggingface_hub takes half a second

    try:
        return fetch(name, access, say).path
    except HubError as error:
        raise ModelNotFound(str(error)) from None


def local_model(name: str | None) -> Path:
    """The GGUF on this machine; None: the demo model. Raises ModelNotFound."""
    if name is None:
        demo = Path(str(resources.files("server.models") / "paddock-demo.gguf"))
        if not demo.is_file():
            raise ModelNotFound(f"this installation lacks the demo model ({demo}): name a GGUF file")
        return demo
    try:
        name.encode()
    except UnicodeEncodeError:  # nor could the API call it by that name
        raise ModelNotFound(f"{name!r} is not UTF-8: give the file another name") from None
    path = Path(name).expanduser()
    if path.is_dir():
        hint = f"; the repository is {PREFIX}{name}" if HubName.parse(name) else ""
        raise ModelNotFound(f"{name} is a folder: name the GGUF file in it{hint}")
    if path.exists():
        return path
    raise ModelNotFound(f"there is no file {name}")


def model_names(path: Path, aliases: tuple[str, ...], hub_name: HubName | None = None) -> list[str]:
    """The model's ids in the API: its aliases, or else a repository's as it was named, or else the file's name."""
    return list(aliases) or [model_stem(path.name) if hub_name is None else str(hub_name)]
