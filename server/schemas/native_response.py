"""What llama-server's smaller endpoints answer. `/completion`'s answers are in `server/native/answer.py`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class TokenPiece(msgspec.Struct):
    id: int
    piece: str | list[int]
    """Text, or bytes if the token is a part of a character."""


class TokenizeResponse(msgspec.Struct):
    tokens: list[int | TokenPiece]
    """Pieces if the request had `with_pieces`."""


class DetokenizeResponse(msgspec.Struct):
    content: str
    """Control tokens show as their markup."""


class ApplyTemplateResponse(msgspec.Struct):
    prompt: str


class NextToken(msgspec.Struct):
    """What is generated in a slot."""

    n_decoded: int
    n_remain: int
    has_next_token: bool = True
    has_new_line: bool = False


class Slot(msgspec.Struct, kw_only=True):
    """One sequence that can be computed; of a busy one also what is."""

    id: int
    n_ctx: int
    speculative: bool
    """Whether drafts are used."""
    is_processing: bool
    id_task: int | UnsetType = UNSET
    """A number that stays the request's."""
    request_id: str | UnsetType = UNSET
    n_prompt_tokens: int | UnsetType = UNSET
    n_prompt_tokens_processed: int | UnsetType = UNSET
    next_token: list[NextToken] | UnsetType = UNSET


class Modalities(msgspec.Struct):
    vision: bool = False
    video: bool = False
    audio: bool = False


class GenerationDefaults(msgspec.Struct):
    params: dict[str, Any]
    """Those of a `/completion` that gives none."""
    n_ctx: int


class Props(msgspec.Struct, kw_only=True):
    default_generation_settings: GenerationDefaults
    total_slots: int
    """Sequences that can be computed at once."""
    model_alias: str
    model_path: str
    model_description: str
    modalities: Modalities
    endpoint_slots: bool = True
    endpoint_props: bool = False
    endpoint_metrics: bool = True
    bos_token: str
    eos_token: str
    build_info: str
    is_sleeping: bool = False
    chat_template: str
    """The one in use; empty: the model has none."""
    chat_template_caps: dict[str, bool]
    """What it can take."""
    chat_format: str | None
    """How its models write calls."""


class ManyProps(msgspec.Struct, kw_only=True):
    """Of a server that loads models when they are needed, under llama-server's names; `?model=` asks for one's."""

    role: str = "router"
    max_instances: int
    """How many may be loaded at the same time; 0: any number."""
    models_autoload: bool
    """Whether a request loads the model that it names."""
    model_alias: str = "paddock"
    model_path: str = "none"
    default_generation_settings: GenerationDefaults
    build_info: str


class Health(msgspec.Struct):
    status: str = "ok"
