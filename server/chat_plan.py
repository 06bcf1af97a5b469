"""A chat request's prompt, what its answers must be like, and how they are to be read."""

from __future__ import annotations

import asyncio

import msgspec

from server.chat.dialect import Dialect
from server.chat.formats.chat_format import ChatFormat
from server.chat.formats.grammar import GrammarTooLarge, InputNotEnforceable, LimitNotEnforceable
from server.chat.formats.marker_tokens import MarkerTokens
from server.chat.formats.parser import MessageParser
from server.chat.formats.thinking import THINK, Thinking
from server.chat.reasoning import asks_thinking
from server.errors import invalid, unsupported
from server.rendering import Rendered, render
from server.schemas.chat import ChatCompletionRequest
from server.structured.aside import aside
from server.structured.content import content_rule, structure_field
from server.toolset import Toolset, toolset


class ChatPlan(msgspec.Struct, frozen=True):
    prompt: str
    tools: Toolset
    grammar: str | None
    """What an answer must match; None: anything."""
    grammar_field: str
    """What the client calls what it was made from."""
    tokens: MarkerTokens
    """Those that the parser must be given as characters."""
    format: ChatFormat
    begins_after: str
    """What an answer goes on from: the prompt, so that its beginning can be understood."""
    split_reasoning: bool
    """Whether reasoning is told apart from content."""
    thinking_limited: bool
    """Whether it may have so many tokens only."""
    content_constrained: bool

    def parser(self) -> MessageParser:
        """For one answer."""
        return self.format.parser(
            self.tools.callable,
            self.begins_after,
            self.tokens,
            many=self.tools.choice.parallel,
            limited=self.thinking_limited,
            settles=self.content_constrained,
        )

    @property
    def thinking(self) -> Thinking:
        """Markers for reasoning that isn't told apart."""
        return self.format.thinking or THINK


async def plan_chat(dialect: Dialect, request: ChatCompletionRequest) -> ChatPlan:
    """Off the event loop. Raises a 400 for what the template refuses, and for what can't be enforced."""
    structured = request.tools or request.functions or structure_field(request, request.response_format)
    return await (aside if structured else asyncio.to_thread)(_plan, dialect, request)


def _plan(dialect: Dialect, request: ChatCompletionRequest) -> ChatPlan:
    tools, budget = toolset(request), request.thinking_budget
    content = content_rule(request, request.response_format)
    rendered = render(dialect, request, tools, budget)
    chat_format = dialect.format(tools=bool(tools.described))
    token_ids = dialect.token_ids(chat_format)
    if budget is None and (content is not None or tools.choice.mode == "required") and not _thinks(dialect, request):
        budget = 0  # else a model that isn't to think could do nothing else, where little else is allowed
    begins_after = _begins_after(rendered, chat_format)
    try:
        grammar = chat_format.constraint(tools.callable, tools.choice, begins_after, token_ids, content, budget)
    except GrammarTooLarge as error:
        raise invalid(str(error), "functions" if tools.legacy else "tools") from None
    except InputNotEnforceable as error:
        raise unsupported(str(error), "tools") from None
    except LimitNotEnforceable as error:
        raise invalid(str(error), "reasoning_budget_tokens") from None
    return ChatPlan(
        rendered.prompt,
        tools,
        grammar,
        _grammar_field(request, tools),
        chat_format.marker_tokens(token_ids, dialect.control_tokens, tools=bool(tools.callable)),
        chat_format,
        begins_after,
        split_reasoning=request.reasoning_format != "none",
        thinking_limited=budget is not None,
        content_constrained=content is not None,
    )


def _grammar_field(request: ChatCompletionRequest, tools: Toolset) -> str:
    """Where both tools and another field say what an answer is like: that one, as tools are looked through before."""
    return structure_field(request, request.response_format) or ("functions" if tools.legacy else "tools")


def _thinks(dialect: Dialect, request: ChatCompletionRequest) -> bool:
    given = (request.chat_template_kwargs or {}).get("enable_thinking")
    return dialect.thinks(asks_thinking(request.reasoning_effort, given))


def _begins_after(rendered: Rendered, chat_format: ChatFormat) -> str:
    """Thinking that the client has begun is like thinking that the template has opened."""
    opened = rendered.thinking and chat_format.thinking is not None
    return rendered.prompt + chat_format.thinking.open if opened and chat_format.thinking else rendered.prompt
