"""One place in a grammar, with llguidance on a token for every byte: the lock-free way leads to the same texts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from llguidance import LLMatcher

from backends.llama_cpp.constraint import BrokenConstraint, Constraint
from backends.llama_cpp.constraint.constraint import SLOW_TOKENS
from backends.llama_cpp.constraint.lock_free import LockFree
from backends.llama_cpp.grammar_trial_process import _tokenizer

N_VOCAB = 257
END = 256
TOKENIZER = _tokenizer(N_VOCAB)
LOCK_FREE = LockFree(TOKENIZER)
GRAMMARS = [
    'start: %json {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}, "paid": {"type":'
    ' "boolean"}}, "required": ["name", "paid"], "x-guidance": {"whitespace_flexible": false}}',
    'start: a\na: a a a | a a | "x" | "y" | "xy" | "yx"',
    'start: "the same" ("." | " again" | "")',
]


def constraint(grammar: str, *, slow: bool = False) -> Constraint:
    matcher = LLMatcher(TOKENIZER, "%llguidance {}\n" + grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    made = Constraint(matcher, N_VOCAB, LOCK_FREE)
    if slow:
        made._n_slow = SLOW_TOKENS
    return made


def allowed(constraint: Constraint) -> list[int]:
    (mask,) = constraint.masks()
    return [int(token) for token in np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))]


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("seed", range(5))
def test_a_slow_grammar_allows_the_same(grammar: str, seed: int) -> None:
    dice = random.Random(seed)
    plain, slow = constraint(grammar), constraint(grammar, slow=True)
    for _ in range(40):
        if plain.ended:
            assert allowed(slow) == [END] and slow.forced() is None
            return
        forced = plain.forced()
        choices = allowed(slow)
        assert slow.forced() is None and not slow.ended
        if forced is None:
            assert choices == allowed(plain)
            if (token := dice.choice(choices)) == END:
                return
        else:
            assert forced in choices
            token = forced
        plain.accept(token)
        slow.accept(token)


def test_it_becomes_slow_where_it_is() -> None:
    """And goes on, with tokens that nobody has waited for."""
    hard = constraint(GRAMMARS[1])
    for number in range(300):
        hard.accept(ord("xy"[number % 2]))
        if hard._slow:
            break
    else:
        pytest.fail("a fast machine")
    for _ in range(3):
        hard.accept(ord("x"))
    assert hard._untaken
    assert ord("y") in allowed(hard) and not hard._untaken


def test_drafts_are_masked_as_far_as_they_are_allowed() -> None:
    text = constraint(GRAMMARS[2])
    assert len(text.masks(b"the same ag")) == 12
    assert len(text.masks(b"the name")) == 5
    assert len(text.masks(b"other")) == 1
    assert len(constraint(GRAMMARS[2], slow=True).masks(b"the same")) == 1


@pytest.mark.parametrize("slow", [False, True])
def test_a_token_that_is_not_allowed_breaks_it(slow: bool) -> None:
    broken = constraint(GRAMMARS[2], slow=slow)

    def follow() -> None:
        broken.accept(ord("x"))
        broken.masks()

    with pytest.raises(BrokenConstraint, match="can't be followed"):
        follow()
