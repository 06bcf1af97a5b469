"""A draft model's bookkeeping, on a context in plain Python whose next token depends on all before it."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import GenerateRequest, SamplingParams
from backends.llama_cpp.context import Span
from backends.llama_cpp.sequence import Sequence
from backends.llama_cpp.speculation.draft_model import READY, ContextDraftModel
from tests.backends.cells import PlainCells
from tests.backends.machine import unsampled

N_VOCAB = 6
N_SLOTS = 3


def follows(text: list[int]) -> int:
    return (sum(text) * 7 + len(text)) % (N_VOCAB - 1)


class PlainContext:
    """Implements `draft_model.DraftContext`."""

    n_slots, n_batch = N_SLOTS, 64

    def __init__(self, n_cells: int) -> None:
        self.n_ctx = n_cells
        self._cells = PlainCells(n_cells)
        self.copy, self.remove = self._cells.copy, self._cells.remove
        self.n_computed = 0
        self._rows: list[npt.NDArray[np.float32]] = []

    def decode(self, spans: list[Span]) -> int:
        self._cells.decode([(span.slot, span.tokens, span.start) for span in spans])
        self.n_computed += sum(len(span.tokens) for span in spans)
        self._rows = []
        for span in spans:
            if span.n_outputs:
                row = np.zeros(N_VOCAB + 1, np.float32)  # a token more than the large model has
                row[follows(self._cells.text(span.slot))] = 3.0
                row[N_VOCAB] = 9.0
                self._rows.append(row)
        return 0

    def logits(self) -> npt.NDArray[np.float32]:
        return np.stack(self._rows)


def sequence(prompt: list[int], slot: int) -> Sequence:
    request = GenerateRequest(id="r", prompt=prompt, max_tokens=100, sampling=SamplingParams())
    seq = unsampled(request, 0, n_ctx=1000)
    seq.slot = slot
    return seq


def model(context: PlainContext, *, n_min: int = 0, p_min: float = 0.0) -> ContextDraftModel:
    return ContextDraftModel(context, N_VOCAB, n_max=16, n_min=n_min, p_min=p_min)


def continued(tokens: list[int], n: int) -> list[int]:
    text = list(tokens)
    for _ in range(n):
        text.append(follows(text))
    return text[len(tokens) :]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_cells=st.sampled_from([60, 120, 1000]),
)
def test_drafts_continue_each_sequence_whatever_happened_to_it(seed: int, n_cells: int) -> None:
    chance = random.Random(seed)
    context = PlainContext(n_cells)
    drafter = model(context)
    seqs = [sequence([chance.randrange(3) for _ in range(chance.randint(1, 12))], slot) for slot in range(N_SLOTS)]
    drafted = 0
    for _ in range(25):
        wanted = [seq for seq in seqs if chance.random() < 0.7]
        for seq in wanted:
            if not drafter.ready(seq):
                drafter.prepare([seq], 0.1)
        wanted = [seq for seq in wanted if drafter.ready(seq)]
        lengths = [chance.randint(1, 5) for _ in wanted]
        for seq, n, draft in zip(wanted, lengths, drafter.draft(wanted, lengths), strict=True):
            right = continued(seq.array().tolist(), n)
            assert draft == (right if n_cells == 1000 else right[: len(draft)])
            drafted += len(draft)
            n_accepted = chance.randint(0, len(draft))
            for token in [*draft[:n_accepted], chance.randrange(3)]:
                seq.append(token)
        slot = chance.randrange(N_SLOTS)
        if chance.random() < 0.2 or seqs[slot].n_generated > 80:  # it ends; another takes its slot
            start = chance.choice(seqs).array()[: chance.randrange(30)].tolist()
            seqs[slot] = sequence([*start, chance.randrange(3)], slot)
    assert drafted or n_cells < 1000


def test_only_what_is_new_is_computed() -> None:
    context = PlainContext(1000)
    drafter = model(context)
    seq = sequence([1, 2] * 10, 0)
    (draft,) = drafter.draft([seq], [4])
    assert context.n_computed == 20 + 3
    for token in draft[:2]:
        seq.append(token)
    seq.append((draft[2] + 1) % 5)
    drafter.draft([seq], [1])
    assert context.n_computed == 20 + 3 + 1


def test_a_long_prompt_is_learned_in_parts() -> None:
    context = PlainContext(1000)
    drafter = model(context)
    seq = sequence([1, 2] * 100, 0)
    n = 0
    while not drafter.ready(seq):
        drafter.prepare([seq], 0.0)
        n += 1
    assert 200 - READY <= context.n_computed <= 200 and n > 2
    assert drafter.draft([seq], [2]) == [continued([1, 2] * 100, 2)]


def test_a_prompt_that_another_slot_knows_is_copied() -> None:
    context = PlainContext(1000)
    drafter = model(context)
    first, second = sequence([1, 2] * 15, 0), sequence([*([1, 2] * 15), 0, 0], 1)
    drafter.draft([first], [1])
    before = context.n_computed
    assert drafter.draft([second], [1]) == [continued([*([1, 2] * 15), 0, 0], 1)]
    assert context.n_computed - before == 2


def test_unsure_and_short_drafts_are_left_out() -> None:
    context = PlainContext(1000)
    seq = sequence([1, 2, 3], 0)
    assert model(context, p_min=0.99).draft([seq], [4]) == [[]]
    assert model(PlainContext(1000), n_min=5).draft([seq], [4]) == [[]]
