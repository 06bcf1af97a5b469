"""What an engine reports of itself, a few times a second."""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import EngineStats, SlotState

from .scheduler import Scheduler
from .sequence import Sequence
from .speculation import Speculation


@dataclass
class Counts:
    """What the loop itself counts; the others count for themselves."""

    prompt_tokens: int = 0
    generation_tokens: int = 0
    steps: int = 0


def engine_stats(scheduler: Scheduler, speculation: Speculation, counts: Counts, *, n_compiling: int) -> EngineStats:
    """`n_compiling`: sequences whose grammars are being compiled."""
    pool = scheduler.pool
    running, waiting = _adapters(scheduler.running), _adapters(scheduler.waiting)
    return EngineStats(
        running=len(scheduler.running),
        waiting=len(scheduler.waiting) + n_compiling,
        cells_total=pool.total,
        cells_used=pool.used,
        cells_cached=pool.idle,
        cached_sequences=pool.n_parked,
        spilled_bytes=pool.spill.n_bytes,
        spilled_sequences=len(pool.spill),
        prompt_tokens=counts.prompt_tokens,
        generation_tokens=counts.generation_tokens,
        preemptions=scheduler.preemptions,
        prefix_cache_queries=scheduler.cache_queries,
        prefix_cache_hits=scheduler.cache_hits,
        spills=pool.spills,
        restores=pool.restores,
        evictions=pool.evictions,
        drafts=speculation.n_drafts,
        draft_tokens=speculation.n_drafted,
        draft_tokens_accepted=speculation.n_accepted,
        steps=counts.steps,
        running_adapters=sorted(running),
        waiting_adapters=sorted(waiting - running),
        slots=[_slot_state(seq) for seq in scheduler.running],
    )


def _adapters(seqs: list[Sequence]) -> set[int]:
    return {adapter for seq in seqs for adapter, _ in seq.adapters}


def _slot_state(seq: Sequence) -> SlotState:
    assert seq.slot is not None
    return SlotState(
        slot=seq.slot,
        request_id=seq.request.id,
        index=seq.index,
        prompt_tokens=seq.n_prompt,
        processed_tokens=min(seq.n_computed, seq.n_prompt),
        generated_tokens=seq.n_generated,
        max_tokens=seq.max_new,
    )
