"""Chats with tools: a scripted model that calls them, and its answers as clients put them together."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from server.chat.template import ChatTemplate, special_tokens
from server.state import AppState
from tests.server.scripted import INFO, MODEL, Script, ScriptedBackend, scripted_state, set_template

HERMES = """
{{- bos_token }}
{%- if tools %}{{ tools | tojson }}<tool_call>{"name": ..., "arguments": ...}</tool_call>{% endif %}
{%- for message in messages %}[{{ message.role }}]{{ message.content }}
{%- for call in message.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}
{%- endfor %}
{%- if add_generation_prompt %}[assistant]{% endif %}
{%- if reasoning_effort %}({{ reasoning_effort }}){% endif %}
{%- if enable_thinking is defined and enable_thinking %}<think>{% endif %}
"""
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME: dict[str, Any] = {"type": "function", "function": {"name": "get_time"}}
SAY: dict[str, Any] = {"type": "custom", "custom": {"name": "say"}}
TOOLS = [WEATHER, TIME, SAY]


def call(name: str, **arguments: Any) -> str:
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{body}\n</tool_call>"


OSLO = call("get_weather", city="Oslo")


def talking(script: Script | str, template: str = HERMES) -> tuple[AppState, ScriptedBackend]:
    """A model with a roomy context that says this."""
    said = script
    state, backend = scripted_state((lambda index: said) if isinstance(said, str) else said)
    backend.model = msgspec.structs.replace(MODEL, n_ctx=8192)
    set_template(state, ChatTemplate(template, special_tokens(INFO)))
    return state, backend


def prompt_of(backend: ScriptedBackend) -> str:
    return bytes(token for token in backend.requests[-1].prompt if token < 256).decode()


def choice(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert response.status_code == 200, body
    ChatCompletion.model_validate(body)
    return dict(body["choices"][0])


def assembled(stream: list[dict[str, Any]], index: int = 0) -> tuple[dict[str, Any], str]:
    """A stream's message, put together by the rules that clients rely on; and its finish reason."""
    message: dict[str, Any] = {"content": "", "calls": [], "reasoning": "", "function_call": None}
    reason = ""
    for chunk in stream:
        if '"custom"' not in json.dumps(chunk):  # what OpenAI sends of custom tools, its SDK's types don't know
            ChatCompletionChunk.model_validate(chunk)
        for choice in chunk["choices"]:
            if choice["index"] != index:
                continue
            assert not reason, "nothing follows the end"
            reason = choice["finish_reason"] or ""
            delta = choice["delta"]
            assert delta.get("reasoning") == delta.get("reasoning_content")
            message["content"] += delta.get("content") or ""
            message["reasoning"] += delta.get("reasoning") or ""
            for part in delta.get("tool_calls", ()):
                if part["index"] == len(message["calls"]):
                    message["calls"].append({"id": part["id"], "type": part["type"], "name": "", "text": ""})
                else:
                    assert part["index"] == len(message["calls"]) - 1 and not part.keys() & {"id", "type"}
                found = message["calls"][-1]
                inner = part[found["type"]]
                assert ("name" in inner) == (not found["name"])
                found["name"] += inner.get("name", "")
                found["text"] += inner.get("arguments", inner.get("input", ""))
            if "function_call" in delta:
                found = message["function_call"] or {"name": "", "arguments": ""}
                message["function_call"] = {
                    key: value + delta["function_call"].get(key, "") for key, value in found.items()
                }
    return message, reason


def whole(answer: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The same of an answer in one piece."""
    message = answer["message"]
    calls = [
        {
            "id": call["id"],
            "type": call["type"],
            "name": inner["name"],
            "text": inner.get("arguments", inner.get("input")),
        }
        for call in message.get("tool_calls", ())
        for inner in (call[call["type"]],)
    ]
    return {
        "content": message["content"] or "",
        "calls": calls,
        "reasoning": message.get("reasoning", ""),
        "function_call": message.get("function_call"),
    }, answer["finish_reason"]


def without_ids(told: tuple[dict[str, Any], str]) -> tuple[dict[str, Any], str]:
    message, reason = told
    calls = [{key: value for key, value in call.items() if key != "id"} for call in message["calls"]]
    return {**message, "calls": calls}, reason


def lark(name: str, definition: str) -> dict[str, Any]:
    grammar = {"syntax": "lark", "definition": definition}
    return {"type": "custom", "custom": {"name": name, "format": {"type": "grammar", "grammar": grammar}}}
