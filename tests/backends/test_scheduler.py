"""Scheduler and KV pool together, on a memory in plain Python: no model, every invariant checked each step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.llama_cpp.scheduler import CHECKPOINT_EVERY, MAX_OVERTAKEN, TILE
from backends.llama_cpp.sequence import Sequence

from .machine import ATTENTION, HYBRID, RECURRENT, WINDOW, Machine, expected, loads, play, sets


@pytest.mark.parametrize(
    "kind", [ATTENTION, WINDOW, HYBRID, RECURRENT], ids=["attention", "window", "hybrid", "recurrent"]
)
@pytest.mark.parametrize("ram", [0, 400, 1 << 20])
@settings(max_examples=30, deadline=None)
@given(
    load=loads,
    n_slots=st.integers(1, 4),
    idle=st.sampled_from([0, 20, 10**9]),
    forces=st.booleans(),
    mixes=st.booleans(),
    spill_from=st.sampled_from([None, 8]),
    adapters=sets,
)
def test_any_load_on_a_small_pool_gives_every_sequence_its_own_text(
    kind, ram, load, n_slots, idle, forces, mixes, spill_from, adapters
) -> None:
    machine = Machine(64, n_slots, kind, ram, idle, mixes=mixes, spill_from=spill_from)
    machine.forces = forces
    for seq in play(machine, load, adapters=adapters):
        n = min(seq.request.max_tokens, 64 - seq.n_prompt)
        assert seq.array()[seq.n_prompt :].tolist() == expected(seq.request.prompt, n, seq.adapters)
    machine.drained()


@settings(max_examples=30, deadline=None)
@given(load=loads, doomed=st.sets(st.integers(0, 23)), adapters=sets)
def test_cancelling_anything_at_any_time_leaves_nothing_behind(load, doomed, adapters) -> None:
    machine = Machine(64, 3)
    play(machine, load, doomed, adapters)
    machine.drained()


def until(machine: Machine, condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        machine.step()
    raise AssertionError("never happened")


@pytest.mark.parametrize(("token_time", "chunk"), [(0.001, 128), (0.007, 70), (0.1, TILE - 1)])
def test_a_long_prompt_goes_in_chunks_that_fit_a_step_s_budget(token_time: float, chunk: int) -> None:
    machine = Machine(4096, 4, token_time=token_time)
    (talker,) = machine.add([1] * 4, 200)
    until(machine, lambda: talker.decoding)
    (long,) = machine.add([2] * 500, 1)
    steps = 0
    while long.n_generated == 0:
        batch = machine.step()
        assert {work.seq: work.n for work in batch}[talker] == 1
        assert sum(work.n for work in batch) <= chunk + 1
        steps += 1
    assert steps == -(-500 // chunk)


def test_the_same_prompt_at_once_is_computed_once() -> None:
    machine = Machine(8192, 8)
    machine.add([1, 2] * 300, 4, n=8)
    machine.run()
    assert machine.computed <= 600 + 8 * 4 + 8


@pytest.mark.parametrize("kind", [HYBRID, RECURRENT], ids=["hybrid", "recurrent"])
def test_whole_sequence_memory_computes_a_shared_prompt_once(kind) -> None:
    machine = Machine(20000, 4, kind)
    machine.add([1, 2] * 300, 4, n=4)
    machine.run()
    assert machine.computed <= 600 + 4 * 4 + 4
    before = machine.computed
    machine.add([1, 2] * 300 + [0] * 20, 2)
    machine.run()
    assert machine.computed - before <= 20 + 2 + 1


def test_whole_sequence_memory_keeps_checkpoints_of_a_long_prompt() -> None:
    machine = Machine(20000, 2, RECURRENT)
    machine.add([1] * (CHECKPOINT_EVERY + 100), 1)
    machine.run()
    before = machine.computed
    machine.add([1] * (CHECKPOINT_EVERY + 50) + [2] * 100, 1)
    machine.run()
    assert machine.computed - before <= 150 + 1


def test_a_conversation_computes_only_what_is_new() -> None:
    machine = Machine(4096, 2)
    (first,) = machine.add([1] * 100, 20)
    machine.run()
    before = machine.computed
    machine.add([*first.array().tolist(), *[2] * 10], 5)
    machine.run()
    assert machine.computed - before == 1 + 10 + 4
    assert machine.scheduler.cache_hits == 119


def test_spilled_prefixes_come_back_by_copy() -> None:
    machine = Machine(512, 2, idle=0)
    machine.add([1] * 200, 1)
    machine.run()
    assert machine.pool.n_parked == 1, "idle cells cost nothing while nothing is computed"
    machine.add([2] * 100, 5)
    machine.step()
    assert machine.pool.n_parked == 0 and len(machine.pool.spill) == 1
    machine.run()
    before = machine.computed
    machine.add([1] * 200, 1)
    machine.run()
    assert machine.computed - before == 1
    assert machine.pool.restores == 1


def test_what_is_mostly_its_own_is_spilled_early() -> None:
    """Within the bound on idle cells: unique prompts go when others are computed, the ends of shared ones don't."""
    machine = Machine(2048, 2, spill_from=20)
    for end in (3, 4):
        machine.add([1] * 500 + [end] * 30, 1)
        machine.run()
    machine.add([2] * 100, 1)
    machine.run()
    assert (machine.pool.spills, machine.pool.n_parked) == (0, 3)
    machine.add([5] * 10, 1)
    machine.run()
    assert (machine.pool.spills, machine.pool.n_parked) == (1, 3)
    before = machine.computed
    for prompt in ([1] * 500 + [3] * 30, [1] * 500 + [4] * 30, [2] * 100):
        machine.add(prompt, 1)
    machine.run()
    assert machine.computed - before == 3
    assert machine.pool.restores == 1


