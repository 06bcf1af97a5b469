"""Markers in `/v1/chat/completions`: as tokens of the vocabulary, and spelled out; with a scripted backend."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from server.chat.template import ChatTemplate, special_tokens
from server.state import AppState
from tests.server.routes.client import chat, chunks
from tests.server.routes.tool_chats import (
    HERMES,
    OSLO,
    TOOLS,
    assembled,
    call,
    choice,
    talking,
    whole,
    without_ids,
)
from tests.server.scripted import BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, INFO, ScriptedBackend, set_template

OPEN, CLOSE, THINK, THOUGHT = BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX
BODY = OSLO.removeprefix("<tool_call>").removesuffix("</tool_call>").encode()
CALL = [OPEN, *BODY, CLOSE]
ONLY_OSLO = [("get_weather", '{"city": "Oslo"}')]


def saying(*parts: str | list[int], control: bool = True) -> tuple[AppState, ScriptedBackend]:
    """A model whose markers are tokens."""
    said = [token for part in parts for token in (part.encode() if isinstance(part, str) else part)]
    state, backend = talking(lambda index: said)
    pieces = [*INFO.pieces]
    for token, text in ((OPEN, "<tool_call>"), (CLOSE, "</tool_call>"), (THINK, "<think>"), (THOUGHT, "</think>")):
        pieces[token] = text.encode()
    ordinary = frozenset() if control else frozenset({OPEN, CLOSE, THINK, THOUGHT})
    info = msgspec.structs.replace(INFO, pieces=pieces, control_tokens=INFO.control_tokens - ordinary)
    backend.tokenizer.info = info
    set_template(state, ChatTemplate(HERMES, special_tokens(info)))
    return state, backend


async def told(state: AppState, backend: ScriptedBackend, **fields: Any) -> dict[str, Any]:
    """The message, which is the same however it comes."""
    message, reason = whole(choice(await chat(state, **fields)))
    for backend.burst in (1, 3, 50):
        stream = assembled(chunks(await chat(state, stream=True, **fields)))
        assert without_ids(stream) == without_ids((message, reason))
    return message


def calls(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(made["name"], made["text"]) for made in message["calls"]]


@pytest.mark.parametrize("control", [True, False])
async def test_spelled_markers_are_text(control: bool) -> None:
    """The grammar saw free text: no call that is spelled was held to anything."""
    spelled = call("get_weather", town=1)
    message = await told(*saying(f"Like {spelled}: ", CALL, control=control), tools=TOOLS)
    assert (message["content"], calls(message)) == (f"Like {spelled}:", ONLY_OSLO)


async def test_spelled_ends_of_thinking_are_text() -> None:
    message = await told(*saying([THINK], "no </think> yet", [THOUGHT], '{"a": 1}'))
    assert (message["reasoning"], message["content"]) == ("no </think> yet", '{"a": 1}')


@pytest.mark.parametrize("fields", [{}, {"tools": TOOLS}])
async def test_tokens_that_mean_nothing(fields: dict[str, Any]) -> None:
    """Control tokens are no text; others are."""
    stray: list[str | list[int]] = ['{"a": 1}', [THOUGHT], " b", [CLOSE] if fields else []]
    assert (await told(*saying(*stray), **fields))["content"] == '{"a": 1} b'
    shown = '{"a": 1}</think> b' + ("</tool_call>" if fields else "")
    assert (await told(*saying(*stray, control=False), **fields))["content"] == shown


async def test_tokens_inside_of_arguments() -> None:
    body = b'\n{"name": "get_weather", "arguments": {"city": "a'
    said = [[OPEN, *body, CLOSE, *b'b"}}\n', CLOSE]]
    message = await told(*saying(*said, control=False), tools=TOOLS)
    assert calls(message) == [("get_weather", '{"city": "a</tool_call>b"}')]


@pytest.mark.parametrize("stop", ["<tool_call>", "\n<tool_call>", "x<tool_call>\n"])
async def test_stop_strings_hold_markers(stop: str) -> None:
    for said in (["x\nx", CALL], ["x\nx\n", CALL], [f"x\nx{OSLO}"], [f"x\nx\n{OSLO}"]):
        state, _ = saying(*said)
        message, reason = whole(choice(await chat(state, tools=TOOLS, stop=stop)))
        text = "".join(part if isinstance(part, str) else OSLO for part in said)
        if stop in text:
            assert (message["content"], message["calls"], reason) == (text[: text.index(stop)], [], "stop")


async def test_tokens_of_thinking_are_counted_one_by_one() -> None:
    """However many come at once, and with what among them that isn't shown."""
    for (state, backend), count in (
        (saying("\n", [THINK], "Hé🦙m.", [THOUGHT], "\n\nHello, you"), 11),
        (talking("<think>Hm.</think>Hello, you"), 18),
        (talking("<think>\nHm.</think>\n<thinHello, you"), 19),
    ):
        for backend.burst in (1, 2, 7, 100):
            usage = (await chat(state)).json()["usage"]
            assert usage["completion_tokens_details"]["reasoning_tokens"] == count


KIMI = (
    "{{ tools | tojson }}<|tool_call_begin|><|tool_call_argument_begin|>"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ m.tool_calls }}{% endfor %}"
)


async def test_ids_are_unique() -> None:
    def kimi(index: int) -> str:
        return f"<|tool_call_begin|>functions.get_time:{index}<|tool_call_argument_begin|>{{}}<|tool_call_end|>"

    said = f"<|tool_calls_section_begin|>{kimi(1)}{kimi(1)}{kimi(1)}{kimi(7)}<|tool_calls_section_end|>"
    state, _ = talking(said, KIMI)
    made = choice(await chat(state, tools=TOOLS))["message"]["tool_calls"]
    ids = [one["id"] for one in made]
    assert ids[0] == "functions.get_time:1" and ids[3] == "functions.get_time:7" and len(set(ids)) == 4


async def test_a_second_call_where_there_can_be_one_only_is_content() -> None:
    state, _ = talking(f"{OSLO}\n{OSLO}")
    functions = {"functions": [TOOLS[0]["function"]]}
    for fields in (functions, {"tools": TOOLS, "parallel_tool_calls": False}):
        message, _ = whole(choice(await chat(state, **fields)))
        assert (message["function_call"] is None) == (fields is not functions) == bool(message["calls"])
        assert message["content"].strip() == OSLO


async def test_a_call_that_breaks_off() -> None:
    said = '<tool_call>\n{"name": "get_weather", "arguments": {"city": tru'
    state, _ = talking(said)
    for fields, reason in (({}, "stop"), ({"max_tokens": len(said) - 1}, "length")):
        answer = choice(await chat(state, tools=TOOLS, **fields))
        message, _ = whole(answer)
        assert (message["content"], answer["finish_reason"]) == ("", reason)
        assert calls(message)[0][1].startswith('{"city": t')
