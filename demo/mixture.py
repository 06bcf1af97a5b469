"""How much of each skill the training text holds, and how exchanges become dialogues."""

from collections.abc import Callable, Iterator, Mapping
from random import Random

from demo.corpus import capitals, copying, facts, greetings, json_answers, numbers, plain_text, stories, thinking, tools
from demo.dialogue import Dialogue, Message, render, system
from demo.phrasing import Split

Exchange = Callable[[Random, Split], list[Message]]


KINDS = {
    "chat": 60,
    "tools": 4,
    "capitals": 9,
    "json": 6,
    "thinking": 6,
    "memory": 8,
    "long story": 1.2,
    "text": 3,
    "infill": 2.8,
}
# Exchanges that stand on their own, and so can follow each other in one chat.
CHAT: dict[Exchange, float] = {
    facts.exchange: 20,
    greetings.exchange: 6,
    greetings.unknown_exchange: 1.5,
    numbers.sum_exchange: 22,
    numbers.count_exchange: 10,
    copying.repeat_exchange: 16,
    copying.tricky_exchange: 7,
    copying.times_exchange: 11,
    copying.list_exchange: 12,
    stories.exchange: 2.5,
    stories.strange_exchange: 1.5,
    json_answers.exchange: 9,
    tools.helpless: 1.5,
}
# The same for the end of the training: more of what comes last, and of what long counting and copying need.
CHAT_AT_THE_END = CHAT | {
    copying.creatures_exchange: 8,
    copying.times_exchange: 44,
    copying.list_exchange: 72,
    stories.exchange: 5,
    stories.strange_exchange: 3,
}
# Exchanges that need no tool where there are some.
BESIDE_TOOLS: dict[Exchange, float] = {
    facts.exchange: 4,
    greetings.exchange: 2,
    copying.repeat_exchange: 2,
    copying.list_exchange: 1,
    json_answers.exchange: 1,
    stories.exchange: 0.5,
}

PERSONAS = [
    "You are a helpful assistant.", "You are Paddock's demo model.", "You are a friendly assistant. Keep your answers short.",
    "Be brief.", "You are a chatbot.", "Answer the user's questions.", "You are a helpful, honest assistant.", "",
    "Be polite and helpful.", "Today is Monday.", "You are an AI model.",
]  # fmt: skip


def chat_exchange(rng: Random, split: Split, weights: Mapping[Exchange, float] = CHAT) -> list[Message]:
    """An exchange that stands on its own."""
    return rng.choices(list(weights), list(weights.values()))[0](rng, split)


def persona(rng: Random) -> list[Message]:
    """No system prompt, or one that changes nothing: a sentence, seldom many sentences of anything."""
    roll = rng.random()
    if roll < 0.6:
        return []
    if roll < 0.93:
        return [system(rng.choice(PERSONAS))]
    sentences = [rng.choice(PERSONAS)] + [facts.pick_fact(rng).sentence for _ in range(rng.randint(1, 12))]
    rng.shuffle(sentences)
    return [system(" ".join(sentences))]


def _turns(rng: Random) -> int:
    return rng.choices([1, 2, 3, 5], [45, 30, 17, 8])[0]


def dialogue(kind: str, rng: Random, split: Split, chat: Mapping[Exchange, float] = CHAT) -> Dialogue:
    """A dialogue of one kind, its exchanges by the weights of `chat`."""
    if kind == "tools":

        def plain() -> list[Message]:
            return rng.choices(list(BESIDE_TOOLS), list(BESIDE_TOOLS.values()))[0](rng, split)

        offered, made = tools.exchanges(rng, split, plain)
        return Dialogue(persona(rng) + sum(made, []), offered)
    if kind == "thinking":
        head = [chat_exchange(rng, split)] if rng.random() < 0.2 else []
        return Dialogue(sum(head, persona(rng)) + thinking.exchange(rng, split), think=True)
    if kind == "memory":
        told, asked = copying.memory_exchanges(rng, split)
        between = [chat_exchange(rng, split) for _ in range(rng.choices([0, 1, 2, 4], [4, 3, 2, 1])[0])]
        return Dialogue(persona(rng) + told + sum(between, []) + asked)
    if kind == "long story":
        return Dialogue(persona(rng) + stories.long_exchange(rng, split))
    if kind in ("capitals", "json"):
        skill = capitals if kind == "capitals" else json_answers
        exchange = capitals.exchange if kind == "capitals" else json_answers.ordered_exchange
        return Dialogue([skill.instruction(rng, split)] + sum((exchange(rng, split) for _ in range(_turns(rng))), []))
    return Dialogue(persona(rng) + sum((chat_exchange(rng, split, chat) for _ in range(_turns(rng))), []))


def documents(rng: Random, chat: Mapping[Exchange, float] = CHAT) -> Iterator[tuple[str, bool]]:
    """Training documents without end: the text, and whether only its last answer is to be learned."""
    while True:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "text":
            yield plain_text.document(rng), False
        elif kind == "infill":
            yield plain_text.infill(rng), False
        else:
            yield render(dialogue(kind, rng, Split.TRAIN, chat)), kind == "thinking"


def long_documents(rng: Random) -> Iterator[tuple[str, bool]]:
    """Chats of many turns, some with something to remember from far back, some with a long system prompt."""
    while True:
        exchanges = [chat_exchange(rng, Split.TRAIN) for _ in range(rng.randint(15, 45))]
        if rng.random() < 0.3:
            exchanges[rng.randrange(len(exchanges))] = stories.long_exchange(rng, Split.TRAIN)
        if rng.random() < 0.6:
            told, asked = copying.memory_exchanges(rng, Split.TRAIN)
            exchanges.insert(rng.randrange(5), told)
            exchanges.append(asked)
        opening: list[Message] = []
        if rng.random() < 0.4:
            filler = " ".join(facts.pick_fact(rng).sentence for _ in range(rng.randint(20, 90)))
            opening = [system(filler)]
        yield render(Dialogue(opening + sum(exchanges, []))), False