@pytest.mark.parametrize(("idle", "spill_from"), [(10**9, 20), (0, None)])
def test_idle_prefixes_are_spilled_one_a_step(idle: int, spill_from: int | None) -> None:
    """Nobody's first token waits until all are copied."""
    machine = Machine(2048, 4, idle=idle, spill_from=spill_from)
    for i in range(4):
        machine.add([i] * 100, 1)
    machine.run()
    spilled = machine.pool.spills
    machine.add([5] * 10, 20)
    for n in range(1, 8):
        machine.step()
        assert machine.pool.spills == min(4, spilled + n)


def test_what_is_too_large_for_the_ram_is_not_lost_early() -> None:
    """Nor copied in vain again and again."""
    machine = Machine(2048, 2, ram=200, spill_from=20)
    machine.add([1] * 500, 1)
    machine.run()
    for k in range(3):
        machine.add([2, k], 1)
        machine.run()
    assert (machine.pool.n_parked, machine.pool.spills, machine.memory.saves) == (1, 0, 1)
    before = machine.computed
    machine.add([1] * 501, 1)
    machine.run()
    assert machine.computed - before == 1


def test_a_pool_too_small_preempts_the_youngest_and_loses_nothing() -> None:
    machine = Machine(256, 4)
    sequences = [machine.add([i, i + 1] * 20, 120)[0] for i in range(4)]
    machine.run()
    assert machine.scheduler.preemptions > 0
    for seq in sequences:
        assert seq.array()[seq.n_prompt :].tolist() == expected(seq.request.prompt, 120)


def test_first_come_first_served() -> None:
    machine = Machine(256, 4)
    machine.add([1] * 100, 100)
    machine.step()
    (big,) = machine.add([2] * 200, 5)
    (small,) = machine.add([0] * 10, 5)
    until(machine, lambda: small.started)
    assert big.started
    machine.run()


def one_slot_with_a_cached_prompt(cached: list[int]) -> tuple[Machine, Sequence]:
    """A machine whose only slot is taken, and who takes it."""
    machine = Machine(4096, 1)
    machine.add(cached, 1)
    machine.run()
    (talker,) = machine.add([0] * 5, 30)
    machine.step()
    return machine, talker


def test_who_finds_its_prompt_cached_enters_first() -> None:
    machine, _ = one_slot_with_a_cached_prompt([1, 2] * 50)
    (new,) = machine.add([2] * 60, 1)
    (cached,) = machine.add([1, 2] * 50 + [0], 1)
    (a_little,) = machine.add([2] * 60, 1)
    machine.run()
    assert [seq for seq in machine.finished if seq in (new, cached, a_little)] == [cached, new, a_little]


def test_nobody_is_overtaken_for_ever() -> None:
    machine, _ = one_slot_with_a_cached_prompt([1, 2] * 50)
    (new,) = machine.add([2] * 60, 1)
    for i in range(3 * MAX_OVERTAKEN):
        machine.add([1, 2] * 50 + [i % 5], 1)
    machine.run()
    assert machine.finished.index(new) == 2 + MAX_OVERTAKEN


def test_a_prompt_may_fill_the_whole_pool() -> None:
    machine = Machine(64, 2)
    (whole,) = machine.add([1] * 63, 1)
    machine.run()
    assert machine.finished == [whole]
    machine.drained()


def steps_to_the_first_token(machine: Machine, seq: Sequence) -> int:
    steps = 0
    while seq.n_generated == 0:
        machine.step()
        steps += 1
    return steps


@pytest.mark.parametrize("common", [0, 40])
def test_a_short_prompt_does_not_wait_for_the_end_of_a_long_one(common: int) -> None:
    machine = Machine(20000, 4)
    (long,) = machine.add([1] * common + [2] * 10000, 5)
    machine.step()
    (short,) = machine.add([1] * common + [0] * 20, 1)
    assert steps_to_the_first_token(machine, short) <= 2
    assert steps_to_the_first_token(machine, long) <= 80  # nor does the long one suffer for it
    machine.run()


