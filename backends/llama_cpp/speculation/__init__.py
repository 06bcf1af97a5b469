"""Speculative decoding: tokens that probably come next, computed along with those that have come.

Policy only, but for `draft_model`: tokens, measured times and frequencies, neither llama.cpp nor samplers.
`docs/speculative.md` says what it does and when it pays.
"""

from .foresight import Foresight
from .speculation import DraftModel, Speculation, Step

__all__ = ["DraftModel", "Foresight", "Speculation", "Step"]
