"""What `GET /v1/models` and `GET /v1/models/{id}` answer."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class ModelMeta(msgspec.Struct):
    """llama-server's addition: what the GGUF says of itself."""

    n_vocab: int
    n_ctx: int
    n_ctx_train: int
    n_embd: int
    n_params: int
    size: int


class ModelStatus(msgspec.Struct):
    """llama-server's addition."""

    value: Literal["unloaded", "loading", "loaded", "sleeping"]
    failed: bool | UnsetType = UNSET
    """True: it could not be loaded."""
    error: str | UnsetType = UNSET
    """Why."""


class Model(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    aliases: list[str]
    """Its other ids."""
    status: ModelStatus
    root: str | UnsetType = UNSET
    """vLLM's addition, of a LoRA adapter: its file."""
    parent: str | UnsetType = UNSET
    """The same: the model that it changes."""
    meta: ModelMeta | UnsetType = UNSET
    """Absent of a model that has never been loaded."""


class Success(msgspec.Struct):
    """Of `POST /models/load` and `POST /models/unload`."""

    success: Literal[True] = True


class ModelList(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Model]
