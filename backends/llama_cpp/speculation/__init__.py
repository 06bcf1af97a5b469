"""Speculative decoding: tokens that probably come next, computed along with those that have come.

Policy: tokens, measured times and frequencies, neither llama.cpp nor samplers. Only `draft_loading` calls llama.h, and
`draft_model` computes with what that has loaded; neither is imported here.
`docs/speculative.md` says what it does and when it pays.
"""

from .foresight import Foresight
from .speculation import DraftModel, Speculation, Step

__all__ = ["DraftModel", "Foresight", "Speculation", "Step"]
