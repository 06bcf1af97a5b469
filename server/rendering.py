"""A request's conversation to the prompt that its model was trained on."""

from __future__ import annotations

from typing import Any, NamedTuple

from server.chat.dialect import Dialect
from server.chat.messages import REASONING_FIELDS
from server.chat.reasoning import reasoning_variables
from server.errors import invalid
from server.schemas.conversation import ConversationFields
from server.schemas.messages import AssistantMessage, as_sent
from server.toolset import Toolset

_TAG = "CONTINUE_FINAL_MESSAGE_TAG "
"""Marks where a message goes on. Like Transformers' own, it ends with a space: templates may trim what they show."""


class Rendered(NamedTuple):
    prompt: str
    thinking: bool = False
    """The prompt ends inside a block of thinking that the client began."""


def render(dialect: Dialect, request: ConversationFields, tools: Toolset, budget: int | None = None) -> Rendered:
    """Takes a while: not for the event loop. `budget`: tokens for thinking, if the template wants to know.

    Raises a 400 for what the template refuses.
    """
    messages = [as_sent(message) for message in request.messages]
    given = request.chat_template_kwargs or {}
    thinking = given.get("enable_thinking")
    variables = {**reasoning_variables(dialect.template.source, request.reasoning_effort, thinking, budget), **given}

    def rendered(messages: list[dict[str, Any]], *, anew: bool) -> str:
        return dialect.render(messages, tools.described, add_generation_prompt=anew, variables=variables)

    field = _continued(request)
    if field is None:
        return Rendered(rendered(messages, anew=request.add_generation_prompt is not False))
    *earlier, last = messages
    prompt = _up_to_tag(rendered([*earlier, _tagged(last, field)], anew=False))
    if prompt is None and field != "content" and (marks := dialect.own_format.thinking) is not None:
        # the template leaves reasoning out, or expects an answer behind it
        last = {"role": last["role"], "content": f"{marks.open}\n{last.get(field) or ''}"}
        prompt = _up_to_tag(rendered([*earlier, _tagged(last, "content")], anew=False))
    if prompt is None:
        message = "This model's chat template doesn't show the end of the last message, so it can't be continued."
        raise invalid(message, "continue_final_message")
    return Rendered(prompt, field != "content" or _inside_thinking(dialect, last.get("content")))


def _continued(request: ConversationFields) -> str | None:
    """The field of the last message that is to be continued; None: a new message is to follow."""
    last, wish = request.messages[-1], request.continue_final_message
    if wish is None:
        is_text = isinstance(last, AssistantMessage) and not (last.tool_calls or last.function_call)
        wish = is_text and not request.add_generation_prompt
    if not wish:
        return None
    reasoning = next((field for field in REASONING_FIELDS if (last.model_extra or {}).get(field)), None)
    if wish == "reasoning_content" or (wish is True and reasoning is not None and not last.content):
        return reasoning or REASONING_FIELDS[0]
    return "content"


def _tagged(message: dict[str, Any], field: str) -> dict[str, Any]:
    text = message.get(field) or ""
    if isinstance(text, str):
        return {**message, field: text + _TAG}
    *parts, last = text
    key = "refusal" if last["type"] == "refusal" else "text"
    return {**message, field: [*parts, {**last, key: last[key] + _TAG}]}


def _up_to_tag(prompt: str) -> str | None:
    """None: the tag isn't there."""
    at = prompt.rfind(_TAG.strip())
    if at < 0:
        return None
    return prompt[:at] if prompt.startswith(_TAG, at) else prompt[:at].rstrip()


def _inside_thinking(dialect: Dialect, content: Any) -> bool:
    thinking = dialect.own_format.thinking
    if thinking is None or not isinstance(content, str):
        return False
    return content.rfind(thinking.open) > content.rfind(thinking.close)
