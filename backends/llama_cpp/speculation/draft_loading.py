"""Loading a draft model: its GGUF, whether it can draft for the model that is served, and its context."""

from __future__ import annotations

from collections.abc import Callable

import llama_cpp.llama_cpp as C
import msgspec

from backends.base import ModelLoadError
from backends.engine_options import EngineOptions, RopeOptions
from backends.llama_cpp.context import Context
from backends.llama_cpp.model import Model
from backends.llama_cpp.rope import TrainedRope, decide

from .draft_model import ContextDraftModel

MAX_SIZE_DIFFERENCE = 128
"""Tokens that one vocabulary may have beyond the other's, as in llama.cpp: padding."""
FIRST_COMPARED = 5
"""The first few tokens, which are special ones, may differ, as in llama.cpp."""


def load_draft_model(options: EngineOptions, target: Model) -> Model:
    """The model of `options.draft_model_path`. Raises ModelLoadError if it can't draft for `target`."""
    path = options.draft_model_path
    assert path is not None
    of_target = {"tensor_split": (), "tensor_overrides": (), "n_cpu_moe": None}
    options = msgspec.structs.replace(options, model_path=path, n_gpu_layers=options.draft_n_gpu_layers, **of_target)
    draft = Model(options, lambda _fraction: None)
    if draft.recurrent or draft.hybrid or draft.has_encoder or not draft.has_decoder:
        raise ModelLoadError(f"cannot draft with {path}: only a decoder whose memory can be trimmed can (attention)")
    if difference := _difference(target, draft):
        raise ModelLoadError(f"cannot draft with {path}: its vocabulary is not that of {target.path} ({difference})")
    return draft


def draft_model(model: Model, target: Model, options: EngineOptions, n_ctx: int, n_threads: int) -> ContextDraftModel:
    """With a context as long as the served model's. Raises ModelLoadError."""
    # One whose own positions cover the context keeps them, whatever the served model needs.
    trained = TrainedRope.of(model.metadata, model.n_ctx_train, rotates=model.has_rope)
    rope = RopeOptions() if model.n_ctx_train >= n_ctx else decide(options.rope, trained, n_ctx).options
    changes = {"cache_type_k": "f16", "cache_type_v": "f16", "n_threads_batch": 0, "rope": rope}
    context = Context(model, msgspec.structs.replace(options, **changes), n_ctx, options.draft_n_threads or n_threads)
    return ContextDraftModel(
        context, target.n_vocab, n_max=options.draft_n_max, n_min=options.draft_n_min, p_min=options.draft_p_min
    )


def _difference(target: Model, draft: Model) -> str:
    """In what the vocabularies differ; empty: in nothing that matters. The comparison is llama.cpp's own."""
    properties: dict[str, Callable[[int], int]] = {
        "type": C.llama_vocab_type,
        "use of BOS": lambda vocab: C.llama_vocab_get_add_bos(vocab) and 1 + C.llama_vocab_bos(vocab),
        "use of EOS": lambda vocab: C.llama_vocab_get_add_eos(vocab) and 1 + C.llama_vocab_eos(vocab),
    }
    for name, of in properties.items():
        if of(target.vocab) != of(draft.vocab):
            return f"another {name}"
    if abs(target.n_vocab - draft.n_vocab) > MAX_SIZE_DIFFERENCE:
        return f"{draft.n_vocab} tokens instead of {target.n_vocab}"
    for token in range(FIRST_COMPARED, min(target.n_vocab, draft.n_vocab)):
        ours, theirs = C.llama_vocab_get_text(target.vocab, token), C.llama_vocab_get_text(draft.vocab, token)
        if ours != theirs:
            return f"token {token} is {theirs!r} instead of {ours!r}"
    return ""
