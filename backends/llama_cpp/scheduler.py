"""Which tokens of which sequence go into the next batch: admission, chunked prefill, preemption.

The policy, in order, each step (2 and 4 for the sequences whose turn it is, where LoRA adapters differ: `turns.py`):

1. Waiting sequences enter while a slot is free and their uncached tokens plus some headroom fit the pool: first come,
   first served, but for those with more of their prompt in the prefix cache, which may overtake so many times. One
   whose prompt another sequence is computing right now waits until that one has computed what the two have in common,
   then shares its cells.
2. Every decoding sequence gets its one token; then, as far as the step ends within its budget, come the tokens that
   grammars forced behind these, and chunks of prefills: the oldest one gets half, the shortest ones the other, so that
   none waits for a long one's end. On CPUs the two kinds take turns, unless they fill no tile.
3. Parked prefixes that would slow the step down go to RAM. If its cells aren't there, more are evicted, then the
   youngest sequence is preempted: it goes back to the queue and is computed again from what the prefix cache kept.
4. Drafts (`speculation/`) get what room is left, in the batch and in the pool, if they pay. Nothing makes way for them.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace

from .kv_pool import KVPool
from .prefix_cache import Tokens, common_prefix
from .sequence import Sequence
from .speculation import Speculation, Step
from .step_time import StepTime
from .turns import Group, Turns

TILE = 64
"""Tokens that llama.cpp's attention on CPUs computes together (GGML_FA_TILE_Q): each costs as much as if it attended to
all cells that any of them does. With fewer in a step, a long prompt's tokens cost half as much again. So a step with
prompts in it may have so many, even beyond its budget."""
MIN_CHUNK = 32
"""How many of them are the prompts' at least."""
MIN_FORCED = 16
"""Tokens that grammars forced which a step may have even beyond its budget."""
HEADROOM = 32
"""Cells beyond its prompt that a sequence must find free to be admitted."""
MIN_SHARED = 32
"""Prompt tokens worth waiting for while another sequence computes them."""
MAX_OVERTAKEN = 16
"""How many younger sequences may enter before one that waits, for having more in the prefix cache."""
CHECKPOINT_EVERY = 512
"""Tokens between checkpoints of a long prompt, for memory that only whole sequences can be reused of."""


@dataclass(frozen=True)
class Work:
    """`n` tokens of a sequence to compute in this batch, and after them what may come next."""

    seq: Sequence
    n: int
    drafts: tuple[int, ...] = ()

    @property
    def tokens(self) -> Tokens:
        """All that is computed of it, drafts included."""
        seq, start = self.seq, self.seq.n_computed
        return seq.with_drafts(self.drafts)[start:] if self.drafts else seq.array(start + self.n)[start:]


