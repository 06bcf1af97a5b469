"""What a chat request says to the chat template: the conversation, the tools, and how to think."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from server import limits
from server.schemas.json_types import Body
from server.schemas.messages import Message
from server.schemas.tools import MAX_TOOLS, FunctionCallChoice, LegacyFunction, Tool, ToolChoice

Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS, fail_fast=True)]
Functions = Annotated[list[LegacyFunction], Field(min_length=1, max_length=128, fail_fast=True)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class ConversationFields(Body):
    messages: Annotated[list[Message], Field(min_length=1, max_length=limits.MESSAGES, fail_fast=True)]
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: Functions | None = None
    function_call: FunctionCallChoice | None = None
    reasoning_effort: Effort | None = None

    # llama-server's and vLLM's own
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | Literal["content", "reasoning_content"] | None = None

    @property
    def has_tools(self) -> bool:
        """Whether there are any that may be called."""
        return bool((self.tools and self.tool_choice != "none") or (self.functions and self.function_call != "none"))
