"""What the API process and an engine process say to each other, beside the contract's own structs."""

from __future__ import annotations

from typing import Literal

import msgspec

from backends.base import EngineStats, GenerateRequest, LoadFailed, ModelInfo, PromptProgress, TokenChunk
from backends.engine_options import EngineOptions


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """A request that an earlier engine had begun: go on where the API process's knowledge of it ends."""

    request: GenerateRequest
    generated: dict[int, list[int]]
    """What each unfinished sequence has generated, by its index; the others aren't computed again."""
    prompt_done: bool = False
    """Whether the prompt's last PromptProgress has come."""
    n_scored: int = 0
    """With `prompt_logprobs`: how many of them have come."""


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop sequence `index` of a request, or all of it (`None`). Unknown ids are ignored."""

    id: str
    index: int | None = None


class LoadAdapter(msgspec.Struct, frozen=True, tag="load_adapter"):
    """Load a LoRA adapter, whose file has been checked, under an id of its own: AdapterLoaded answers."""

    id: int
    path: str


class UnloadAdapter(msgspec.Struct, frozen=True, tag="unload_adapter"):
    """Free a LoRA adapter. No request needs it any more."""

    id: int


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown"):
    """End the engine process in good order."""


class LoadProgress(msgspec.Struct, frozen=True, tag="loading"):
    fraction: float


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """These requests are in a batch for the first time: if the engine dies from now on, one of them may be why."""

    ids: list[str]


class AdapterLoaded(msgspec.Struct, frozen=True, tag="adapter_loaded"):
    """Requests may have this LoRA adapter from now on; or why not."""

    id: int
    error: str | None = None


FailureCode = Literal["invalid_request", "invalid_grammar", "unknown_adapter", "engine_error"]


class RequestFailed(msgspec.Struct, frozen=True, tag="failed"):
    """The engine gives the whole request up; nothing more follows for it."""

    id: str
    message: str
    code: FailureCode = "engine_error"


class StepEvents(msgspec.Struct, frozen=True, tag="step"):
    """Everything that one step of the engine has to say, in order."""

    events: list[TokenChunk | PromptProgress | RequestFailed]


EngineCommand = EngineOptions | LoadAdapter | UnloadAdapter | GenerateRequest | Resume | Cancel | Shutdown
"""What an engine is told: its options first, and only once."""
EngineEvent = LoadProgress | LoadFailed | ModelInfo | AdapterLoaded | Begun | StepEvents | EngineStats
"""What an engine tells."""
