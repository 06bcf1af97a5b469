"""Which file `paddock serve MODEL` means, and the names it is served under."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")
SPLIT_SUFFIX = re.compile(r"-\d{5}-of-\d{5}$")


class ModelNotFound(Exception):
    """There is no such model; the message is one line."""


def find_model(name: str | None) -> Path:
    """The GGUF that `name` means; None: the demo model. Raises ModelNotFound."""
    if name is None:
        demo = Path(str(resources.files("server.models") / "paddock-demo.gguf"))
        if not demo.is_file():
            raise ModelNotFound(f"this installation lacks the demo model ({demo}): name a GGUF file")
        return demo
    path = Path(name).expanduser()
    if path.is_dir():
        raise ModelNotFound(f"{name} is a folder: name the GGUF file in it")
    if path.exists():
        return path
    if HUB_NAME.fullmatch(name) and not name.lower().endswith(".gguf"):
        raise ModelNotFound(
            f"there is no file {name}; if it is a repository of the Hugging Face Hub: Paddock doesn't download models "
            "yet, so download its GGUF and name the file"
        )
    raise ModelNotFound(f"there is no file {name}")


def model_names(path: Path, aliases: tuple[str, ...]) -> list[str]:
    """The model's ids in the API: its aliases, or else the file's name."""
    return list(aliases) or [SPLIT_SUFFIX.sub("", path.stem)]
