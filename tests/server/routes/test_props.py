"""/props and /slots."""

from __future__ import annotations

import msgspec

from backends.base import EngineStats, SlotState
from tests.server.routes.client import call, error
from tests.server.scripted import MODEL, N_CTX, scripted_state, set_template


async def test_props() -> None:
    state, _ = scripted_state(n_predict=9)
    props = (await call(state, "GET", "/props")).json()
    assert (props["total_slots"], props["model_path"], props["model_alias"]) == (4, "scripted.gguf", "m")
    assert (props["bos_token"], props["eos_token"], props["is_sleeping"]) == ("<s>", "</s>", False)
    assert props["modalities"] == {"vision": False, "video": False, "audio": False}
    assert isinstance(props["chat_template"], str)
    defaults = props["default_generation_settings"]
    assert defaults["n_ctx"] == N_CTX
    assert (defaults["params"]["temperature"], defaults["params"]["n_predict"]) == (0.8, 9)
    assert defaults["params"]["stream"] is False


async def test_props_of_a_model_without_a_template() -> None:
    state, backend = scripted_state()
    set_template(state, None)
    backend.tokenizer.info = msgspec.structs.replace(backend.tokenizer.info, bos=None)
    props = (await call(state, "GET", "/props")).json()
    assert (props["chat_template"], props["bos_token"]) == ("", "")


async def test_props_cant_be_changed() -> None:
    state, _ = scripted_state()
    response = await call(state, "POST", "/props", json={})
    assert (response.status_code, error(response)["type"]) == (501, "not_supported_error")
    assert (await call(state, "PUT", "/props")).status_code == 405


def busy(slot: int) -> SlotState:
    return SlotState(
        slot=slot,
        request_id="cmpl-1",
        index=0,
        prompt_tokens=10,
        processed_tokens=8,
        generated_tokens=2,
        max_tokens=5,
    )


async def test_slots() -> None:
    state, backend = scripted_state()
    backend.stats = EngineStats(slots=[busy(1)])
    slots = (await call(state, "GET", "/slots")).json()
    assert [slot["id"] for slot in slots] == [0, 1, 2, 3]
    assert [slot["is_processing"] for slot in slots] == [False, True, False, False]
    assert slots[0] == {"id": 0, "n_ctx": N_CTX, "speculative": False, "is_processing": False}
    assert (slots[1]["n_prompt_tokens"], slots[1]["n_prompt_tokens_processed"]) == (10, 8)
    assert slots[1]["next_token"] == [{"has_next_token": True, "has_new_line": False, "n_remain": 3, "n_decoded": 2}]
    assert isinstance(slots[1]["id_task"], int)


async def test_no_slot() -> None:
    state, backend = scripted_state()
    backend.stats = EngineStats(slots=[busy(slot) for slot in range(MODEL.n_parallel)])
    assert (await call(state, "GET", "/slots")).status_code == 200
    response = await call(state, "GET", "/slots?fail_on_no_slot=1")
    assert (response.status_code, error(response)["code"]) == (503, "unavailable")
    assert "retry-after" in response.headers
    backend.stats = EngineStats(slots=[busy(0)])
    assert (await call(state, "GET", "/slots?fail_on_no_slot=1")).status_code == 200
