"""A request's conversation to the prompt that its model was trained on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from server.chat.template import ChatTemplate
from server.errors import unsupported
from server.schemas.messages import Message, as_sent
from server.state import AppState


async def rendered(
    state: AppState,
    messages: Sequence[Message],
    add_generation_prompt: bool | None = None,
    variables: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    """Off the event loop. Raises a 400 for what the template refuses, and where there is no template."""
    if state.chat_template is None:
        message = "This model's file has no chat template: start the server with --chat-template NAME or FILE."
        raise unsupported(message, "messages")
    return await asyncio.to_thread(_render, state.chat_template, messages, add_generation_prompt, variables, tools)


def _render(
    template: ChatTemplate,
    messages: Sequence[Message],
    add_generation_prompt: bool | None,
    variables: Mapping[str, Any] | None,
    tools: Sequence[Mapping[str, Any]] | None,
) -> str:
    return template.render(
        [as_sent(message) for message in messages],
        tools=tools,
        add_generation_prompt=add_generation_prompt is not False,
        variables=variables,
    )
