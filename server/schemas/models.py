"""What `GET /v1/models` and `GET /v1/models/{id}` answer."""

from __future__ import annotations

from typing import Literal

import msgspec


class ModelMeta(msgspec.Struct):
    """llama-server's addition: what the GGUF says of itself."""

    n_vocab: int
    n_ctx: int
    n_ctx_train: int
    n_embd: int
    n_params: int
    size: int


class Model(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    meta: ModelMeta


class ModelList(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[Model]
