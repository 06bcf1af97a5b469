"""A chat's answer as one message, put together from the deltas that a stream would consist of."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from server.schemas.chat_response import (
    ContentDelta,
    CustomText,
    Delta,
    FunctionCallDelta,
    FunctionText,
    ReasoningDelta,
    ResponseMessage,
    ToolCall,
    ToolCallDelta,
    ToolCallsDelta,
)


class Assembly:
    """`add` deltas as they come; `message` is whole after the last."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_Call] = []
        self._function_call: _Call | None = None

    def add(self, deltas: Iterable[Delta]) -> None:
        for delta in deltas:
            if isinstance(delta, ContentDelta):
                self._content.append(delta.content)
            elif isinstance(delta, ReasoningDelta):
                self._reasoning.append(delta.reasoning)
            elif isinstance(delta, ToolCallsDelta):
                for call in delta.tool_calls:
                    self._add_call(call)
            elif isinstance(delta, FunctionCallDelta):
                self._function_call = self._function_call or _Call()
                self._function_call.add(delta.function_call)

    def _add_call(self, delta: ToolCallDelta) -> None:
        if delta.index == len(self._calls):
            self._calls.append(_Call(delta))
        self._calls[delta.index].add(delta.function or delta.custom)

    @property
    def message(self) -> ResponseMessage:
        """Its content is null if it has calls and no text."""
        content, reasoning = "".join(self._content), "".join(self._reasoning) or UNSET
        called = bool(self._calls or self._function_call)
        return ResponseMessage(
            content=None if called and not content else content,
            tool_calls=[call.tool_call() for call in self._calls] or UNSET,
            function_call=self._function_call.function() if self._function_call else UNSET,
            reasoning_content=reasoning,
            reasoning=reasoning,
        )


class _Call:
    def __init__(self, start: ToolCallDelta | None = None) -> None:
        """`start`: its first delta; None: calls of its kind have no id."""
        self._start = start
        self._name = ""
        self._parts: list[str] = []

    def add(self, text: FunctionText | CustomText | UnsetType) -> None:
        if isinstance(text, UnsetType):
            return
        self._name = text.name or self._name
        self._parts.append((text.arguments if isinstance(text, FunctionText) else text.input) or "")

    def function(self) -> FunctionText:
        return FunctionText(self._name, "".join(self._parts))

    def tool_call(self) -> ToolCall:
        assert self._start is not None and self._start.id and self._start.type
        call = ToolCall(self._start.id, self._start.type)
        if isinstance(self._start.custom, CustomText):
            call.custom = CustomText(self._name, "".join(self._parts))
        else:
            call.function = self.function()
        return call
