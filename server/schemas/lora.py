"""LoRA adapters in requests: llama-server's `lora` and `/lora-adapters`, and vLLM's loading and unloading."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import ConfigDict, Field, RootModel

from server.schemas.json_types import INT32_MAX, Body, Integer, Number

MAX_ADAPTERS = 1024
MAX_NAME = 256
MAX_PATH = 4096
NAME = r"^[^\s,\x00-\x1f\x7f]([^,\x00-\x1f\x7f]*[^\s,\x00-\x1f\x7f])?$"
"""Printable; in /metrics names are separated by commas."""


class LoraScale(Body):
    """An adapter, by its id, and how strongly it is applied."""

    id: Annotated[Integer, Field(ge=0, le=INT32_MAX)]
    scale: Number


LoraScales = Annotated[list[LoraScale], Field(max_length=MAX_ADAPTERS, fail_fast=True)]


class ScaleAdaptersRequest(RootModel[LoraScales]):
    """`POST /lora-adapters`."""

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)


class LoadAdapterRequest(Body):
    """`POST /v1/load_lora_adapter`."""

    lora_name: Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=NAME)]
    lora_path: Annotated[str, Field(min_length=1, max_length=MAX_PATH)]
    load_inplace: bool | None = None
    base_model_name: str | None = None


class UnloadAdapterRequest(Body):
    """`POST /v1/unload_lora_adapter`."""

    lora_name: str


class LoadedAdapter(msgspec.Struct, kw_only=True):
    """Of `GET /lora-adapters`."""

    id: int
    path: str
    scale: float
    name: str | None
    """What requests may ask for as a model."""
