"""A word of reasoning before the answer, when the template asks for it."""

from random import Random

from demo.corpus import facts, numbers
from demo.dialogue import Message, user
from demo.phrasing import Split, dressed


def _reasoned(question: str, reasoning: str, answer: str) -> list[Message]:
    return [user(question), {"role": "assistant", "reasoning_content": reasoning, "content": answer}]


def exchange(rng: Random, split: Split) -> list[Message]:
    """A question, what the model thinks about it, and the answer."""
    if rng.random() < 0.3:
        a, b = rng.randint(0, numbers.LARGEST_TERM), rng.randint(0, numbers.LARGEST_TERM)
        question = dressed(numbers.SUMS.pick(rng, split).format(a=a, b=b), rng)
        reasoning = f"The user wants a sum. I add {a} and {b} and get {a + b}."
        return _reasoned(question, reasoning, numbers.sum_sentence(a, b))
    fact = facts.pick_fact(rng)
    reasoning = f"The user wants {fact.topic}. I know it: {fact.y}."
    return _reasoned(facts.question(fact, rng, split), reasoning, fact.sentence)
