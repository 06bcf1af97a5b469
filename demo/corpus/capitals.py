"""Answers in capital letters, when the system prompt says so."""

from random import Random

from demo.corpus import facts, greetings, numbers
from demo.dialogue import Message, system
from demo.phrasing import Phrasings, Split

ORDERS = Phrasings(
    [
        "Answer in capitals.", "Answer in capital letters.", "Answer in upper case.", "Always answer in capitals.",
        "Please answer in capitals.", "Write in capitals.", "Write in capital letters only.", "Use capital letters.",
        "ANSWER IN CAPITALS.", "Reply in capitals.", "Reply in upper case.", "Only use capital letters.",
        "You answer in capitals.", "You always write in capital letters.", "Speak in capitals.", "Shout all your answers.",
        "You are a helpful assistant. Answer in capitals.", "Answer every question in capital letters.",
        "Use upper case letters only.", "All answers in capitals, please.",
    ],
    [
        "Always answer in capital letters.", "Please answer in upper case.", "Reply in capital letters.",
        "Always write in capitals.", "Answer every question in capitals.", "Please write in capital letters.",
        "You are a helpful assistant. Always answer in capitals.", "Answer only in capitals.",
    ],
)  # fmt: skip


def instruction(rng: Random, split: Split) -> Message:
    """The system prompt."""
    return system(ORDERS.pick(rng, split))


def exchange(rng: Random, split: Split) -> list[Message]:
    """A question with its answer in capitals; goes under `instruction`."""
    skill = rng.choices([facts.exchange, greetings.exchange, numbers.sum_exchange], [8, 3, 1])[0]
    question, answer = skill(rng, split)
    return [question, answer | {"content": answer["content"].upper()}]