class Scheduler:
    """Queues of sequences over a KV pool."""

    def __init__(
        self,
        pool: KVPool,
        n_batch: int,
        prefill_chunk: int,
        n_outputs: int,
        step_budget: float,
        *,
        mixes: bool = True,
    ) -> None:
        """What a batch may have: `n_batch` tokens, `prefill_chunk` of them of prompts, `n_outputs` rows of logits;
        and for how many seconds one with prompts in it may hold up sequences that decode. There must be more tokens and
        rows than slots. `mixes`: whether it may have both prompts and sequences that decode; else they take turns: that
        is faster where attention is computed in tiles.
        """
        self.pool = pool
        self.step_time = StepTime()
        """How long steps take."""
        self.speculation: Speculation | None = None
        """Who drafts; None: nobody."""
        self._turns = Turns(step_budget)
        self._n_batch = n_batch
        self._prefill_chunk = prefill_chunk
        self._n_outputs = n_outputs
        self._mixes = mixes
        self.waiting: list[Sequence] = []
        """By arrival."""
        self.running: list[Sequence] = []
        """By arrival."""
        self.preemptions = 0
        self.cache_queries = self.cache_hits = 0
        """Prompt tokens looked up in the prefix cache, and found."""

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.running

    def add(self, seq: Sequence) -> None:
        bisect.insort(self.waiting, seq, key=lambda s: s.arrival)

    def finish(self, seq: Sequence) -> None:
        """Take a sequence out, wherever it is; its computed tokens stay in the prefix cache."""
        if seq in self.running:
            self._leave(seq)
        elif seq in self.waiting:
            self.waiting.remove(seq)

    def schedule(self) -> list[Work]:
        """The next batch; empty only if there is nothing to do."""
        self._admit()
        self.pool.bound_idle()
        while True:
            group = self._turns.next()
            batch = self._fill(group)
            if self.pool.make_room(sum(self.pool.cost(work.n) for work in batch)):
                return self._with_drafts(batch, group)
            if not self.preempt_youngest():
                return [Work(work.seq, min(work.n, self.pool.free)) for work in batch if self.pool.free]

    def preempt_youngest(self) -> bool:
        """Send the youngest running sequence back to the queue. False: it runs alone, so it keeps its cells."""
        if len(self.running) < 2:
            return False
        self.requeue(self.running[-1])
        self.preemptions += 1
        return True

    def requeue(self, seq: Sequence) -> None:
        """Send a running sequence back to the queue, to be computed again from what the prefix cache has of it."""
        self._leave(seq)
        self.add(seq)

    # --- parts ---

    def _leave(self, seq: Sequence) -> None:
        self.running.remove(seq)
        self._turns.leave(seq)
        self.pool.close(seq)

    def _admit(self) -> None:
        while self.waiting and self.pool.has_slot:
            seq = self._next_to_enter()
            if seq is None or not self._enter(seq):
                return

    def _next_to_enter(self) -> Sequence | None:
        """The oldest waiting sequence, or a younger one that has notably more of its prompt in the prefix cache."""
        candidates = [seq for seq in self.waiting[: 4 * self.pool.traits.n_slots] if not self._awaits_prefill(seq)]
        if len(candidates) < 2 or candidates[0].n_overtaken >= MAX_OVERTAKEN:
            return candidates[0] if candidates else None
        reusable = [self.pool.reusable(seq) if seq.reuses else 0 for seq in candidates]
        best = reusable.index(max(reusable))
        return candidates[best if reusable[best] - reusable[0] >= MIN_SHARED else 0]

    def _enter(self, seq: Sequence) -> bool:
        """Admit a sequence if the pool can hold it beside what the running ones have still to compute."""
        pool = self.pool
        beside = sum(other.n_remaining for other in self.running) + HEADROOM if self.running else 0
        if pool.cost(seq.n_tokens - self._held(seq) + beside) > pool.free + pool.idle:
            return False
        pool.open(seq)
        for older in self.waiting[: self.waiting.index(seq)]:
            older.n_overtaken += 1
        self.waiting.remove(seq)
        bisect.insort(self.running, seq, key=lambda s: s.arrival)
        self._turns.enter(seq)
        if not seq.started:
            seq.start()
            self.cache_queries += seq.n_prompt
            self.cache_hits += seq.n_cached
        return True

    def _held(self, seq: Sequence) -> int:
        """Its leading tokens whose cells it will share with a running sequence: they take no room of its own."""
        if not seq.reuses or not self.pool.traits.trimmable:
            return 0
        tokens, kin = seq.array()[:-1], self._turns.kin(seq)
        return max((common_prefix(tokens, other.array(other.n_shared)) for other in kin), default=0)

    def _awaits_prefill(self, seq: Sequence) -> bool:
        """Whether a running sequence is about to publish cells that this one could share."""
        if not seq.reuses:
            return False
        tokens = seq.array()[:-1]
        coming = max((self._to_come(tokens, other) for other in self._turns.kin(seq)), default=0)
        return coming >= MIN_SHARED and coming > self.pool.reusable(seq)

    def _to_come(self, tokens: Tokens, other: Sequence) -> int:
        """How many of these leading tokens `other` will have published, if it has still to compute some of them."""
        if other.windowed or not other.request.cache_prompt:
            return 0
        shared = common_prefix(tokens, other.array(other.n_prompt))
        if not self.pool.traits.trimmable and shared < other.n_prompt - 1:
            shared -= shared % CHECKPOINT_EVERY
        return shared if shared > other.n_computed else 0

    def _fill(self, group: Group) -> list[Work]:
        """Every decoding sequence's token, then prefill chunks, within the limits of a batch."""
        batch = self._decodes(group.running)
        prefills = [seq for seq in group.running if seq.prefilling]
        if not prefills or (batch and group.prefilled and not self._mixes):
            return batch
        n_decoding = sum(work.n for work in batch)
        if self._mixes:
            room = min(self._chunk_beside(n_decoding), self._n_batch - n_decoding)
        else:
            room = min(self._chunk_apart(n_decoding), self._n_batch)
        rows = self._n_outputs - len(group.running)  # beyond the one that each may need
        chunks = dict.fromkeys(prefills, 0)
        for order, left in ((sorted(prefills, key=lambda seq: seq.n_remaining), room // 2), (prefills, room)):
            left -= sum(chunks.values())
            for seq in order:
                n = min(seq.n_remaining, self._chunk_limit(seq), chunks[seq] + left)
                if seq.n_scored < seq.n_to_score:
                    n = min(n, max(chunks[seq], 1) + rows)
                    rows -= max(n, 1) - max(chunks[seq], 1)
                left -= n - chunks[seq]
                chunks[seq] = n
        prompts = [Work(seq, n) for seq, n in chunks.items() if n]
        together = n_decoding + sum(chunks.values())
        # Too few for a tile are computed row by row: nobody pays for others' cells, and the weights are read once.
        return batch + prompts if self._mixes or together < min(TILE, self._n_batch) else prompts

    def _decodes(self, running: list[Sequence]) -> list[Work]:
        """The last token of every decoding sequence, with those that had to follow it, as far as they fit the batch,
        and the budget if others wait for them."""
        decoding = [seq for seq in running if seq.decoding]
        if all(seq.n_remaining == 1 for seq in decoding):
            return [Work(seq, 1) for seq in decoding]
        spare = self._n_batch - len(running)
        if len(self.running) > 1:
            fitting = self.step_time.largest_within(self._turns.share, self._n_batch)
            spare = min(spare, max(MIN_FORCED, fitting - len(decoding)))
        batch = []
        for seq in decoding:
            n = min(seq.n_remaining, 1 + spare)
            spare -= n - 1
            batch.append(Work(seq, n))
        return batch

    def _chunk_beside(self, n_decoding: int) -> int:
        """Prefill tokens that fit the budget of a step in which so many others are computed.

        Where none does, the budget is for those who may come: on a machine that a full chunk takes so long, smaller
        ones are as efficient.
        """
        if not self.step_time.estimate(n_decoding):
            return min(TILE, self._prefill_chunk)
        fitting = self.step_time.largest_within(self._turns.share, n_decoding + self._prefill_chunk)
        return min(max(MIN_CHUNK, max(TILE, fitting) - n_decoding), self._prefill_chunk)

    def _chunk_apart(self, n_decoding: int) -> int:
        """Prefill tokens, whole tiles of them, that fit the budget together with the step of decoding that follows."""
        budget = self._turns.share - self.step_time.estimate(n_decoding)
        fitting = self.step_time.largest_within(budget, self._prefill_chunk) if self.step_time.estimate(1) else 0
        return min(max(TILE, fitting // TILE * TILE), self._prefill_chunk)

    def _with_drafts(self, batch: list[Work], group: Group) -> list[Work]:
        """The same, with drafts where there are some and room is left for them.

        Not while prompts are computed: they fill the budget, and drafts would make steps longer.
        """
        traits = self.pool.traits
        if self.speculation is None or not traits.trimmable or any(seq.prefilling for seq in group.running):
            return batch
        n_tokens = sum(work.n for work in batch)
        # llama.cpp places a batch ubatch by ubatch: a later one would overwrite what an earlier one's drafts push out
        # of the attention window, and it would be missing when they are taken back.
        n_batch = min(self._n_batch, self._prefill_chunk) if traits.n_swa else self._n_batch
        room = min(min(n_batch, self.pool.free) - n_tokens, self._n_outputs - len(batch))
        whole = [work.seq for work in batch if work.n == work.seq.n_remaining]
        drafts = self.speculation.drafts(whole, Step(n_tokens, len(batch), room))
        return [replace(work, drafts=drafts[work.seq]) if work.seq in drafts else work for work in batch]

    def computed(self, batch: list[Work], seconds: float) -> None:
        """A batch has been computed, and took so long. Call `advance` with each of its parts."""
        n_tokens = sum(work.n + len(work.drafts) for work in batch)
        self.step_time.observe(n_tokens, seconds)
        prefilling = [work.seq.prefilling for work in batch]
        self._turns.computed(seconds, prefilled=all(prefilling))
        if self.speculation is not None:
            self.speculation.computed(n_tokens, seconds, decodes_only=not any(prefilling))

    def verified(self, work: Work, n_accepted: int) -> None:
        """So many of the drafts have come true; give the other ones' cells back."""
        if self.speculation is not None and work.drafts:
            self.speculation.verified(work.seq, len(work.drafts), n_accepted)
            if n_accepted < len(work.drafts):
                self.pool.trim(work.seq)

    def _chunk_limit(self, seq: Sequence) -> int:
        """Tokens until the next point where a whole-sequence checkpoint is due; no limit on trimmable memory."""
        if self.pool.traits.trimmable or not seq.request.cache_prompt:
            return seq.n_remaining
        last = seq.n_prompt - 1
        if seq.n_computed >= last:
            return seq.n_remaining
        next_checkpoint = (seq.n_computed // CHECKPOINT_EVERY + 1) * CHECKPOINT_EVERY
        return min(next_checkpoint, last) - seq.n_computed

    def advance(self, work: Work) -> None:
        """Record that a batch with this work has been computed; publish what others can share."""
        seq = work.seq
        was_prefilling = seq.n_computed < seq.n_prompt
        seq.n_computed += work.n
        if not was_prefilling or not seq.request.cache_prompt:
            return
        if (
            self.pool.traits.trimmable
            or seq.n_computed == seq.n_prompt - 1
            or (seq.n_computed < seq.n_prompt and seq.n_computed % CHECKPOINT_EVERY == 0)
        ):
            self.pool.publish(seq)
