"""Prompts and decoding sequences where attention works in tiles, as on CPUs: by turns, or together if they are few."""

from __future__ import annotations

import itertools

from .machine import Machine


def test_prompts_and_decoding_take_turns_where_attention_works_in_tiles() -> None:
    """At 4 ms a token and 0.5 s a turn, 64 tokens of a prompt fit beside a step of 3 that decode, 128 don't."""
    machine = Machine(4096, 4, token_time=0.004, mixes=False)
    talkers = [machine.add([i] * 5, 500)[0] for i in range(3)]
    while not all(seq.n_generated for seq in talkers):
        machine.step()
    (long,) = machine.add([4] * 600, 5)
    kinds = []
    while not long.n_generated:
        works = machine.step()
        kinds.append({work.seq: work.n for work in works})
    last = kinds.pop()
    assert last == {long: 24, **dict.fromkeys(talkers, 1)}, "too few for a tile"
    for prompt, decodes in itertools.pairwise(kinds):
        assert (long in prompt) != (long in decodes)
    assert all(set(kind) == set(talkers) for kind in kinds if long not in kind)
    assert [kind[long] for kind in kinds if long in kind] == [64] * 9


def test_prompts_too_short_for_a_tile_are_computed_beside_those_that_decode() -> None:
    machine = Machine(4096, 4, token_time=0.004, mixes=False)
    talkers = [machine.add([i] * 5, 500)[0] for i in range(3)]
    while not all(seq.n_generated for seq in talkers):
        machine.step()
    machine.step()  # it is their turn
    for n_prompt, together in ((60, True), (61, False)):
        (new,) = machine.add([n_prompt] * n_prompt, 1)
        works = {work.seq: work.n for work in machine.step()}
        assert works == {new: n_prompt, **(dict.fromkeys(talkers, 1) if together else {})}
        while new in machine.scheduler.running:
            machine.step()


def test_a_prompt_alone_takes_every_turn() -> None:
    machine = Machine(4096, 4, token_time=0.001, mixes=False)
    (long,) = machine.add([2] * 500, 5)
    for _ in range(5):
        machine.step()
    assert long.n_generated