def test_many_short_prompts_leave_a_long_one_half_of_every_step() -> None:
    machine = Machine(20000, 4)
    (long,) = machine.add([2] * 2000, 1)
    machine.step()
    steps = 0
    while not long.n_generated:
        if len(machine.scheduler.waiting) < 3:
            machine.add([steps % 3, steps // 3 % 3, steps // 9 % 3] * 30, 1)
        machine.step()
        steps += 1
    assert steps <= 2 * 2000 / 128 + 1


def test_a_batch_holds_no_more_tokens_than_it_may() -> None:
    machine = Machine(4096, 16, n_batch=32)
    for k in range(16):
        machine.add([k % 3, k // 3] * 10, 30)
    machine.add([1] * 300, 5)
    machine.run()


def spill_all(machine: Machine) -> None:
    machine.run()
    while machine.pool.evict():
        pass


def test_room_made_in_vain_for_a_copy_may_cost_the_prefix_that_was_there() -> None:
    machine = Machine(256, 3)
    machine.add([1] * 100 + [2] * 100, 1)
    spill_all(machine)
    machine.add([1] * 20 + [0] * 20, 1)
    machine.run()
    machine.add([2] * 90, 100)
    for _ in range(20):
        machine.step()
    (seq,) = machine.add([1] * 100 + [0] * 5, 3)  # the copy would fit beside nothing but itself
    machine.run()
    assert seq.array()[seq.n_prompt :].tolist() == expected(seq.request.prompt, 3)


def test_room_made_for_a_copy_may_drop_that_copy() -> None:
    machine = Machine(256, 3)
    machine.add([1] * 120, 1)
    spill_all(machine)
    machine.pool.spill._limit = machine.pool.spill.n_bytes * 3 // 2
    machine.add([2] * 140, 1)
    machine.run()
    (seq,) = machine.add([1] * 121, 5)
    machine.run()
    assert machine.pool.restores == 1
    assert seq.array()[seq.n_prompt :].tolist() == expected(seq.request.prompt, 5)


def test_a_copy_is_not_restored_again_and_again_for_a_request_that_has_to_wait() -> None:
    machine = Machine(1024, 3, idle=0)
    machine.add([1] * 500, 1)
    spill_all(machine)
    (running,) = machine.add([2] * 300, 400)
    machine.step()
    machine.add([1] * 500 + [0] * 200, 5)
    until(machine, lambda: running.n_generated > 300)
    assert machine.pool.restores == 0
    machine.run()
    assert machine.pool.restores == 1


def test_a_long_copy_is_not_restored_for_its_first_few_tokens() -> None:
    machine = Machine(1024, 3)
    machine.add([1] * 20 + [2] * 900, 1)
    spill_all(machine)
    machine.add([1] * 20 + [0] * 10, 1)
    machine.run()
    assert machine.pool.restores == 0


def test_nobody_waits_for_a_checkpoint_that_was_passed_long_ago() -> None:
    machine = Machine(20000, 2, RECURRENT, ram=0)
    (first,), (second,) = machine.add([1] * 100, 300), machine.add([2] * 100, 300)
    until(machine, lambda: second.n_generated > 40)
    machine.scheduler.preempt_youngest()
    until(machine, lambda: second.slot is not None)  # from where it was
    while machine.pool.evict():
        pass
    machine.scheduler.finish(first)
    (third,) = machine.add([2] * 100 + [0] * 3, 1)
    assert steps_to_the_first_token(machine, third) <= 4
    machine.run()


def test_a_copy_that_has_lost_all_but_its_window_is_continued_and_shared_with_nobody() -> None:
    machine = Machine(512, 2, WINDOW)
    machine.add([1] * 100 + [2] * 100, 1)
    spill_all(machine)
    machine.add([1] * 100 + [0] * 20, 1)
    machine.run()
    (again,) = machine.add([1] * 100 + [2] * 100 + [0] * 5, 3)
    machine.run()
    assert again.n_cached == 200
    (shorter,) = machine.add([1] * 100 + [2] * 50 + [0] * 5, 3)
    machine.run()
    assert shorter.n_cached <= 100
    for seq in (again, shorter):
        assert seq.array()[seq.n_prompt :].tolist() == expected(seq.request.prompt, 3)
    machine.drained()


def test_forced_tokens_are_computed_at_once_where_nobody_waits() -> None:
    machine = Machine(4096, 2)
    (seq,) = machine.add([1] * 5, 500)
    machine.step()
    for _ in range(60):
        seq.append(1)
    assert [work.n for work in machine.step()] == [61]


def test_forced_tokens_keep_to_the_budget_beside_others() -> None:
    """At 10 ms a token, half a second is 50; all come in the end, and the others go on meanwhile."""
    machine = Machine(4096, 4)
    for n in range(1, 200):
        machine.scheduler.step_time.observe(n, n * 0.01)
    one, other, third = (machine.add([i] * 5, 500)[0] for i in (1, 2, 3))
    while not all(seq.n_generated for seq in (one, other, third)):
        machine.step()
    for seq, n in ((one, 60), (other, 30)):
        for _ in range(n):
            seq.append(1)
    works = {work.seq: work.n for work in machine.step()}
    assert works[third] == 1
    assert 40 <= sum(works.values()) <= 50
    for _ in range(3):
        machine.step()
    assert one.n_remaining == other.n_remaining == 1
