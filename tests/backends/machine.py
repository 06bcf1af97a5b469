"""A machine for tests of the scheduler: it and the KV pool on a memory in plain Python, checked each step; no model."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Several

import numpy as np
from hypothesis import strategies as st

from backends.base import AdapterSet, GenerateRequest, SamplingParams
from backends.llama_cpp.kv_pool import KVPool, MemoryTraits
from backends.llama_cpp.prefix_cache import Tokens
from backends.llama_cpp.scheduler import Scheduler, Work
from backends.llama_cpp.sequence import Sequence
from backends.llama_cpp.spill import SpillStore

from .cells import PlainCells

Kind = tuple[bool, bool, int]
"""Whether memory can be trimmed, whether a token takes a cell, and the window of attention."""
ATTENTION, WINDOW, HYBRID, RECURRENT = (True, True, 0), (True, True, 8), (False, True, 0), (False, False, 0)

Load = list[tuple[list[int], int, int, int]]
"""Requests one after the other: a prompt, its `max_tokens` and `n`, and the steps until the next one comes."""


class NoSampler:
    def accept(self, token: int) -> None: ...


def unsampled(request: GenerateRequest, index: int, n_ctx: int) -> Sequence:
    """A sequence that is told its tokens."""
    prompt = np.array(request.prompt, np.int32)
    return Sequence(request, prompt, index, NoSampler(), n_ctx)  # type: ignore[arg-type]  # `accept` is all it calls


def mark(adapters: AdapterSet) -> int:
    """What adapters change: in the 'model', and in its cells."""
    return sum((number + 1) * round(8 * scale) for number, scale in adapters)


def cells(tokens: Tokens, adapters: AdapterSet) -> Tokens:
    """What the cells of these tokens hold."""
    return tokens + 100 * mark(adapters)


def next_token(seq: Sequence) -> int:
    """A 'model': the next token depends on all before it."""
    return int(seq.array().sum() * 7 + seq.n_tokens + mark(seq.adapters)) % 5


class Machine:
    """Runs sequences as the engine does, with `next_token` for a model."""

    def __init__(
        self,
        n_cells: int,
        n_slots: int,
        kind: Kind = ATTENTION,
        ram: int = 1 << 20,
        idle: int = 10**9,
        n_batch: int = 512,
        token_time: float = 0.001,
        mixes: bool = True,
        spill_from: int | None = None,
    ) -> None:
        trimmable, cell_per_token, window = kind
        self.memory = PlainCells(n_cells if cell_per_token else 10**9, window)
        parking = range(n_slots, n_slots + 6)
        traits = MemoryTraits(n_cells, n_slots, parking, trimmable, cell_per_token, window)
        self.pool = KVPool(self.memory, traits, SpillStore(ram), idle, spill_from=spill_from)
        self.n_ctx, self.n_batch, self.n_outputs = n_cells, n_batch, max(n_slots + 1, 16)
        self.scheduler = Scheduler(
            self.pool,
            n_batch,
            prefill_chunk=min(128, n_batch),
            n_outputs=self.n_outputs,
            step_budget=0.5,
            mixes=mixes,
        )
        self.token_time = token_time
        self.forces = False
        """Whether some tokens have to be followed by others, as if by a grammar."""
        self.computed = 0
        self.finished: list[Sequence] = []

    def add(self, prompt: list[int], max_tokens: int, n: int = 1, adapters: AdapterSet = ()) -> list[Sequence]:
        request = GenerateRequest(
            id=str(len(self.finished)),
            prompt=prompt,
            max_tokens=max_tokens,
            sampling=SamplingParams(),
            n=n,
            adapters=adapters,
        )
        sequences = [unsampled(request, i, self.n_ctx) for i in range(n)]
        for seq in sequences:
            self.scheduler.add(seq)
        return sequences

    def step(self) -> list[Work]:
        batch = self.compute()
        for work in batch:
            if work.seq.n_remaining == 0:
                self.generate(work)
        self.check()
        return batch

    def compute(self) -> list[Work]:
        """A step, but for the tokens that come of it."""
        batch = self.scheduler.schedule()
        n_tokens = sum(len(work.tokens) for work in batch)
        assert n_tokens <= self.n_batch
        assert sum(1 + len(work.drafts) for work in batch) <= self.n_outputs
        assert len({work.seq.adapters for work in batch}) <= 1
        self.memory.decode(
            [(work.seq.slot or 0, cells(work.tokens, work.seq.adapters), work.seq.n_computed) for work in batch]
        )
        self.computed += n_tokens
        self.scheduler.computed(batch, n_tokens * self.token_time)
        for work in batch:
            self.scheduler.advance(work)
        return batch

    def generate(self, work: Work) -> None:
        """What follows a sequence's last token, and the drafts that come true."""
        seq, n_accepted = work.seq, 0
        for drafted in (*work.drafts, None):
            token = next_token(seq)
            seq.append(token, computed=token == drafted)
            if token != drafted:
                break
            n_accepted += 1
        if self.forces and seq.n_tokens % 3 == 0:
            for _ in range(min(seq.n_tokens % 13, seq.max_new - seq.n_generated)):
                seq.append(next_token(seq))
        self.scheduler.verified(work, n_accepted)
        if seq.n_generated >= seq.max_new:
            self.scheduler.finish(seq)
            self.finished.append(seq)

    def check(self) -> None:
        pool = self.pool
        for slot, seq in pool.live.items():
            assert self.memory.text(slot) == cells(seq.array(seq.n_computed), seq.adapters).tolist()
        if pool.traits.trimmable and not pool.traits.n_swa:
            assert pool.used == self.memory.used
            assert pool.used <= pool.total
        elif pool.traits.cell_per_token:
            assert pool.used >= self.memory.used  # shared cells may be counted for each who holds them
        for holder in pool.tree:
            tokens = cells(pool.tree.tokens(holder), pool.tree.adapters(holder))
            assert self.memory.text(holder)[: len(tokens)] == tokens.tolist()

    def run(self, limit: int = 5000) -> None:
        while not self.scheduler.idle:
            assert self.step(), "nothing to do, yet sequences wait"
            limit -= 1
            assert limit, "no end in sight"

    def drained(self) -> None:
        """Only the prefix cache holds cells, and dropping it empties the pool."""
        assert self.pool.used == self.pool.idle
        while self.pool.evict():
            pass
        assert self.pool.used == 0 and self.memory.used == 0 and not list(self.pool.tree)


