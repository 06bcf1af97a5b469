"""The tools of a request, and which of them the model may or must call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec


class Tool(msgspec.Struct, frozen=True):
    """A function: `parameters` is the JSON schema of its arguments, None if it was given none.

    `strict`: arguments must match the schema to the letter, so a schema that can't be enforced is an error.
    """

    name: str
    parameters: dict[str, Any] | None = None
    strict: bool = False


class ToolChoice(msgspec.Struct, frozen=True):
    """`names`: only these may be called; None: all. `parallel`: several calls in one message."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: frozenset[str] | None = None
    parallel: bool = True

    @classmethod
    def named(cls, name: str) -> ToolChoice:
        """This one, once."""
        return cls("required", frozenset([name]), parallel=False)

    def among(self, tools: Sequence[Tool]) -> list[Tool]:
        """The tools that may be called."""
        if self.mode == "none":
            return []
        return [tool for tool in tools if self.names is None or tool.name in self.names]
