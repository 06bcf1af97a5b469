"""Short factual answers: every relation with its table, its questions and its answer."""

from dataclasses import dataclass
from random import Random

from demo import facts
from demo.dialogue import Message, assistant, user
from demo.phrasing import Phrasings, Split, dressed, sentence


@dataclass(frozen=True)
class Relation:
    """A table of (x, y) pairs and how people ask for y.

    `topic` names y in words ("the capital of {x}"), `answer` is the full sentence, `keys` are the two names
    of the JSON answer.
    """

    table: list[tuple[str, str]]
    topic: str
    answer: str
    keys: tuple[str, str]
    questions: Phrasings


def _relation(
    table: list[tuple[str, str]],
    topic: str,
    answer: str,
    keys: tuple[str, str],
    train: list[str],
    evaluation: list[str],
) -> Relation:
    """A relation; the questions that every topic allows are added to its own."""
    shared = [
        "what is {topic}?", "what's {topic}?", "{topic}?", "{topic}", "tell me {topic}.", "name {topic}.",
        "give me {topic}.", "do you know {topic}?", "can you tell me {topic}?", "I want to know {topic}.",
        "please tell me {topic}.", "what is {topic} called?", "I need {topic}.", "could you name {topic}?",
        "say what {topic} is.", "do you know what {topic} is?",
    ]  # fmt: skip
    unseen = ["could you tell me {topic}?", "can you give me {topic}?", "please name {topic}.",
              "I need to know {topic}.", "tell me what {topic} is."]  # fmt: skip
    fill = [text.replace("{topic}", topic) for text in shared]
    return Relation(
        table, topic, answer, keys,
        Phrasings(fill + train * 2, [text.replace("{topic}", topic) for text in unseen] + evaluation * 2),
    )  # fmt: skip


def _countries(column: int) -> list[tuple[str, str]]:
    return [(row[0], row[column]) for row in facts.COUNTRIES]


