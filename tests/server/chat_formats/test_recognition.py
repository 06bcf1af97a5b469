"""Chat templates tell their formats, and what they print of a message is read back as that message."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from server.chat.formats.format import Format
from server.chat.formats.registry import FORMATS, recognise
from server.chat.template import ChatTemplate
from tests.server.chat_formats.message import Message
from tests.server.chat_formats.writers import TOOLS

TEMPLATES = Path(__file__).parent / "templates"
TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>"}

THINKING = {
    "hermes": "<think>",
    "qwen-xml": "<think>",
    "minimax-m2": "<think>",
    "nemotron-list": "<think>",
    "plain-with-thinking": "<think>",
    "seed-xml": "<seed:think>",
    "glm": "<think>",
    "glm-compact": "<think>",
    "mistral": "[THINK]",
    "deepseek": "<think>",
    "deepseek-fenced": "<think>",
    "deepseek-dsml": "<think>",
    "deepseek-dsml-functions": "<think>",
    "kimi-k2": "<think>",
    "gemma": "<|channel>thought",
    "granite-list": "<think>",
    "cohere-list": "<|START_THINKING|>",
}
ENDS = (
    "<|im_end|>",
    "<eos>",
    "<|eot_id|>",
    "<｜end▁of▁sentence｜>",
    "<turn|>",
    "<end_of_turn>",
    "<|return|>",
    "<|call|>",
)
ENDS += ("<|end_of_text|>", "<|END_OF_TURN_TOKEN|>")

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_weather", {"city": 'Köln "Süd"', "days": 2, "options": {"unit": "C", "hours": [1, 2.5]}}),
    ("get_time", {}),
]


@cache
def template(name: str) -> ChatTemplate:
    return ChatTemplate((TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8"), TOKENS)


names = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))


def test_every_format_has_a_template() -> None:
    assert {known.name for known in FORMATS} <= set(names)


@pytest.mark.parametrize("name", names)
def test_recognised(name: str) -> None:
    chat = recognise(template(name).source)
    assert chat.format.name == {"plain-with-thinking": "generic", "glm-compact": "glm"}.get(name, name)
    assert (chat.thinking.open if chat.thinking else None) == THINKING.get(name)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_no_marker_begins_with_another(known: Format) -> None:
    """Which of the two it is would depend on how the text is cut."""
    found = {text for field in ("openers", "leftovers", "bare") for text in getattr(known, field, ())} | set(
        known.tokens
    )
    found |= {text for pair in getattr(known, "wrappers", ()) for text in pair}
    assert not any(one != other and other.startswith(one) for one in found - {""} for other in found)


def test_token_ids() -> None:
    chat = recognise(template("hermes").source)
    pieces = [b"a", b"<think>", b"</tool_call>", b"<tool", b"\xff"]
    assert chat.token_ids(pieces) == {"<think>": 1, "</tool_call>": 2}


def test_tokens_to_render() -> None:
    chat = recognise(template("hermes").source)
    assert chat.tokens(tools=False) == {"<think>", "</think>"}
    assert chat.tokens(tools=True) == {"<think>", "</think>", "<tool_call>", "</tool_call>"}
    harmony = recognise(template("harmony").source)
    assert harmony.tokens(tools=False) == harmony.tokens(tools=True) >= {"<|channel|>", "<|end|>"}


def test_no_template() -> None:
    chat = recognise(None)
    assert (chat.format.name, chat.thinking) == ("plain", None)
    parser = chat.parser(TOOLS)
    found = Message()
    found.add(parser.feed("<think>So</think><tool_call>") + parser.finish())
    assert (found.reasoning, found.content) == ("So", "<tool_call>")


def printed(name: str, message: dict[str, Any]) -> tuple[str, str]:
    """The prompt for an answer, and this answer as the template prints it, without the end of the turn."""
    source = template(name)
    ask = {"role": "user", "content": "What?"}
    tools = [{"type": "function", "function": {"name": "get_time"}}]
    prompt = source.render([ask], tools=tools)
    whole = source.render([ask, {"role": "assistant", **message}], tools=tools, add_generation_prompt=False)
    if "deepseek" in name:
        prompt = prompt.rstrip().removesuffix("<think>").removesuffix("</think>")
    start = next(at for at in range(len(prompt), 0, -1) if whole.startswith(prompt[:at]))
    answer = whole[start:].rstrip("\n")
    for end in ENDS:
        answer = answer.removesuffix(end)
    return prompt[:start], answer


@pytest.mark.parametrize("name", [name for name in names if name not in ("generic", "plain-with-thinking")])
@pytest.mark.parametrize("content", [None, "One moment."])
def test_printed_and_read(name: str, content: str | None) -> None:
    calls = CALLS[:1] if name in ("llama-json", "harmony") else CALLS
    content = None if name in ("llama-json", "pythonic") else content
    sent = [
        {"id": f"abcdefgh{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for at, (name, arguments) in enumerate(calls)
    ]
    thinks = name in THINKING and "deepseek" not in name and name not in ("granite-list", "seed-xml")
    message = {"content": content, "tool_calls": sent, "reasoning_content": "So." if thinks else None}
    prompt, answer = printed(name, message)
    parser = recognise(template(name).source).parser(TOOLS, prompt)
    found = Message()
    found.add(parser.feed(answer) + parser.finish())
    assert [(call.name, json.loads(call.arguments), call.complete) for call in found.calls] == [
        (*call, True) for call in calls
    ]
    assert (found.content, found.reasoning) == (content or "", "So." if thinks else "")


@pytest.mark.parametrize("name", names)
def test_whether_the_prompt_opens_thinking(name: str) -> None:
    chat = recognise(template(name).source)
    prompt = template(name).render([{"role": "user", "content": "What?"}])
    opened = chat.thinking is not None and chat.thinking.opened_by(prompt)
    assert opened == (name in ("glm", "glm-compact", "deepseek", "deepseek-fenced"))
    closed = template(name).render([{"role": "user", "content": "<think>"}], variables={"enable_thinking": False})
    if "deepseek" not in name:
        assert chat.thinking is None or not chat.thinking.opened_by(closed)
