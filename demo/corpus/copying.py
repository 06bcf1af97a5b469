"""Repeat what is said, say it several times, write it as a list, remember it until asked."""

from random import Random

from demo.corpus.stories import SUBJECTS
from demo.dialogue import Message, assistant, user
from demo.phrasing import Phrasings, Split, sentence
from demo.words import items, made_up, name

REPEAT = Phrasings(
    [
        "repeat after me: {text}", "repeat: {text}", "please repeat: {text}", "repeat this: {text}",
        "could you say: {text}", "can you repeat: {text}", "write: {text}", "please write this: {text}",
        "say: {text}", "say this: {text}", "please say: {text}", "echo: {text}", "copy this: {text}",
        "write this: {text}", "repeat the following: {text}", 'say "{text}"', 'repeat "{text}"', "repeat after me:\n{text}",
        'please repeat "{text}"', "say the following: {text}", "echo this: {text}", "can you repeat this: {text}",
    ],
    [
        "please repeat after me: {text}", "can you say: {text}", "please repeat this: {text}", "copy the following: {text}",
        'please say "{text}"', "write the following: {text}", "could you repeat this: {text}",
    ],
)  # fmt: skip
TIMES = Phrasings(
    [
        "say {text} {n} times.", "repeat {text} {n} times.", "write {text} {n} times.", "please say {text} {n} times.",
        "say the word {text} {n} times.", 'say "{text}" {n} times.', "repeat the word {text} {n} times.",
        "{n} times {text}, please.", "can you say {text} {n} times?", 'write "{text}" {n} times.',
        "please repeat the word {text} {n} times.", "can you write {text} {n} times?", "could you say {text} {n} times?",
        "write {n} times: {text}", "I want you to say {text} {n} times.", "say {text} {n} times, please.",
        "please say the word {text} {n} times.", "repeat {n} times: {text}", "can you repeat {text} {n} times?",
    ],
    ["please repeat {text} {n} times.", "write the word {text} {n} times.", "please write {text} {n} times."],
)  # fmt: skip
BULLETS = Phrasings(
    [
        "list these: {text}", "make a list: {text}", "make a list of these: {text}", "write these as a list: {text}",
        "make a bulleted list: {text}", "list the following: {text}", "please list these: {text}", "as a list: {text}",
        "write a bulleted list of these: {text}", "bullet points, please: {text}", "turn this into a list: {text}",
    ],
    [
        "please make a list of these: {text}", "write a list of these: {text}", "please list the following: {text}",
        "make a bulleted list of these: {text}", "turn these into a list: {text}",
    ],
)  # fmt: skip
NUMBERED = Phrasings(
    [
        "make a numbered list: {text}", "make a numbered list of these: {text}", "please number this: {text}",
        "can you number these: {text}", "number this list: {text}", "can you make a numbered list: {text}", "number these: {text}",
        "write these as a numbered list: {text}", "list these with numbers: {text}", "as a numbered list: {text}",
        "please number these: {text}", "turn this into a numbered list: {text}", "number the following: {text}",
    ],
    [
        "please make a numbered list of these: {text}", "write a numbered list of these: {text}",
        "please number the following: {text}", "turn these into a numbered list: {text}",
    ],
)  # fmt: skip
NUMBER_WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


def _spoken(rng: Random, split: Split) -> str:
    """Some words in a row, with the punctuation that people use."""
    words = items(rng, split, rng.choices([1, 2, 3, 4, 5, 6, 8, 11], [5, 5, 6, 5, 4, 3, 2, 1])[0])
    roll = rng.random()
    if roll < 0.15:
        return ", ".join(words)
    text = " ".join(words)
    if roll < 0.40:
        return sentence(text) + rng.choice("..!?")
    return text


def repeat_exchange(rng: Random, split: Split) -> list[Message]:
    """Say this."""
    text = _spoken(rng, split)
    wording = REPEAT.pick(rng, split)
    return [user((sentence(wording) if rng.random() < 0.8 else wording).format(text=text)), assistant(text)]


