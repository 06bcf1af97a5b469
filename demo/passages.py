"""Print passages of the kind that the demo model has learned from: plain text to measure perplexity on."""

import argparse
from random import Random

from demo.corpus import plain_text

SEED = "passages"
"""Of the random choices; training text is made with others."""


def passages(count: int) -> str:
    """So many of them, a line each, always the same."""
    rng = Random(SEED)
    return "\n".join(plain_text.passage(rng) for _ in range(count))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    print(passages(parser.parse_args().count))
