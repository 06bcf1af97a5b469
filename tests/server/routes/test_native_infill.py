"""/infill: llama-server's body."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from server.state import AppState
from tests.llama_vim import LLAMA_VIM
from tests.server.routes.client import error
from tests.server.routes.native_client import FINAL, events, send
from tests.server.scripted import (
    BOS,
    FIM_MIDDLE,
    FIM_PREFIX,
    FIM_SUFFIX,
    N_CTX,
    ScriptedBackend,
    scripted_state,
)


async def infilled(backend: ScriptedBackend, state: AppState, **body: Any) -> list[int]:
    response = await send(state, "/infill", **{"input_prefix": "p", "input_suffix": "s", **body})
    assert response.status_code == 200, response.text
    return backend.requests[-1].prompt


async def test_infill() -> None:
    state, backend = scripted_state()
    assert await infilled(backend, state) == [BOS, FIM_PREFIX, ord("p"), FIM_SUFFIX, ord("s"), FIM_MIDDLE]
    assert await infilled(backend, state, prompt="<s>q", input_prefix="<s>") == [
        *(BOS, FIM_PREFIX, *b"<s>", BOS, ord("q")),
        *(FIM_SUFFIX, ord("s"), FIM_MIDDLE),
    ]
    prompt = await infilled(backend, state, input_extra=[{"text": "ex", "filename": "f"}])
    assert prompt[:3] == [BOS, *b"\n\n"]
    final = (await send(state, "/infill", input_prefix="p", input_suffix="s", n_predict=2)).json()
    assert (set(final), final["content"]) == (FINAL, "he")
    assert len(await events(state, path="/infill", input_prefix="p", input_suffix="s")) == 6


async def test_what_editors_send() -> None:
    state, backend = scripted_state(lambda index: "cd")
    final = (await send(state, "/infill", **LLAMA_VIM)).json()
    assert final.keys() == set(LLAMA_VIM["response_fields"])
    assert (final["content"], final["timings/predicted_n"]) == ("cd", 2)
    sampling = backend.requests[0].sampling
    assert (sampling.samplers, sampling.top_k, sampling.top_p) == (("top_k", "top_p", "infill"), 40, 0.9)
    whole = (await send(state, "/infill", **LLAMA_VIM | {"response_fields": [], "samplers": "kpi"})).json()
    assert whole["generation_settings"]["samplers"] == ["top_k", "top_p", "infill"]


async def test_infill_is_cut_to_the_context() -> None:
    state, backend = scripted_state()
    for n_predict, generated in ((10, 10), (-1, N_CTX // 4), (1000, N_CTX // 2)):
        prompt = await infilled(
            backend, state, input_prefix="a" * 99 + "b", input_suffix="c" + "d" * 99, n_predict=n_predict
        )
        assert len(prompt) == N_CTX - generated
        assert prompt[prompt.index(FIM_SUFFIX) - 1 :][:3] == [ord("b"), FIM_SUFFIX, ord("c")]
    short = await infilled(backend, state, input_extra=[{"text": "e" * 99}])
    assert (short[0], len(short)) == (BOS, N_CTX - N_CTX // 4)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input_prefix": None}, "input_prefix"),
        ({"input_suffix": ["s"]}, "input_suffix"),
        ({"prompt": ["a"]}, "prompt"),
        ({"input_extra": "x"}, "input_extra"),
        ({"input_extra": [{}]}, "input_extra[0].text"),
        ({"input_extra": [{"text": "a", "filename": 5}]}, "input_extra[0].filename"),
        ({"grammar": "x"}, "grammar"),
    ],
)
async def test_infill_refused(body: dict[str, Any], param: str) -> None:
    state, _ = scripted_state()
    response = await send(state, "/infill", **{"input_prefix": "p", "input_suffix": "s", **body})
    assert (response.status_code, error(response)["param"]) == (400, param)


async def test_infill_by_a_model_that_cant() -> None:
    state, backend = scripted_state()
    backend.tokenizer.info = msgspec.structs.replace(backend.tokenizer.info, fim_middle=None)
    response = await send(state, "/infill", input_prefix="p", input_suffix="s")
    assert response.status_code == 400
    assert "Infill is not supported by this model" in error(response)["message"]