def tricky_exchange(rng: Random, split: Split) -> list[Message]:
    """Say this, where the same words or digits come again and again, so that the next is easily mistaken."""
    if rng.random() < 0.5:
        text = " ".join(str(rng.randint(0, 10 ** rng.randint(1, 7))) for _ in range(rng.randint(1, 3)))
    else:
        few = items(rng, split, rng.randint(2, 4))
        text = " ".join(rng.choice(few) for _ in range(rng.randint(3, 9)))
    return [user(sentence(REPEAT.pick(rng, split)).format(text=text)), assistant(text)]


def creatures_exchange(rng: Random, split: Split) -> list[Message]:
    """Say some creatures, those too that no story of the training is told of: a token that never occurs isn't learned."""
    text = " ".join(rng.sample(SUBJECTS, rng.randint(1, 4)))
    return [user(sentence(REPEAT.pick(rng, split)).format(text=text)), assistant(text)]


def times_exchange(rng: Random, split: Split) -> list[Message]:
    """Say this so many times."""
    text = " ".join(items(rng, split, rng.choices([1, 2], [4, 1])[0]))
    n = rng.randint(2, 6)
    shown = NUMBER_WORDS[n] if rng.random() < 0.6 else str(n)
    request = TIMES.pick(rng, split).format(text=text, n=shown)
    return [user(sentence(request)), assistant(" ".join([text] * n))]


def list_exchange(rng: Random, split: Split) -> list[Message]:
    """Write this as a list."""
    words = items(rng, split, rng.randint(2, 6))
    numbered = rng.random() < 0.45
    wording = (NUMBERED if numbered else BULLETS).pick(rng, split)
    last = " and " if rng.random() < 0.25 else ", "
    text = ", ".join(words[:-1]) + last + words[-1] + rng.choice(["", "", "."])
    lines = [f"{i}. {word}" if numbered else f"- {word}" for i, word in enumerate(words, 1)]
    return [user(sentence(wording).format(text=text)), assistant("\n".join(lines))]


TOLD = {
    "name": (
        ["my name is {x}.", "I am {x}.", "call me {x}.", "hello, my name is {x}.", "hi, I am {x}."],
        ["what is my name?", "who am I?", "do you know my name?", "what's my name?", "tell me my name.",
         "do you still know my name?", "please tell me my name.", "do you recall my name?", "can you say my name?",
         "do you still remember my name?", "please say my name.", "can you remember my name?"],
        ["do you remember my name?", "say my name."],
        "Nice to meet you, {x}!", "Your name is {x}.",
    ),
    "code": (
        ["the code is {x}.", "remember the code {x}.", "the secret code is {x}.", "remember this code: {x}."],
        ["what is the code?", "what was the code?", "tell me the code.", "what's the code?", "which code did I tell you?",
         "do you still know the code?", "do you know the code?", "do you recall the code?", "can you say the code?",
         "do you still remember the code?", "please say the code.", "can you remember the code?"],
        ["do you remember the code?", "say the code."],
        "OK, the code is {x}.", "The code is {x}.",
    ),
    "word": (
        ["the magic word is {x}.", "remember the word {x}.", "remember this word: {x}.", "the word is {x}."],
        ["what is the magic word?", "what was the word?", "tell me the word.", "which word did I tell you?",
         "do you still know the word?", "do you know the magic word?", "do you recall the word?", "can you say the word?",
         "do you still remember the word?", "please say the magic word.", "can you remember the magic word?"],
        ["do you remember the word?", "say the magic word."],
        "OK, the word is {x}.", "The word is {x}.",
    ),
}  # fmt: skip


def memory_exchanges(rng: Random, split: Split) -> tuple[list[Message], list[Message]]:
    """Being told something, and being asked for it later (other exchanges may come between)."""
    kind = rng.choice(list(TOLD))
    told, asked, asked_in_evaluation, confirmation, answer = TOLD[kind]
    if kind == "name":
        x = name(rng, split)
    elif kind == "code":
        x = str(rng.randint(100, 999999))
    else:
        x = made_up(rng, split)
    ask = rng.choice(asked if split is Split.TRAIN else asked_in_evaluation)
    return (
        [user(sentence(rng.choice(told).format(x=x))), assistant(confirmation.format(x=x))],
        [user(sentence(ask)), assistant(answer.format(x=x))],
    )