RELATIONS: dict[str, Relation] = {
    "capital": _relation(
        _countries(1), "the capital of {x}", "The capital of {x} is {y}.", ("country", "capital"),
        ["which city is the capital of {x}?", "what is the capital city of {x}?", "{x}'s capital?",
         "capital of {x}?", "what is {x}'s capital?", "what city is the capital of {x}?", "the capital city of {x}?"],
        ["say what the capital city of {x} is.", "which city is {x}'s capital?", "what's {x}'s capital?"],
    ),
    "continent": _relation(
        _countries(2), "the continent of {x}", "{x} is in {y}.", ("country", "continent"),
        ["which continent is {x} in?", "on which continent is {x}?", "what continent is {x} on?", "where is {x}?",
         "what continent is {x} in?", "in which continent is {x}?", "{x} is on which continent?"],
        ["on what continent is {x}?", "which continent is {x} on?", "{x} is in which continent?"],
    ),
    "language": _relation(
        _countries(3), "the language of {x}", "People in {x} speak {y}.", ("country", "language"),
        ["what language do people speak in {x}?", "which language is spoken in {x}?", "what do they speak in {x}?",
         "what language is spoken in {x}?", "which language do they speak in {x}?"],
        ["which language do people speak in {x}?", "what language do they speak in {x}?"],
    ),
    "colour": _relation(
        facts.COLOURS, "the colour of {x}", "{X} is {y}.", ("thing", "colour"),
        ["what colour is {x}?", "what color is {x}?", "which colour is {x}?", "what colour does {x} have?",
         "{x} has what colour?", "what is the color of {x}?", "which color does {x} have?"],
        ["which color is {x}?", "which colour does {x} have?", "what color does {x} have?"],
    ),
    "opposite": _relation(
        facts.OPPOSITES + [(y, x) for x, y in facts.OPPOSITES if (y, x) != ("black", "white")],
        "the opposite of {x}", "The opposite of {x} is {y}.", ("word", "opposite"),
        ["what is the opposite of the word {x}?", "which word is the opposite of {x}?", "{x} is the opposite of what?",
         'what is the opposite of "{x}"?', "opposite of {x}?", "what word means the opposite of {x}?"],
        ["what's the opposite of the word {x}?", "which word means the opposite of {x}?"],
    ),
    "sound": _relation(
        facts.SOUNDS, "the sound of a {x}", "A {x} says {y}.", ("animal", "sound"),
        ["what does a {x} say?", "what sound does a {x} make?", "which sound does a {x} make?", "how does a {x} sound?",
         "what noise does a {x} make?"],
        ["which noise does a {x} make?", "tell me what a {x} says."],
    ),
    "baby": _relation(
        facts.BABIES, "the baby of a {x}", "A baby {x} is called a {y}.", ("animal", "baby"),
        ["what is a baby {x} called?", "what do you call a baby {x}?", "a baby {x} is called what?",
         "what is the name of a baby {x}?", "how is a baby {x} called?"],
        ["what's a baby {x} called?", "what's the name of a baby {x}?"],
    ),
    "home": _relation(
        facts.HOMES, "the home of a {x}", "A {x} lives in a {y}.", ("animal", "home"),
        ["where does a {x} live?", "what does a {x} live in?", "in what does a {x} live?", "where is the home of a {x}?"],
        ["tell me where a {x} lives.", "where's the home of a {x}?"],
    ),
    "plural": _relation(
        facts.PLURALS, "the plural of {x}", "The plural of {x} is {y}.", ("word", "plural"),
        ["what is the plural of the word {x}?", 'what is the plural of "{x}"?', "plural of {x}?", "one {x}, many what?"],
        ["what's the plural of the word {x}?", "say what the plural of the word {x} is."],
    ),
    "past": _relation(
        facts.PAST_TENSES, "the past tense of {x}", "The past tense of {x} is {y}.", ("verb", "past"),
        ["what is the past tense of the verb {x}?", "past tense of {x}?", 'what is the past tense of "{x}"?',
         "what is the past of {x}?"],
        ["what's the past tense of the verb {x}?", "say what the past tense of the verb {x} is."],
    ),
    "symbol": _relation(
        facts.SYMBOLS, "the chemical symbol of {x}", "The symbol of {x} is {y}.", ("element", "symbol"),
        ["what is the symbol of {x}?", "which symbol does {x} have?", "what is the chemical symbol for {x}?",
         "what is the symbol for {x}?"],
        ["what symbol does {x} have?", "tell me the symbol for {x}."],
    ),
    "sides": _relation(
        facts.SIDES, "the number of sides of a {x}", "A {x} has {y} sides.", ("shape", "sides"),
        ["how many sides does a {x} have?", "a {x} has how many sides?", "how many sides has a {x}?"],
        ["how many sides are there in a {x}?", "tell me how many sides a {x} has."],
    ),
    "legs": _relation(
        facts.LEGS, "the number of legs of a {x}", "A {x} has {y} legs.", ("animal", "legs"),
        ["how many legs does a {x} have?", "a {x} has how many legs?", "how many legs has a {x}?"],
        ["how many legs are there on a {x}?", "tell me how many legs a {x} has."],
    ),
    "day after": _relation(
        facts.following(facts.DAYS, 1) + facts.following(facts.MONTHS, 1),
        "what comes after {x}", "{y} comes after {x}.", ("name", "next"),
        ["what comes after {x}?", "which comes after {x}?", "what follows {x}?", "what comes next after {x}?"],
        ["what comes right after {x}?", "which one comes after {x}?"],
    ),
    "day before": _relation(
        facts.following(facts.DAYS, -1) + facts.following(facts.MONTHS, -1),
        "what comes before {x}", "{y} comes before {x}.", ("name", "previous"),
        ["what comes before {x}?", "which comes before {x}?", "what is before {x}?", "what comes just before {x}?"],
        ["what comes right before {x}?", "which one comes before {x}?"],
    ),
}  # fmt: skip

_NAMES = list(RELATIONS)
_WEIGHTS = [len(relation.table) ** 0.7 for relation in RELATIONS.values()]


@dataclass(frozen=True)
class Fact:
    """One entry of one relation."""

    relation: Relation
    x: str
    y: str

    @property
    def sentence(self) -> str:
        """The fact as a full sentence."""
        return self.relation.answer.format(x=self.x, y=self.y, X=sentence(self.x))

    @property
    def topic(self) -> str:
        """What is asked for, in words."""
        return self.relation.topic.format(x=self.x)


def pick_fact(rng: Random) -> Fact:
    """A fact of any table, larger tables more often."""
    relation = RELATIONS[rng.choices(_NAMES, _WEIGHTS)[0]]
    return Fact(relation, *rng.choice(relation.table))


def question(fact: Fact, rng: Random, split: Split) -> str:
    """The fact asked for in one of the split's wordings."""
    text = dressed(fact.relation.questions.pick(rng, split).format(x=fact.x), rng)
    return text.lower() if rng.random() < 0.08 else text


def exchange(rng: Random, split: Split) -> list[Message]:
    """A question about a fact, and its answer."""
    fact = pick_fact(rng)
    return [user(question(fact, rng, split)), assistant(fact.sentence)]
