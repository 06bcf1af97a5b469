"""Who gets drafts, how many and whose: on sequences that are told what they generate, and step times as given."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends.base import Drafter, GenerateRequest, SamplingParams
from backends.llama_cpp.sequence import Sequence
from backends.llama_cpp.speculation import DraftModel, Speculation, Step
from backends.llama_cpp.step_time import StepTime
from tests.backends.machine import unsampled

COPIED = list(range(100, 160))
END = 7


def speculation(
    seconds: Callable[[int], float] = lambda n: 1.0,
    drafters: tuple[Drafter, ...] = ("ngram-simple", "draft-simple"),
    model: DraftModel | None = None,
) -> Speculation:
    step_time = StepTime()
    found = Speculation(step_time, {END}, drafters, model)
    for n in range(1, 60):
        step_time.observe(n, seconds(n))
        found.computed(n, seconds(n), decodes_only=True)
    return found


def sequence(
    who: Speculation, prompt: list[int], prediction: list[int] | None = None, max_tokens: int = 200
) -> Sequence:
    request = GenerateRequest(
        id="r", prompt=prompt, max_tokens=max_tokens, sampling=SamplingParams(), prediction=prediction or []
    )
    seq = unsampled(request, 0, n_ctx=1000)
    seq.foresight = who.foresight(request, seq.array(seq.n_prompt + seq.max_new))
    seq.n_computed = seq.n_tokens
    return seq


def generate(seq: Sequence, tokens: list[int]) -> None:
    for token in tokens:
        seq.append(token, computed=True)


def step(n: int = 1, room: int = 100) -> Step:
    return Step(n, n, room)


def test_a_prediction_is_drafted_from_the_first_token_on() -> None:
    who = speculation()
    seq = sequence(who, [1, 2], COPIED)
    generate(seq, COPIED[:1])
    (draft,) = who.drafts([seq], step()).values()
    assert len(draft) > 10 and list(draft) == COPIED[1 : len(draft) + 1]


def test_a_copy_of_the_prompt_is_drafted_the_longer_it_goes_on_the_more() -> None:
    who = speculation(lambda n: 1 + 0.1 * (n - 1))
    seq = sequence(who, [*COPIED, 1, 2])
    lengths = []
    for token in COPIED[:20]:
        generate(seq, [token])
        lengths.append(len(who.drafts([seq], step()).get(seq, ())))
    assert lengths[0] == 0 and lengths[-1] > max(lengths[:5])


def test_room_and_the_last_token_limit_drafts() -> None:
    who = speculation()
    seq = sequence(who, [1, 2], COPIED, max_tokens=10)
    generate(seq, COPIED[:1])
    assert len(who.drafts([seq], step())[seq]) == 8
    assert len(who.drafts([seq], step(room=3))[seq]) == 3
    assert who.drafts([seq], step(room=0)) == {}
    generate(seq, COPIED[1:9])
    assert who.drafts([seq], step()) == {}


def test_nothing_is_drafted_after_an_end_of_generation() -> None:
    who = speculation()
    seq = sequence(who, [1, 2], [*COPIED[:5], END, *COPIED])
    generate(seq, COPIED[:1])
    assert who.drafts([seq], step())[seq] == tuple(COPIED[1:5])


def test_nothing_is_drafted_before_anything_is_measured_or_where_drafting_is_off() -> None:
    for who in (Speculation(StepTime(), {END}), speculation(drafters=())):
        seq = sequence(who, [1, 2], COPIED)
        generate(seq, COPIED[:1])
        assert who.drafts([seq], step()) == {}
        assert seq.append(COPIED[1])  # yet what comes true is counted


def test_a_wrong_prediction_is_soon_drafted_no_more() -> None:
    who = speculation(lambda n: 1 + 0.1 * (n - 1))
    seq = sequence(who, [1, 2], COPIED)
    generate(seq, list(range(500, 540)))
    assert who.drafts([seq], step()) == {}


def test_what_does_not_pay_is_tried_now_and_then() -> None:
    def seconds(n: int) -> float:
        return float(n)  # no spare capacity at all

    who = speculation(seconds)
    seq = sequence(who, [1, 2], COPIED * 20, max_tokens=900)
    n_drafted, elapsed = 0, 0.0
    for i in range(800):
        seq.append(COPIED[i % 60], computed=True)
        n = len(who.drafts([seq], step()).get(seq, ()))
        n_drafted += n
        elapsed += seconds(1 + n)
        who.computed(1 + n, seconds(1 + n), decodes_only=True)
    assert 0 < n_drafted < 0.04 * elapsed


class Oracle:
    """A draft model that knows what comes."""

    n_max, n_min = 8, 0

    def __init__(self, cost: float, right: bool = True) -> None:
        self.cost, self.right = cost, right
        self.behind: set[Sequence] = set()

    def seconds(self, n_sequences: int) -> float:
        return self.cost

    def ready(self, seq: Sequence) -> bool:
        return seq not in self.behind

    def prepare(self, seqs: list[Sequence], seconds: float) -> None:
        self.behind -= set(seqs)

    def draft(self, seqs: list[Sequence], lengths: list[int]) -> list[list[int]]:
        return [[300 + seq.n_tokens + i for i in range(n)] for seq, n in zip(seqs, lengths, strict=True)]


def run_with_model(model: Oracle, n: int = 40) -> list[int]:
    who = speculation(lambda n: 1 + 0.05 * (n - 1), model=model)
    seq = sequence(who, [1, 2, 3])
    seq.append(301)
    lengths = []
    for _ in range(n):
        draft = who.drafts([seq], step()).get(seq, ())
        lengths.append(len(draft))
        n_accepted = len(draft) if model.right else 0
        if draft:
            who.verified(seq, len(draft), n_accepted)
    return lengths


def test_a_cheap_and_good_model_drafts() -> None:
    assert run_with_model(Oracle(0.02))[-1] == 8


def test_a_model_that_is_dear_or_wrong_does_not() -> None:
    assert run_with_model(Oracle(0.9))[-1] == 0
    assert sum(run_with_model(Oracle(0.02, right=False))[-20:]) <= 3


def test_a_model_that_is_behind_catches_up_first() -> None:
    model = Oracle(0.02)
    who = speculation(model=model)
    seq = sequence(who, [1, 2, 3])
    seq.append(301)
    model.behind.add(seq)
    first = who.drafts([seq], step())
    assert seq in first or who.drafts([seq], step())  # if not in this step, in the next one


class Ending(Oracle):
    """Sees the end of the text after three tokens, and goes on behind it."""

    def draft(self, seqs: list[Sequence], lengths: list[int]) -> list[list[int]]:
        return [[*draft[:3], END, *draft[4:]][: len(draft)] for draft in super().draft(seqs, lengths)]


def test_a_model_drafts_nothing_after_an_end_of_generation() -> None:
    model = Ending(0.02)
    assert run_with_model(model)[-1] == 3
    model.n_min = 4
    assert set(run_with_model(model)) == {0}


def test_a_prediction_comes_before_the_model() -> None:
    who = speculation(model=Oracle(0.02))
    seq = sequence(who, [1, 2], COPIED)
    generate(seq, COPIED[:3])
    assert list(who.drafts([seq], step())[seq])[:3] == COPIED[3:6]


@pytest.mark.parametrize("n", [1, 4])
def test_counts_are_of_what_was_verified(n: int) -> None:
    who = speculation()
    seq = sequence(who, [1, 2])
    for _ in range(n):
        who.verified(seq, 5, 3)
    assert (who.n_drafts, who.n_drafted, who.n_accepted) == (n, 5 * n, 3 * n)
