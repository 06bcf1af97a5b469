"""Which models there are beside --model, and how many of them are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from .setting import Natural, Positive, flag

GROUP = "Several models"


@dataclass(frozen=True, kw_only=True)
class ModelsSettings:
    models_dir: Annotated[
        str | None,
        flag(
            "--models-dir",
            GROUP,
            "serve every GGUF in this folder, and the one in each of its folders: each is loaded when it is needed",
            metavar="DIR",
            default_text="none",
        ),
    ] = None
    models_preset: Annotated[
        str | None,
        flag(
            "--models-preset",
            GROUP,
            "an INI file with a section for each model: the settings that are its own, by their flags' names",
            metavar="FILE",
            default_text="none",
        ),
    ] = None
    models_max: Annotated[
        int,
        Natural,
        flag(
            "--models-max",
            GROUP,
            "models loaded at the same time: the one least recently used makes room for another; 0: any number",
        ),
    ] = 4
    models_memory: Annotated[
        Annotated[int, Positive] | None,
        flag(
            "--models-memory",
            GROUP,
            "memory for all loaded models together, as far as their files tell",
            metavar="MiB",
            default_text="what is free at the start",
        ),
    ] = None
    models_autoload: Annotated[
        bool,
        flag(
            "",
            GROUP,
            "whether any request loads the model that it names, or only POST /models/load does",
            shorthands={"--models-autoload": "true", "--no-models-autoload": "false"},
            default_text="on",
        ),
    ] = True
    sleep_idle_seconds: Annotated[
        int,
        Meta(ge=-1),
        flag(
            "--sleep-idle-seconds",
            GROUP,
            "unload a model that nobody has asked anything for so long, until somebody does; -1: never",
            metavar="SECONDS",
        ),
    ] = -1
