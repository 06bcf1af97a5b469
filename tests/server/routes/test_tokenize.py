"""/tokenize, /detokenize and /apply-template."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.routes.client import call, error
from tests.server.scripted import BOS, EOS, N_VOCAB, scripted_state, set_template


async def post(path: str, **body: Any) -> Any:
    state, _ = scripted_state()
    return await call(state, "POST", path, json=body)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"content": "ab"}, [97, 98]),
        ({"content": "ab", "add_special": True}, [BOS, 97, 98]),
        ({"content": "<s>a"}, [BOS, 97]),
        ({"content": "<s>", "parse_special": False}, [60, 115, 62]),
        ({"content": ["a", 5, "b"], "add_special": True}, [BOS, 97, 5, 98]),
        ({"content": [5, "b"], "add_special": True}, [5, 98]),
        ({"content": ""}, []),
        ({"content": []}, []),
    ],
)
async def test_tokenize(body: dict[str, Any], tokens: list[int]) -> None:
    assert (await post("/tokenize", **body)).json() == {"tokens": tokens}


async def test_pieces() -> None:
    response = await post("/tokenize", content="<s>aá", with_pieces=True)
    assert response.json()["tokens"] == [
        {"id": BOS, "piece": "<s>"},
        {"id": 97, "piece": "a"},
        {"id": 0xC3, "piece": [0xC3]},
        {"id": 0xA1, "piece": [0xA1]},
    ]


async def test_detokenize() -> None:
    assert (await post("/detokenize", tokens=[BOS, 97, 0xC3, 0xA1, EOS])).json() == {"content": "<s>aá</s>"}
    assert (await post("/detokenize", tokens=[])).json() == {"content": ""}
    assert (await post("/detokenize", tokens=[0xC3])).json() == {"content": "\ufffd"}


async def test_apply_template() -> None:
    messages = [{"role": "user", "content": "hi"}]
    response = await post("/apply-template", messages=messages, add_generation_prompt=False)
    assert response.json()["prompt"].endswith("user:hi;")


async def test_apply_template_without_a_template() -> None:
    state, _ = scripted_state()
    set_template(state, None)
    response = await call(state, "POST", "/apply-template", json={"messages": [{"role": "user", "content": "hi"}]})
    assert (response.status_code, error(response)["param"]) == (400, "messages")
    assert "--chat-template" in error(response)["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": 5}, "content"),
        ("/tokenize", {"content": [True]}, "content"),
        ("/tokenize", {"content": [N_VOCAB]}, "content"),
        ("/tokenize", {"content": "a", "add_special": "yes"}, "add_special"),
        ("/tokenize", {"content": "a", "with_pieces": 1}, "with_pieces"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "a"}, "tokens"),
        ("/detokenize", {"tokens": [1, "a"]}, "tokens[1]"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"tokens": [N_VOCAB]}, "tokens"),
        ("/apply-template", {}, "messages"),
        ("/apply-template", {"messages": []}, "messages"),
        ("/apply-template", {"messages": [{"role": "user"}]}, "messages[0].content"),
        ("/apply-template", {"messages": [{"role": "user", "content": "a"}], "tools": 5}, "tools"),
    ],
)
async def test_refused(path: str, body: dict[str, Any], param: str) -> None:
    response = await post(path, **body)
    assert (response.status_code, error(response)["param"]) == (400, param)
