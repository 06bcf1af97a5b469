"""The engine's `main()`: load the model as told over the inherited socket, then run the loop."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress

import msgspec

from backends.base import LoadFailed, ModelInfo, ModelLoadError
from backends.engine_options import EngineOptions

from . import library
from .adapters import Adapters
from .channel import Channel
from .constraint import Grammars
from .context import Context
from .engine import Engine
from .engine_messages import EngineCommand, LoadProgress
from .kv_pool import KVPool, MemoryTraits
from .model import Model
from .placement import DEFAULT_CTX, place
from .rope import TrainedRope, decide
from .sampling import SamplingVocab
from .sampling_defaults import sampling_defaults
from .speculation.draft_loading import draft_model, load_draft_model
from .spill import SpillStore
from .threads import default_threads

IDLE_SLOWDOWN = 0.025
"""How much slower parked prefixes may make a prompt: for each of its tokens every layer and head looks at every cell's
mask. Getting a prefix back from RAM is cheap beside that, and far cheaper than computing it."""
MASK_COST = 37
"""Multiplications and additions of a matrix product that take as long as one look (measured, AVX2)."""
MIN_IDLE_CELLS = 1024
"""Parked cells that are always allowed: small models' steps are short anyway."""
SPILL_FROM = 64
"""Idle cells that on a CPU are better copied to RAM and back (13 µs each, 0.5B) than left for steps to look at: a
prompt's takes 20 µs longer for each, one that decodes a single sequence 0.3. Elsewhere copies cross a bus."""
MIN_CTX = 512


def main() -> None:
    """Run as `python -m backends.llama_cpp.engine_process FD`."""
    # A terminal's Ctrl-C and systemd's SIGTERM reach this process too; the API process decides when it ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    channel: Channel[EngineCommand] = Channel.from_fd(int(sys.argv[1]), EngineCommand)
    options = channel.receive()
    if not isinstance(options, EngineOptions):
        return
    with suppress(ConnectionError):  # the API process is gone, or has called this load off
        try:
            engine, info = _load(options, channel)
        except ModelLoadError as error:
            channel.send(LoadFailed(str(error)))
            return
        channel.send(info)
        engine.run()


def _load(options: EngineOptions, channel: Channel[EngineCommand]) -> tuple[Engine, ModelInfo]:
    started = time.monotonic()
    reported = 0.0

    def report(fraction: float) -> None:
        nonlocal reported
        if fraction - reported >= 0.01:
            reported = fraction
            channel.send(LoadProgress(fraction))

    placement = place(options)
    wanted_ctx, options, notes = options.n_ctx, placement.options, [*placement.notes]
    model = Model(options, report, placement.file)
    draft = _draft(model, options, notes)
    context = _context(model, options, wanted_ctx, notes)
    if not model.has_decoder or model.has_encoder or not context.remembers:
        raise ModelLoadError(f"cannot serve {options.model_path}: not a model that continues a text token by token")
    drafter = None if draft is None else draft_model(draft, model, options, context.n_ctx, context.n_threads)
    spill = SpillStore(-1 if options.cache_ram_mib < 0 else options.cache_ram_mib << 20)
    pool = KVPool(
        context,
        _traits(model, context),
        spill,
        _max_idle_cells(model, options, context),
        spill_from=SPILL_FROM if context.on_cpu else None,
    )
    vocab = SamplingVocab.from_model(model.vocab)
    drafters = tuple(name for name in options.speculation if name != "draft-simple" or drafter is not None)
    if not pool.traits.trimmable:  # drafts couldn't be taken back
        drafters = ()
    info = ModelInfo(
        path=options.model_path,
        engine=f"llama.cpp {library.versions().commit}",
        description=model.description,
        n_vocab=model.n_vocab,
        n_ctx=context.n_ctx,
        n_ctx_train=model.n_ctx_train,
        n_embd=model.n_embd,
        n_params=model.n_params,
        size_bytes=model.size_bytes,
        n_parallel=options.n_parallel,
        metadata=model.metadata,
        chat_template=model.chat_template,
        sampling_defaults=sampling_defaults(model.metadata),
        load_seconds=time.monotonic() - started,
        drafters=drafters,
        notes=notes,
    )
    grammars = Grammars(model.vocab, vocab.eog.tolist(), options.grammar_seconds)
    adapters = Adapters(model.handle, context.handle)
    engine = Engine(context, pool, vocab, channel, options.step_budget_ms / 1000, grammars, drafters, drafter, adapters)
    return engine, info


def _draft(model: Model, options: EngineOptions, notes: list[str]) -> Model | None:
    """The draft model, if there is to be one."""
    if options.draft_model_path is None or "draft-simple" not in options.speculation:
        return None
    if model.recurrent or model.hybrid:
        notes.append("no speculative decoding: this model's memory cannot take a draft back; the draft model is unused")
        return None
    draft = load_draft_model(options, model)
    notes.append(f"draft model: {draft.description}, {draft.size_bytes / 2**20:.0f} MiB")
    return draft


def _context(model: Model, options: EngineOptions, wanted_ctx: int, notes: list[str]) -> Context:
    """Make the context, of the length that was decided on; shorter if `wanted_ctx` is 0 and it can't be had."""
    trained = TrainedRope.of(model.metadata, model.n_ctx_train or DEFAULT_CTX, rotates=model.has_rope)
    rope = decide(options.rope, trained, wanted_ctx)
    notes += rope.notes
    n_ctx = options.n_ctx if wanted_ctx else min(options.n_ctx, rope.reach)
    options = msgspec.structs.replace(options, rope=rope.options)
    threads = options.n_threads or default_threads()
    while True:
        try:
            context = Context(model, options, n_ctx, threads)
        except ModelLoadError:
            if wanted_ctx or n_ctx <= MIN_CTX:
                raise
            n_ctx = max(MIN_CTX, n_ctx // 2)
            notes.append(f"no memory for the context; trying {n_ctx} tokens")
        else:
            break
    notes.append(
        f"{model.description}: {model.size_bytes / 2**20:.0f} MiB, context {context.n_ctx} tokens shared by "
        f"{options.n_parallel} sequences, {threads} threads, batch {context.n_batch}/{context.n_ubatch}, "
        f"KV cache {options.cache_type_k}/{options.cache_type_v}"
    )
    return context


def _traits(model: Model, context: Context) -> MemoryTraits:
    return MemoryTraits(
        n_cells=context.n_ctx,
        n_slots=context.n_slots,
        parking_ids=context.parking_ids,
        trimmable=not (model.recurrent or model.hybrid),
        cell_per_token=not model.recurrent,
        n_swa=model.n_swa,
    )


def _max_idle_cells(model: Model, options: EngineOptions, context: Context) -> int:
    """Idle cells that slow prompts down by no more than IDLE_SLOWDOWN; all that there are, if nothing is spilled."""
    if model.recurrent or options.cache_ram_mib == 0:
        return context.n_ctx
    return max(MIN_IDLE_CELLS, int(IDLE_SLOWDOWN / MASK_COST * model.n_params / (model.n_layer * model.n_head)))


if __name__ == "__main__":
    main()
