"""What a grammar may cost: while it is tried, and from token to token.

Not in `constraint/`, whose import takes llama.cpp along: the process in which grammars are tried does without.
"""

from __future__ import annotations

from llguidance import LLParserLimits

MOST_MEMORY = 1 << 30
"""Bytes of address space that a trial has."""
STACK = 64 << 20
"""Bytes. llguidance recurses by the depth of a grammar: 8 MiB are used up by rules 1,200 deep, and with that the
process; macOS gives threads half of one. Only what is used is taken from memory."""
LIMITS = LLParserLimits(step_lexer_fuel=50_000, max_lexer_states=50_000, verbose_errors=False)
"""What it may cost from token to token."""
