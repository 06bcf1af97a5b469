"""Scheduler, KV pool and drafts together, on a memory in plain Python: whatever is drafted, the texts are the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.llama_cpp.sequence import Sequence
from backends.llama_cpp.speculation import Speculation, Step
from backends.llama_cpp.step_time import StepTime

from .machine import ATTENTION, HYBRID, RECURRENT, WINDOW, Machine, expected, loads, play, sets


class Whatever(Speculation):
    """Drafts by chance: right ones, wrong ones, right beginnings; as many as there is room for."""

    def __init__(self, seed: int) -> None:
        super().__init__(StepTime(), ends=())
        self.chance = random.Random(seed)
        self.verified_: list[tuple[int, int]] = []

    def drafts(self, seqs: list[Sequence], step: Step) -> dict[Sequence, tuple[int, ...]]:
        found: dict[Sequence, tuple[int, ...]] = {}
        room = step.room
        for seq in self.chance.sample(seqs, len(seqs)):
            n = self.chance.randint(0, max(0, min(room, seq.max_new - seq.n_generated - 1, 10)))
            right = expected(seq.array().tolist(), n, seq.adapters)
            keep = self.chance.choice([0, n // 2, n, n])
            draft = (*right[:keep], *(self.chance.randrange(5) for _ in range(n - keep)))
            if draft:
                found[seq] = draft
            room -= n
        return found

    def computed(self, n_tokens: int, seconds: float, *, decodes_only: bool) -> None: ...

    def verified(self, seq: Sequence, n_drafted: int, n_accepted: int) -> None:
        assert seq.slot is not None
        self.verified_.append((n_drafted, n_accepted))


def drafting(machine: Machine, seed: int) -> Whatever:
    who = Whatever(seed)
    machine.scheduler.speculation = who
    return who


@pytest.mark.parametrize(
    "kind", [ATTENTION, WINDOW, HYBRID, RECURRENT], ids=["attention", "window", "hybrid", "recurrent"]
)
@settings(max_examples=60, deadline=None)
@given(
    load=loads,
    n_slots=st.integers(1, 4),
    idle=st.sampled_from([0, 20, 10**9]),
    ram=st.sampled_from([0, 400, 1 << 20]),
    seed=st.integers(0, 1000),
    forces=st.booleans(),
    adapters=sets,
)
def test_any_drafts_give_every_sequence_its_own_text(kind, load, n_slots, idle, ram, seed, forces, adapters) -> None:
    machine = Machine(64, n_slots, kind, ram, idle)
    machine.forces = forces
    who = drafting(machine, seed)
    for seq in play(machine, load, adapters=adapters):
        n = min(seq.request.max_tokens, 64 - seq.n_prompt)
        assert seq.array()[seq.n_prompt :].tolist() == expected(seq.request.prompt, n, seq.adapters)
    assert not who.verified_ or kind[0]
    machine.drained()


@settings(max_examples=30, deadline=None)
@given(load=loads, doomed=st.sets(st.integers(0, 23)), seed=st.integers(0, 1000))
def test_cancelling_whatever_was_drafted_leaves_nothing_behind(load, doomed, seed) -> None:
    machine = Machine(64, 3)
    drafting(machine, seed)
    play(machine, load, doomed)
    machine.drained()


class Greedy(Whatever):
    """Right drafts, as many as there is room for."""

    def drafts(self, seqs: list[Sequence], step: Step) -> dict[Sequence, tuple[int, ...]]:
        found: dict[Sequence, tuple[int, ...]] = {}
        room = step.room
        for seq in seqs:
            n = max(0, min(room, seq.max_new - seq.n_generated - 1))
            if n:
                found[seq] = tuple(expected(seq.array().tolist(), n))
            room -= n
        return found


@pytest.mark.parametrize("kind", [ATTENTION, WINDOW], ids=["attention", "window"])
def test_whoever_leaves_before_its_drafts_are_verified_leaves_none_of_their_cells(kind) -> None:
    """Cancelled while its grammar's mask is waited for, or preempted."""
    machine = Machine(200, 2, kind)
    machine.scheduler.speculation = Greedy(1)
    (seq,) = machine.add([1] * 20, 50)
    machine.step()
    (work,) = machine.compute()
    assert work.drafts
    machine.scheduler.finish(seq)
    machine.check()
    while machine.pool.evict():  # to RAM, from where it comes back whole
        pass
    (again,) = machine.add([*seq.array().tolist(), 0], 5)
    machine.run()
    assert again.n_cached == seq.n_tokens
    assert again.array()[again.n_prompt :].tolist() == expected(again.request.prompt, 5)
    machine.drained()


def test_right_drafts_take_fewer_steps() -> None:
    plain, fast = Machine(512, 2), Machine(512, 2)
    fast.scheduler.speculation = Greedy(1)
    steps = []
    for machine in (plain, fast):
        machine.add([1] * 5, 100)
        n = 0
        while not machine.scheduler.idle:
            machine.step()
            n += 1
        steps.append(n)
    assert steps[0] >= 100 and steps[1] < 12


def test_a_step_with_a_prompt_in_it_has_no_drafts() -> None:
    machine = Machine(4096, 2)
    machine.scheduler.speculation = Greedy(1)
    machine.add([1] * 5, 500)
    machine.step()
    assert sum(len(work.drafts) for work in machine.step()) > 0
    (long,) = machine.add([2] * 500, 5)
    while not long.n_generated:
        assert not any(work.drafts for work in machine.step())
    assert sum(len(work.drafts) for work in machine.step()) > 0


def test_drafts_push_nobody_out() -> None:
    """A pool that parked prefixes and running sequences fill: drafts take what is free, and no more."""
    machine, without = Machine(128, 2), Machine(128, 2)
    machine.scheduler.speculation = Greedy(1)
    for each in (machine, without):
        each.add([1] * 40, 1)
        each.run()
        each.add([2] * 30, 20)
        each.add([0] * 30, 20)
        each.run()
    assert machine.scheduler.preemptions == without.scheduler.preemptions == 0
    assert machine.pool.evictions <= without.pool.evictions
