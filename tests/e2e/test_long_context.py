"""The demo model, trained on 2,048 tokens, serves four times as many."""

from __future__ import annotations

import httpx

from .serving import DEMO, serving


def test_a_prompt_longer_than_the_model_was_trained_on() -> None:
    with serving("-c", "8192", "--rope-scaling", "yarn", "--rope-scale", "4") as server:
        (model,) = server.get("/v1/models").json()["data"]
        assert (model["meta"]["n_ctx"], model["meta"]["n_ctx_train"]) == (8192, 2048)
        client = server.client()
        answer = client.completions.create(model=DEMO, prompt=[40] * 3000, max_tokens=20, temperature=0)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 3000
        assert answer.choices[0].finish_reason in ("stop", "length")
        assert any("which covers 8192" in line for line in server.log)
        assert not any("longer than" in line for line in server.log)
        too_long = httpx.post(f"{server.url}/completions", json={"model": DEMO, "prompt": [40] * 8200}, timeout=60)
        assert too_long.json()["error"]["code"] == "context_length_exceeded"
