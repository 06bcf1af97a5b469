"""Words to copy: real ones out of the tables, and made-up ones, so that copying is learned and not the words."""

from random import Random

from demo import facts
from demo.phrasing import Split, belongs

ONSETS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr qu r s sc sh sk sl sm sn sp st str sw t th tr tw v w wh y z".split()
VOWELS = "a e i o u a e i o u ai ea ee oo ou oa ie".split()
CODAS = ["", "", "", "b", "ck", "d", "f", "g", "k", "l", "ll", "m", "mp", "n", "nd", "ng", "nt", "p", "r", "rd", "rk",
         "rm", "rn", "s", "sh", "sk", "ss", "st", "t", "th", "tch", "x", "zz"]  # fmt: skip
PLAIN_WORDS = """
apple pear bread cheese butter honey soup rice sugar tea water bottle cup plate spoon fork table chair lamp window
door roof wall garden river mountain forest island beach cloud rain wind storm winter summer spring autumn paper pencil
book letter stamp clock watch coat hat shoe shirt glove button needle thread hammer nail saw rope ladder bucket brush
soap towel mirror pillow blanket candle match stone sand glass metal silk wool train bus bicycle boat ship plane road
bridge tunnel station market school library museum hospital bakery castle tower village city doctor teacher farmer
baker painter singer dancer pilot sailor king queen prince dragon giant wizard tiger monkey parrot dolphin whale shark
turtle lizard beetle butterfly rose tulip daisy oak pine maple music song drum violin piano guitar game ball kite doll
puzzle robot rocket planet star moon comet dream idea plan secret story riddle joke smile number word sentence
""".split()
PEOPLE = """
Anna Ben Clara David Emma Felix Grace Hugo Ida Jack Kate Leo Mia Noah Olga Paul Rosa Sam Tina Victor Zoe Adam Bella
Carl Dora Eric Fiona George Helen Ivan Julia Karl Lucy Mark Nina Oscar Peter Ruth Simon Tom Alice Bruno Lena Maria
""".split()
_TABLE_WORDS = sorted(
    {x for table in (facts.OPPOSITES, facts.SOUNDS, facts.BABIES, facts.HOMES) for pair in table for x in pair}
    | {row[1] for row in facts.COUNTRIES if " " not in row[1]}
)
REAL_WORDS = PLAIN_WORDS + _TABLE_WORDS


def made_up(rng: Random, split: Split) -> str:
    """A word of one to three syllables that no table holds, in the split."""
    while True:
        syllables = rng.choices([1, 2, 3], [5, 5, 2])[0]
        word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(syllables))
        if belongs(word, split):
            return word


def name(rng: Random, split: Split) -> str:
    """A person's name: a known one, or in the evaluation always a made-up one."""
    if split is Split.EVALUATION or rng.random() < 0.5:
        return made_up(rng, split).capitalize()
    return rng.choice(PEOPLE)


def item(rng: Random, split: Split) -> str:
    """One word to copy; in the evaluation every other one is made up."""
    roll = rng.random()
    if roll < 0.5:
        word = made_up(rng, split)
        return word.capitalize() if roll < 0.1 else word
    if roll < 0.57 and split is Split.TRAIN:
        return str(rng.randint(0, 9999))
    if roll < 0.60 and split is Split.TRAIN:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 7)))
    if roll < 0.65 and split is Split.TRAIN:
        return rng.choice(REAL_WORDS).upper()
    return rng.choice(REAL_WORDS)


def items(rng: Random, split: Split, count: int) -> list[str]:
    """Different words to copy; at least the first is made up, so that the evaluation's are unseen."""
    found = [made_up(rng, split)] if split is Split.EVALUATION else [item(rng, split)]
    while len(found) < count:
        word = item(rng, split)
        if word not in found:
            found.append(word)
    rng.shuffle(found)
    return found
