"""How the loaded model talks: its chat template, and the format of what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from backends.base import TokenizerInfo
from server.chat.calls import as_function_calls
from server.chat.formats import generic_prompt
from server.chat.formats.chat_format import ChatFormat
from server.chat.formats.generic import Generic
from server.chat.formats.registry import recognise
from server.chat.messages import Message
from server.chat.reasoning import reasoning_variables
from server.chat.template import ChatTemplate


class Dialect:
    """One per template and vocabulary; may be used from several threads at once.

    The first use of anything but `template` renders a few conversations: call it off the event loop.
    """

    def __init__(self, template: ChatTemplate, info: TokenizerInfo) -> None:
        self.template = template
        self._info = info

    @property
    def control_tokens(self) -> frozenset[int]:
        return self._info.control_tokens

    @cached_property
    def own_format(self) -> ChatFormat:
        """The one that its template shows."""
        return recognise(self.template.source)

    @cached_property
    def generic_format(self) -> ChatFormat:
        """The one for tools that we describe, because the template can't."""
        return ChatFormat(Generic(), self.own_format.thinking)

    @property
    def knows_tools(self) -> bool:
        """Whether its template describes tools, and we know how its models then call them. Raises ChatTemplateError, as
        everything that asks the template does."""
        return self.template.style.tools and not isinstance(self.own_format.format, Generic)

    def thinks(self, asked: bool | None) -> bool:
        """Whether a prompt is one for thinking. `asked`: what the request says of it, if anything."""
        return self._thinks_unasked if asked is None else asked

    @cached_property
    def _thinks_unasked(self) -> bool:
        """Yes, unless the template makes the same prompt as if it were told not to, and another if told to."""

        def prompt(thinking: bool | None) -> str:
            variables = reasoning_variables(self.template.source, None, thinking)
            return self.render([{"role": "user", "content": "Hi"}], [], add_generation_prompt=True, variables=variables)

        return not prompt(None) == prompt(False) != prompt(True)

    def format(self, *, tools: bool) -> ChatFormat:
        """`tools`: whether there are any."""
        return self.generic_format if tools and not self.knows_tools else self.own_format

    def abilities(self) -> dict[str, bool]:
        """What the template can take, in llama-server's words. Raises ChatTemplateError."""
        style = self.template.style
        return {
            "supports_string_content": "user" not in style.only_parts_roles,
            "supports_typed_content": "user" in style.parts_roles,
            "supports_system_role": style.system,
            "supports_tools": style.tools,
            "supports_tool_calls": style.calls,
            "supports_object_arguments": style.calls and not style.string_arguments,
            "supports_reasoning_effort": "reasoning_effort" in self.template.source,
        }

    def token_ids(self, chat_format: ChatFormat) -> dict[str, int]:
        """Of a format's texts those that are single tokens."""
        return self._generic_ids if chat_format is self.generic_format else self._own_ids

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
        variables: Mapping[str, Any],
    ) -> str:
        """The prompt. Messages are as OpenAI has them; tools are functions. Raises ChatTemplateError."""
        style = self.template.style
        messages = as_function_calls(messages)
        calls = any(message.get("tool_calls") or message.get("role") == "tool" for message in messages)
        described = [*tools] or None
        if described and not self.knows_tools:
            messages = generic_prompt.with_tools(messages, tools, system_role=style.system)
            described = None
        elif calls and not style.calls:
            printed = self.own_format.format.printed
            messages = generic_prompt.with_calls(messages, printed, results=style.results)
        if not style.system:
            messages = generic_prompt.without_system(messages)
        return self.template.render(
            messages, tools=described, add_generation_prompt=add_generation_prompt, variables=variables
        )

    @cached_property
    def _own_ids(self) -> dict[str, int]:
        return self.own_format.token_ids(self._info.pieces)

    @cached_property
    def _generic_ids(self) -> dict[str, int]:
        return self.generic_format.token_ids(self._info.pieces)
