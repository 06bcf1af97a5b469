"""What a request may be at most, unless settings say otherwise: they may lower these bounds, which the server is known
to bear, and raise those of the body and of messages, which only cost memory and time."""

from __future__ import annotations

import msgspec

BODY_BYTES = 32 << 20
JSON_DEPTH = 128
"""Of objects and lists in each other: what is rendered or validated recursively stays clear of Python's own limit."""
MESSAGES = 10_000
STOP_STRINGS = 64
STOP_LENGTH = 1024
SEQUENCES = 1024
"""Of a request: its prompts times the completions of each. The engine takes them in at once."""
ECHOED = 1 << 18
"""Prompt tokens of whose log-probabilities an answer tells, counted for each choice that repeats them."""
N = 128
"""OpenAI's own bound."""
LOGIT_BIASES = 10_000
SCHEMA_SIZE = 256 * 1024
"""Characters of a schema as JSON."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Those of one server."""

    body_bytes: int = BODY_BYTES
    json_depth: int = JSON_DEPTH
    messages: int = MESSAGES
    stop_strings: int = STOP_STRINGS
    stop_length: int = STOP_LENGTH
    n: int = N
    logit_biases: int = LOGIT_BIASES
    schema_size: int = SCHEMA_SIZE
