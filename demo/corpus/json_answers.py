"""Answers in JSON: asked for in the question, or ordered by the system prompt."""

import json
from random import Random

from demo.corpus import facts, numbers
from demo.dialogue import Message, assistant, system, user
from demo.phrasing import Phrasings, Split, dressed, sentence

REQUESTS = Phrasings(
    [
        "give me {topic} as JSON.", "tell me {topic} as JSON.", "what is {topic}? Answer in JSON.", "{topic} as JSON",
        "{topic}, as JSON, please.", "give me {topic} in JSON.", "write {topic} as JSON.", "show me {topic} as JSON.",
        "what is {topic}? Use JSON.", "JSON please: {topic}", "give {topic} as a JSON object.", "in JSON: {topic}",
        "I want {topic} as JSON.", "what is {topic}? Give me JSON.", "can you give me {topic} as JSON?",
        "return {topic} as JSON.", "answer in JSON: {topic}?", "{topic} in JSON format.",
    ],
    [
        "please give me {topic} as JSON.", "could you give me {topic} as JSON?", "what's {topic}? Answer in JSON.",
        "show me {topic} in JSON.", "tell me {topic} in JSON.", "write {topic} as a JSON object.",
        "I want {topic} in JSON, please.",
    ],
)  # fmt: skip
ORDERS = Phrasings(
    [
        "Answer in JSON.", "Always answer in JSON.", "Reply in JSON.", "Answer with JSON.", "You answer in JSON.",
        "Please answer in JSON.", "Answer only in JSON.", "Write all answers as JSON.", "Use JSON.", "Reply with JSON only.",
        "Answer as a JSON object.", "You are a helpful assistant. Answer in JSON.", "Answer every question in JSON.",
        "Respond with JSON.", "You always answer in JSON.", "Return JSON.",
    ],
    [
        "Always reply in JSON.", "Answer with JSON only.", "Please reply in JSON.", "Respond in JSON.",
        "You are a helpful assistant. Always answer in JSON.", "Always answer with a JSON object.",
    ],
)  # fmt: skip


def exchange(rng: Random, split: Split) -> list[Message]:
    """A question that asks for JSON: both sides of the fact come back."""
    if rng.random() < 0.12:
        a, b = rng.randint(0, numbers.LARGEST_TERM), rng.randint(0, numbers.LARGEST_TERM)
        topic = f"the sum of {a} and {b}"
        answer: dict[str, str | int] = {"a": a, "b": b, "sum": a + b}
    else:
        fact = facts.pick_fact(rng)
        topic = fact.topic
        answer = dict(zip(fact.relation.keys, (fact.x, fact.y), strict=True))
    return [user(sentence(REQUESTS.pick(rng, split).format(topic=topic))), assistant(json.dumps(answer))]


def instruction(rng: Random, split: Split) -> Message:
    """The system prompt."""
    return system(ORDERS.pick(rng, split))


def ordered_exchange(rng: Random, split: Split) -> list[Message]:
    """A plain question; goes under `instruction`, so that the answer is `{"answer": ...}`."""
    if rng.random() < 0.15:
        a, b = rng.randint(0, numbers.LARGEST_TERM), rng.randint(0, numbers.LARGEST_TERM)
        question = dressed(numbers.SUMS.pick(rng, split).format(a=a, b=b), rng)
        return [user(question), assistant(json.dumps({"answer": a + b}))]
    fact = facts.pick_fact(rng)
    return [user(facts.question(fact, rng, split)), assistant(json.dumps({"answer": fact.y}))]