def play(
    machine: Machine, load: Load, doomed: Collection[int] = (), adapters: Several[AdapterSet] = ((),)
) -> list[Sequence]:
    """Run a load to its end. `doomed`: the numbers of sequences that are cancelled, wherever they are, when the next
    request comes or the last one's steps are over. `adapters`: the requests', in turn."""
    sequences: list[Sequence] = []
    for i, (prompt, max_tokens, n, n_steps) in enumerate(load):
        sequences += machine.add(prompt, max_tokens, n, adapters[i % len(adapters)])
        for _ in range(n_steps):
            if not machine.scheduler.idle:
                machine.step()
        for i, seq in enumerate(sequences):
            if i in doomed:
                machine.scheduler.finish(seq)
        machine.check()
    machine.run()
    return sequences


def expected(prompt: list[int], n: int, adapters: AdapterSet = ()) -> list[int]:
    """What `next_token` makes of a prompt."""
    tokens = list(prompt)
    for _ in range(n):
        tokens.append((sum(tokens) * 7 + len(tokens) + mark(adapters)) % 5)
    return tokens[len(prompt) :]


prompts = st.lists(st.integers(0, 2), min_size=1, max_size=40)
loads = st.lists(st.tuples(prompts, st.integers(1, 20), st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=8)
sets = st.lists(st.sampled_from([(), ((0, 1.0),), ((0, 0.5),), ((0, 1.0), (1, 0.25))]), min_size=1, max_size=5)
"""Adapters that requests have, in turn."""
