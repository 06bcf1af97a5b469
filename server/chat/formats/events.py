"""What a model's output turns out to say, piece by piece."""

from __future__ import annotations

import msgspec


class ContentText(msgspec.Struct, frozen=True):
    """More of the answer."""

    text: str


class ReasoningText(msgspec.Struct, frozen=True):
    """More of the thinking before it."""

    text: str


class CallStarted(msgspec.Struct, frozen=True):
    """A tool call: indices rise from 0. `id` is what the model itself wrote, in the formats that have ids."""

    index: int
    name: str
    id: str | None = None


class CallArguments(msgspec.Struct, frozen=True):
    """More of the call's arguments: its fragments, concatenated, are the text of a JSON object."""

    index: int
    text: str


class CallEnded(msgspec.Struct, frozen=True):
    """The call is complete. A call without this was cut off, or broke off in malformed output."""

    index: int


Event = ContentText | ReasoningText | CallStarted | CallArguments | CallEnded
