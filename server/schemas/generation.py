"""The fields that chat and text completion requests share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints, Tag

from server import limits
from server.schemas.json_types import INT32_MAX, Body, Integer, Omissible, text_or_list
from server.schemas.logit_bias import LogitBiases
from server.schemas.lora import LoraScales
from server.schemas.samplers import SamplerFields
from server.schemas.structure import StructureFields

StopString = Annotated[str, StringConstraints(max_length=limits.STOP_LENGTH)]
StopStrings = Annotated[list[StopString], Field(max_length=limits.STOP_STRINGS, fail_fast=True)]
Stop = Annotated[Annotated[StopString, Tag("<text>")] | Annotated[StopStrings, Tag("<list>")], text_or_list]


class StreamOptions(Body):
    include_usage: Omissible[bool] = None
    include_obfuscation: Omissible[bool] = None


class GenerationFields(SamplerFields, StructureFields):
    """Absent or null: the default, unless the field can't be null."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: Stop | None = None
    n: Annotated[Integer, Field(ge=1, le=limits.N)] | None = None
    logit_bias: LogitBiases | None = None
    user: Omissible[str] = None

    # llama-server's own
    n_predict: Annotated[Integer, Field(ge=-1, le=INT32_MAX)] | None = None
    cache_prompt: bool | None = None
    timings_per_token: bool | None = None
    return_progress: bool | None = None
    sse_ping_interval: Annotated[Integer, Field(ge=-1, le=INT32_MAX)] | None = None

    lora: LoraScales | None = None

    # llama-server's own that needs candidates after sampling: refused, so that nobody relies on it
    post_sampling_probs: Any = None

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def include_obfuscation(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_obfuscation)

    @property
    def stop_strings(self) -> list[str]:
        """Empty ones, which OpenAI's document allows, stop nothing."""
        strings = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [string for string in strings if string]
