"""Counting, and sums of small numbers."""

from random import Random

from demo.dialogue import Message, assistant, user
from demo.phrasing import Phrasings, Split, dressed

SUMS = Phrasings(
    [
        "what is {a} plus {b}?", "what's {a} plus {b}?", "{a} plus {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?",
        "what is {a} + {b}?", "what's {a} + {b}?", "add {a} and {b}.", "add {a} to {b}.", "please add {a} and {b}.",
        "how much is {a} plus {b}?", "how much is {a} + {b}?", "what is the sum of {a} and {b}?", "sum {a} and {b}.",
        "the sum of {a} and {b}?", "can you add {a} and {b}?", "calculate {a} + {b}.", "calculate {a} plus {b}.",
        "{a} and {b} make how much?", "how much do {a} and {b} make?",
    ],
    [
        "what do {a} and {b} make?", "could you add {a} and {b}?", "say the sum of {a} and {b}.",
        "calculate the sum of {a} and {b}.", "please calculate {a} plus {b}.", "how much is the sum of {a} and {b}?",
        "what does {a} + {b} make?",
    ],
)  # fmt: skip
COUNTS = Phrasings(
    [
        "count from {a} to {b}.", "count from {a} up to {b}.", "please count from {a} to {b}.",
        "can you count from {a} to {b}?", "write the numbers from {a} to {b}.", "list the numbers from {a} to {b}.",
        "say the numbers from {a} to {b}.", "give me the numbers from {a} to {b}.", "count: {a} to {b}.",
        "count upwards from {a} to {b}.", "write all numbers from {a} up to {b}.", "what are the numbers from {a} to {b}?",
        "can you list the numbers from {a} to {b}?", "start at {a} and count to {b}.", "numbers from {a} to {b}, please.", "I want you to count from {a} to {b}.",
    ],
    [
        "could you count from {a} to {b}?", "please list the numbers from {a} to {b}.", "count up from {a} to {b}.",
        "tell me the numbers from {a} to {b}.", "please write the numbers from {a} up to {b}.",
    ],
)  # fmt: skip
COUNTS_FROM_ONE = Phrasings(
    [
        "count to {b}.",
        "please count to {b}.",
        "can you count to {b}?",
        "count up to {b}.",
        "I want you to count to {b}.",
    ],
    ["could you count to {b}?", "please count up to {b}."],
)

LARGEST_TERM = 20
LARGEST_COUNT = 100


def sum_sentence(a: int, b: int) -> str:
    """A sum and its result."""
    return f"{a} + {b} = {a + b}."


def sum_exchange(rng: Random, split: Split) -> list[Message]:
    """A sum of two numbers up to 20."""
    a, b = rng.randint(0, LARGEST_TERM), rng.randint(0, LARGEST_TERM)
    text = SUMS.pick(rng, split).format(a=a, b=b)
    return [user(dressed(text, rng)), assistant(sum_sentence(a, b))]


def counted(a: int, b: int) -> str:
    """The numbers from a to b."""
    return ", ".join(str(n) for n in range(a, b + 1))


def count_exchange(rng: Random, split: Split) -> list[Message]:
    """Counting within 0 to 100: mostly short ranges, sometimes all the way."""
    roll = rng.random()
    if roll < 0.06:
        a, b = 1, rng.choice([100, 100, 50, 30, 20])
    elif roll < 0.30:
        a, b = 1, rng.randint(2, 25)
    else:
        a = rng.randint(0, LARGEST_COUNT - 2)
        b = min(LARGEST_COUNT, a + rng.randint(1, 14))
    wordings = COUNTS_FROM_ONE if a == 1 and rng.random() < 0.4 else COUNTS
    return [user(dressed(wordings.pick(rng, split).format(a=a, b=b), rng)), assistant(counted(a, b))]
