"""A chat request's prompt, what its answers must be like, and how they are to be read."""

from __future__ import annotations

import asyncio

import msgspec

from server.chat.dialect import Dialect
from server.chat.formats.chat_format import ChatFormat
from server.chat.formats.grammar import GrammarTooLarge, LimitNotEnforceable
from server.chat.formats.parser import MessageParser
from server.chat.formats.thinking import THINK, Thinking
from server.errors import invalid
from server.rendering import Rendered, render
from server.schemas.chat import ChatCompletionRequest
from server.structured.content import content_rule
from server.toolset import Toolset, toolset


class ChatPlan(msgspec.Struct, frozen=True):
    prompt: str
    tools: Toolset
    grammar: str | None
    """What an answer must match; None: anything."""
    control_tokens: frozenset[int]
    """Those whose text the parser must be given."""
    format: ChatFormat
    begins_after: str
    """What an answer goes on from: the prompt, so that its beginning can be understood."""
    split_reasoning: bool
    """Whether reasoning is told apart from content."""

    def parser(self) -> MessageParser:
        """For one answer."""
        return self.format.parser(self.tools.callable, self.begins_after)

    @property
    def thinking(self) -> Thinking:
        """Markers for reasoning that isn't told apart."""
        return self.format.thinking or THINK


async def plan(dialect: Dialect, request: ChatCompletionRequest) -> ChatPlan:
    """Off the event loop. Raises a 400 for what the template refuses, and for what can't be enforced."""
    return await asyncio.to_thread(_plan, dialect, request)


def _plan(dialect: Dialect, request: ChatCompletionRequest) -> ChatPlan:
    tools, budget = toolset(request), request.thinking_budget
    content = content_rule(request, request.response_format)
    rendered = render(dialect, request, tools, budget)
    chat_format = dialect.format(tools=bool(tools.described))
    token_ids = dialect.token_ids(chat_format)
    begins_after = _begins_after(rendered, chat_format)
    try:
        grammar = chat_format.constraint(tools.callable, tools.choice, begins_after, token_ids, content, budget)
    except GrammarTooLarge as error:
        raise invalid(str(error), "functions" if tools.legacy else "tools") from None
    except LimitNotEnforceable as error:
        raise invalid(str(error), "reasoning_budget_tokens") from None
    names = chat_format.tokens(tools=bool(tools.callable)) & token_ids.keys()
    return ChatPlan(
        rendered.prompt,
        tools,
        grammar,
        dialect.control_tokens.intersection(token_ids[name] for name in names),
        chat_format,
        begins_after,
        request.reasoning_format != "none",
    )


def _begins_after(rendered: Rendered, chat_format: ChatFormat) -> str:
    """Thinking that the client has begun is like thinking that the template has opened."""
    opened = rendered.thinking and chat_format.thinking is not None
    return rendered.prompt + chat_format.thinking.open if opened and chat_format.thinking else rendered.prompt
