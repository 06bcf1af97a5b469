"""The tools of a request, and which of them the model may or must call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec

from server.chat.formats import schema


class Tool(msgspec.Struct, frozen=True, dict=True):
    """A function: `parameters` is the JSON schema of its arguments, None if it was given none.

    `strict`: arguments must match the schema to the letter, so a schema that can't be enforced is an error.
    """

    name: str
    parameters: dict[str, Any] | None = None
    strict: bool = False
    input_rule: str | None = None
    """Of a custom tool's input: the body of a grammar rule for what stands for it in a JSON string."""

    @property
    def schema(self) -> dict[str, Any]:
        """The schema of the whole arguments object. A function without parameters takes none."""
        if self.parameters is None:
            return {"type": "object", "properties": {}, "additionalProperties": False}
        return {**self.parameters, "type": "object"}

    def types(self, argument: str) -> frozenset[str]:
        """The JSON types that an argument may have, as far as the schema says."""
        if argument not in self._types:
            root = self.parameters or {}
            self._types[argument] = schema.types(schema.argument(root, argument), root)
        return self._types[argument]

    @cached_property
    def _types(self) -> dict[str, frozenset[str]]:
        return {}


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
