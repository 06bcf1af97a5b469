"""Which model, and how its file is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from server.hub.name import PREFIX as HUB_PREFIX

from .setting import flag

GROUP = "Model"
LOAD_MODE_SHORTHANDS = {"--mmap": "mmap", "--no-mmap": "none", "--mlock": "mmap+mlock"}


def _aliases(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    model: Annotated[
        tuple[str, ...],
        flag(
            "-m --model",
            GROUP,
            "the GGUF to serve: its file, or a repository of the Hugging Face Hub as REPO[@REVISION][:QUANT]; several "
            "times for several models",
            metavar="MODEL",
            parse=lambda text: (text,),
            repeatable=True,
            prefixed=dict.fromkeys(("-hf", "-hfr", "--hf-repo"), HUB_PREFIX),
            default_text="the demo model",
        ),
    ] = ()
    alias: Annotated[
        tuple[str, ...],
        flag(
            "-a --alias",
            GROUP,
            "the model's id in the API; several, separated by commas, all name it, or are one for each --model",
            metavar="NAMES",
            parse=_aliases,
            separator=",",
            expects="names separated by commas",
            default_text="the model as it was named; of a file, its name without .gguf",
        ),
    ] = ()
    chat_template: Annotated[
        str | None,
        flag(
            "--chat-template",
            GROUP,
            "a built-in chat template, or a file that holds one",
            metavar="NAME|FILE",
            default_text="the model's own",
        ),
    ] = None
    chat_template_file: Annotated[
        str | None,
        flag("--chat-template-file", GROUP, "a file that holds one", metavar="FILE", default_text="the model's own"),
    ] = None
    load_mode: Annotated[
        Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"],
        flag(
            "-lm --load-mode",
            GROUP,
            "map the file into memory (mmap), read it (none) or read it around the page cache (dio); "
            "mlock forbids swapping it out; auto: mmap, unless a device can't",
            metavar="MODE",
            shorthands=LOAD_MODE_SHORTHANDS,
        ),
    ] = "auto"
