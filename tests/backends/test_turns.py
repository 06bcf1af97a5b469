"""Sequences with different adapters take turns: nobody waits long, and what is computed with adapters stays theirs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import AdapterSet, GenerateRequest, SamplingParams
from backends.llama_cpp.engine_stats import Counts, engine_stats
from backends.llama_cpp.scheduler import TILE
from backends.llama_cpp.sequence import Sequence
from backends.llama_cpp.speculation import Speculation
from backends.llama_cpp.turns import MAX_STEPS, TURN, Turns

from .machine import ATTENTION, RECURRENT, Machine, unsampled

ONE: AdapterSet = ((0, 1.0),)
TWO: AdapterSet = ((1, 1.0),)


@settings(max_examples=40, deadline=None)
@given(
    requests=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 150), st.integers(1, 60)), min_size=1, max_size=12),
    token_time=st.sampled_from([0.0, 0.0001, 0.004, 0.1]),
    mixes=st.booleans(),
)
def test_everyone_gets_on_within_a_round(requests, token_time, mixes) -> None:
    """The cells last for all, so that nobody is preempted. Between two of its steps, a sequence waits for a turn of
    each other set and, where prompts and decoding take turns, for one step of the other kind."""
    machine = Machine(4096, 12, token_time=token_time, mixes=mixes)
    for number, n_prompt, max_tokens in requests:
        machine.add([number % 3] * n_prompt, max_tokens, adapters=((number, 1.0),) if number else ())
    waited: dict[Sequence, int] = {}
    while not machine.scheduler.idle:
        running = set(machine.scheduler.running)
        batch = {work.seq for work in machine.step()}
        waited = {seq: 0 if seq in batch else waited.get(seq, 0) + 1 for seq in running - set(machine.finished)}
        n_sets = len({seq.adapters for seq in running})
        for seq, n in waited.items():
            assert n <= 2 * MAX_STEPS * n_sets, f"{seq.adapters} waits for ever"


@pytest.mark.parametrize("mixes", [True, False])
def test_streams_with_different_adapters_go_on_alike(mixes: bool) -> None:
    machine = Machine(4096, 6, token_time=0.03, mixes=mixes)
    streams = [machine.add([i] * 5, 300, adapters=adapters)[0] for i, adapters in enumerate([(), (), ONE, TWO, TWO])]
    for _ in range(120):
        machine.step()
    generated = [seq.n_generated for seq in streams]
    assert min(generated) > 30
    assert max(generated) <= min(generated) + 3


def test_short_steps_come_several_at_a_time_and_long_ones_one_by_one() -> None:
    for token_time, most in ((0.001, round(TURN / 0.001)), (0.2, 1)):
        machine = Machine(4096, 2, token_time=token_time)
        one, two = machine.add([1], 200, adapters=ONE)[0], machine.add([2], 200, adapters=TWO)[0]
        order = [machine.step()[0].seq for _ in range(150)]
        turns = [1]
        for before, after in itertools.pairwise(order):
            turns[-1:] = [turns[-1] + 1] if before is after else [turns[-1], 1]
        assert max(turns[2:-1]) == min(most, MAX_STEPS)
        assert {one, two} == set(order)


def test_prompts_of_many_sets_share_the_budget_of_a_step() -> None:
    """At 2 ms a token, a quarter of half a second is 62 tokens, which is as many as may go in any case."""
    machine = Machine(20000, 8, token_time=0.002)
    (talker,) = machine.add([0] * 4, 500)
    while not talker.decoding:
        machine.step()
    for number in range(3):
        machine.add([1] * 3000, 1, adapters=((number, 1.0),))
    gap, gaps = 0.0, []
    for _ in range(200):
        n_before = talker.n_generated
        gap += 0.002 * sum(len(work.tokens) for work in machine.step())
        if talker.n_generated > n_before:
            gaps.append(gap)
            gap = 0.0
    assert gaps and 3 * 0.002 * (TILE - 1) <= max(gaps) <= 0.5


@pytest.mark.parametrize("kind", [ATTENTION, RECURRENT], ids=["attention", "recurrent"])
@pytest.mark.parametrize("idle", [0, 10**9], ids=["spilled", "resident"])
def test_the_prefix_cache_is_asked_with_the_adapters(kind, idle) -> None:
    machine = Machine(4096, 4, kind, idle=idle)
    prompt = [1, 2, 0] * 60
    for adapters in ((), ONE, ((0, 0.5),)):
        (first,) = machine.add(prompt, 3, adapters=adapters)
        machine.run()
        (again,) = machine.add(prompt, 3, adapters=adapters)
        machine.run()
        assert (first.n_cached, again.n_cached) == (0, 179)
    machine.drained()


def test_those_who_wait_for_something_else_are_passed_over() -> None:
    """As for a grammar's mask, which comes after the batch."""
    turns = Turns(0.5)
    waiting, other, third = (
        unsampled(
            GenerateRequest(id="x", prompt=[1], max_tokens=5, sampling=SamplingParams(), adapters=adapters), 0, 64
        )
        for adapters in (ONE, TWO, ())
    )
    for seq in (waiting, other, third):
        turns.enter(seq)
    waiting.n_computed = 1
    order = []
    for _ in range(6):
        order.append(turns.next().running[0])
        turns.computed(0.2, prefilled=False)
    assert order == 3 * [other, third]
    other.n_computed = third.n_computed = 1
    turns.next()  # nobody's
    waiting.append(2)
    assert turns.next().running == [waiting]


def test_reports_say_who_runs_with_what() -> None:
    machine = Machine(4096, 2)
    for adapters in (ONE, (), TWO, (*ONE, *TWO)):
        machine.add([1, 2, 0] * 5, 3, adapters=adapters)
    machine.step()
    speculation = Speculation(machine.scheduler.step_time, ())
    stats = engine_stats(machine.scheduler, speculation, Counts(), n_compiling=0)
    assert (stats.running_adapters, stats.waiting_adapters) == ([0], [1])
    machine.run()


def test_nobody_waits_for_a_prompt_that_is_computed_with_other_adapters() -> None:
    machine = Machine(20000, 4)
    (long,) = machine.add([1, 2] * 1000, 1)
    machine.step()
    (same,) = machine.add([1, 2] * 1000, 1)
    (other,) = machine.add([1, 2] * 1000, 1, adapters=ONE)
    machine.step()
    assert long.slot is not None and other.slot is not None and same.slot is None
    machine.run()
    assert (same.n_cached, other.n_cached) == (1999, 0)


@pytest.mark.parametrize("idle", [0, 10**9], ids=["spilled", "resident"])
def test_what_an_adapter_had_computed_goes_with_it(idle) -> None:
    machine = Machine(4096, 4, idle=idle)
    for adapters in ((), ONE, (*ONE, *TWO), TWO):
        machine.add([1, 2, 0] * 60, 3, adapters=adapters)
        machine.run()
    machine.pool.drop_adapter(0)
    machine.check()
    kept = {machine.pool.tree.adapters(holder) for holder in machine.pool.tree}
    spilled = {machine.pool.spill._tree.adapters(key) for key in machine.pool.spill._states}
    assert kept | spilled == {(), TWO}
    machine.drained()
