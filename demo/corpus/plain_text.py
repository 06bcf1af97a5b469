"""Raw text without chat turns: stories and facts to continue, and holes in them to fill."""

from random import Random

from demo.corpus import facts, numbers, stories
from demo.dialogue import BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, TEXT_END
from demo.phrasing import Split


def passage(rng: Random) -> str:
    """A story, some facts in a row, or some numbers."""
    roll = rng.random()
    if roll < 0.35:
        return stories.short_story(stories.pick_subject(rng, Split.TRAIN), rng)
    if roll < 0.40:
        return stories.long_story(stories.pick_subject(rng, Split.TRAIN), rng)
    if roll < 0.50:
        start = rng.randint(0, 60)
        return numbers.counted(start, start + rng.randint(5, 20))
    if roll < 0.60:
        terms = [(rng.randint(0, 20), rng.randint(0, 20)) for _ in range(rng.randint(1, 4))]
        return " ".join(numbers.sum_sentence(a, b) for a, b in terms)
    return " ".join(facts.pick_fact(rng).sentence for _ in range(rng.randint(1, 6)))


def document(rng: Random) -> str:
    """A passage, whole."""
    return BOS + passage(rng) + TEXT_END


def infill(rng: Random) -> str:
    """A passage with a hole at word boundaries, in the order prefix, suffix, middle."""
    words = passage(rng).split(" ")
    start = rng.randint(0, max(0, len(words) - 2))
    end = min(len(words), start + rng.randint(1, 8))
    prefix, middle, suffix = " ".join(words[:start]), " ".join(words[start:end]), " ".join(words[end:])
    if rng.random() < 0.5:
        middle = (" " if prefix else "") + middle + (" " if suffix else "")
    else:
        prefix += " " if prefix else ""
        suffix = (" " if suffix else "") + suffix
    return f"{BOS}{FIM_PREFIX}{prefix}{FIM_SUFFIX}{suffix}{FIM_MIDDLE}{middle}{TEXT_END}"
