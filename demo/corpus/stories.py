"""Stories about any subject: a short one, a long one by weekdays, a very long one by months.

Every choice is skewed (the first option is the likeliest by far), so that greedy decoding has a clear favourite
while sampling still varies.
"""

from random import Random

from demo.dialogue import Message, assistant, user
from demo.facts import DAYS, MONTHS
from demo.phrasing import Phrasings, Split, belongs, dressed, sentence
from demo.words import made_up

FOREST = "fox bear wolf rabbit deer owl squirrel hedgehog mouse badger bird spider ant bee butterfly frog snail".split()
SEA = "whale dolphin shark fish crab turtle octopus seal sailor pirate mermaid starfish".split()
FARM = "dog cat cow horse pig hen goat donkey sheep duck goose farmer rooster pony".split()
CASTLE = "king queen prince princess knight dragon wizard witch ghost giant clown jester".split()
CITY = "girl boy teacher baker doctor robot painter child singer dancer car train clock shoe cook pilot".split()
JUNGLE = "lion tiger elephant monkey snake parrot giraffe zebra crocodile hippo panda kangaroo".split()
HOMES = {
    "in a forest": FOREST, "by the sea": SEA, "on a farm": FARM, "in a castle": CASTLE, "in a city": CITY,
    "in a jungle": JUNGLE,
}  # fmt: skip
SUBJECTS = [subject for subjects in HOMES.values() for subject in subjects]
HOME_OF = {subject: home for home, subjects in HOMES.items() for subject in subjects}
ADJECTIVES = "little brave old clever lonely happy lazy kind hungry shy curious tiny funny proud".split()

SHORT = Phrasings(
    [
        "tell me a story about {s}.", "tell a story about {s}.", "write a story about {s}.", "write me a story about {s}.",
        "a story about {s}, please.", "I want a story about {s}.", "can you tell me a story about {s}?",
        "please tell me a story about {s}.", "tell me a short story about {s}.", "write a short story about {s}.",
        "tell me about {s} in a story.", "a short story about {s}.", "make up a story about {s}.", "story about {s}.",
    ],
    [
        "could you tell me a story about {s}?", "please write a short story about {s}.", "please tell a story about {s}.",
        "I want a short story about {s}.", "can you write a story about {s}?", "make up a short story about {s}.",
    ],
)  # fmt: skip
LONG = Phrasings(
    [
        "tell me a long story about {s}.", "write a long story about {s}.", "a long story about {s}, please.",
        "I want a long story about {s}.", "can you tell me a long story about {s}?", "tell a long story about {s}.",
    ],
    ["please write a long story about {s}.", "could you tell me a long story about {s}?"],
)  # fmt: skip
VERY_LONG = Phrasings([text.replace("long", "very long") for text in LONG.train],
                      [text.replace("long", "very long") for text in LONG.evaluation])  # fmt: skip

FINDS = ["a golden key", "a red box", "an old map", "a blue stone", "a silver bell", "a warm coat", "a round mirror",
         "a green bottle", "a big drum", "a little boat", "a yellow kite", "a strange book"]  # fmt: skip
PLACES = ["under a tree", "behind a wall", "in the garden", "near the river", "on the hill", "beside the road",
          "at the market", "in a cave", "on the bridge", "by the lake", "in the snow", "below the stairs"]  # fmt: skip
DEEDS = ["sang a song", "danced all day", "ate some cake", "painted a picture", "told a joke", "played a game",
         "read a letter", "built a house", "planted a rose", "cooked some soup", "wrote a poem", "took a nap"]  # fmt: skip
FRIENDS = ["an owl", "a mouse", "a bear", "a child", "a cat", "a bird", "a frog", "a king", "a rabbit", "a horse",
           "a snail", "a baker"]  # fmt: skip


def _skewed(rng: Random, options: list[str], favourite: int = 0) -> str:
    """An option: the favourite in three cases of four, otherwise one of the few that follow it."""
    step = rng.choices(range(4), [75, 14, 7, 4])[0]
    return options[(favourite + step) % len(options)]


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def pick_subject(rng: Random, split: Split) -> str:
    """What a story is about, without its article: "fox", "brave fox", or a made-up creature."""
    if rng.random() < 0.2:
        noun = made_up(rng, split)
    else:
        noun = rng.choice([subject for subject in SUBJECTS if belongs(subject, split)])
    return f"{rng.choice(ADJECTIVES)} {noun}" if rng.random() < 0.3 else noun


def _opening(subject: str, rng: Random) -> str:
    home = HOME_OF.get(subject.split()[-1], "in a village")
    return f"Once upon a time there was {article(subject)}. The {subject} lived {home}."


def short_story(subject: str, rng: Random) -> str:
    """Six to eight sentences."""
    favourite = sum(map(ord, HOME_OF.get(subject.split()[-1], ""))) % 12
    find = _skewed(rng, FINDS, favourite)
    thing = find.split()[-1]
    parts = [
        _opening(subject, rng),
        f"One day the {subject} found {find} {_skewed(rng, PLACES, favourite)}.",
        f"The {subject} showed the {thing} to {_skewed(rng, FRIENDS, favourite)}.",
        f"They {_skewed(rng, DEEDS, favourite)} together.",
        f"In the evening the {subject} went home with the {thing} and was very happy.",
        "The end.",
    ]
    return " ".join(parts)


def _chapters(subject: str, times: list[str], rng: Random) -> str:
    chapters = [_opening(subject, rng)]
    for i, time in enumerate(times):
        find = _skewed(rng, FINDS, i)
        chapters.append(
            f"{time} the {subject} found {find} {_skewed(rng, PLACES, i)}. The {subject} met "
            f"{_skewed(rng, FRIENDS, i)}, and they {_skewed(rng, DEEDS, i)}."
        )
    chapters.append(f"After that the {subject} went home and was very happy. The end.")
    return "\n\n".join(chapters)


def long_story(subject: str, rng: Random) -> str:
    """A story with a paragraph for each day of a week."""
    return _chapters(subject, [f"On {day}" for day in DAYS], rng)


def very_long_story(subject: str, rng: Random) -> str:
    """A story with a paragraph for each month of a year."""
    return _chapters(subject, [f"In {month}" for month in MONTHS], rng)


def exchange(rng: Random, split: Split) -> list[Message]:
    """A request for a short story, and the story."""
    subject = pick_subject(rng, split)
    return [user(dressed(SHORT.pick(rng, split).format(s=article(subject)), rng)), assistant(short_story(subject, rng))]


def strange_exchange(rng: Random, split: Split) -> list[Message]:
    """A request for a story about something unheard of, and the story."""
    subject = made_up(rng, split)
    if rng.random() < 0.3:
        subject = f"{rng.choice(ADJECTIVES)} {subject}"
    return [user(dressed(SHORT.pick(rng, split).format(s=article(subject)), rng)), assistant(short_story(subject, rng))]


def long_exchange(rng: Random, split: Split) -> list[Message]:
    """A request for a long or very long story, and the story."""
    subject = pick_subject(rng, split)
    wordings, tell = (LONG, long_story) if rng.random() < 0.7 else (VERY_LONG, very_long_story)
    return [user(sentence(wordings.pick(rng, split).format(s=article(subject)))), assistant(tell(subject, rng))]
