"""llama-server's endpoints on a real engine, and what they leave in the metrics."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.llama_vim import LLAMA_VIM

from .serving import DEMO, Server

PROMPT = "Once upon a time"


def complete(server: Server, **body: Any) -> Any:
    response = server.post("/completion", {"prompt": PROMPT, "temperature": 0, "n_predict": 12, **body})
    assert response.status_code == 200, response.text
    return response.json()


def streamed(server: Server, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    events = []
    with httpx.stream("POST", server.root + path, json={**body, "stream": True}, timeout=120) as response:
        for line in response.iter_lines():
            assert line == "" or line.startswith((":", "data: {"))
            if line.startswith("data: "):
                events.append(json.loads(line[6:]))
    return events


def test_completion_is_openais_text(demo: Server) -> None:
    final = complete(demo)
    with demo.client() as client:
        same = client.completions.create(model=DEMO, prompt=PROMPT, temperature=0, max_tokens=12)
    assert final["content"] == same.choices[0].text
    assert (final["tokens_predicted"], final["stop_type"], final["model"]) == (12, "limit", DEMO)
    assert final["timings"]["predicted_n"] == 12
    again = complete(demo)
    assert again["timings"]["cache_n"] > 0
    assert again["tokens_cached"] == again["tokens_evaluated"] + 11


def test_a_stream_is_the_whole_in_pieces(demo: Server) -> None:
    whole = complete(demo, n_probs=3, return_tokens=True)
    body = {"prompt": PROMPT, "temperature": 0, "n_predict": 12, "n_probs": 3, "return_progress": True}
    *pieces, final = streamed(demo, "/completion", body)
    assert final["stop"] and not any(piece["stop"] for piece in pieces)
    assert "prompt_progress" in pieces[0]
    assert "".join(piece["content"] for piece in pieces) == whole["content"]
    assert [token for piece in pieces for token in piece["tokens"]] == whole["tokens"]
    told = [entry for piece in pieces for entry in piece.get("completion_probabilities", [])]
    assert [entry["id"] for entry in told] == whole["tokens"]
    assert all(entry["top_logprobs"][0]["id"] == entry["id"] for entry in told), "greedy takes the likeliest"
    assert len(told[0]["top_logprobs"]) == 3


def test_prompts_in_every_form(demo: Server) -> None:
    tokens = demo.post("/tokenize", {"content": PROMPT, "add_special": True}).json()["tokens"]
    expected = complete(demo)["content"]
    first, *rest = demo.post("/tokenize", {"content": PROMPT[4:]}).json()["tokens"]
    for prompt in (tokens, {"prompt_string": PROMPT}, [PROMPT[:4], first, *rest]):
        final = complete(demo, prompt=prompt)
        assert (final["content"], final["prompt"]) == (expected, demo_text(demo, tokens))
    several = complete(demo, prompt=[PROMPT, tokens], n_cmpl=2)
    assert [final["content"] for final in several] == [expected] * 4


def demo_text(server: Server, tokens: list[int]) -> str:
    return str(server.post("/detokenize", {"tokens": tokens}).json()["content"])


def test_a_banned_token_does_not_come(demo: Server) -> None:
    first = complete(demo, n_predict=1, return_tokens=True)
    token, text = first["tokens"][0], first["content"]
    for bias in ([[token, False]], {str(token): -1000}, [[text, False]]):
        assert token not in complete(demo, n_predict=1, return_tokens=True, logit_bias=bias)["tokens"]


def test_the_context_ends_the_text(demo: Server) -> None:
    n_ctx = demo.get("/props").json()["default_generation_settings"]["n_ctx"]
    final = complete(demo, prompt=[100] * (n_ctx - 5), n_predict=-1, ignore_eos=True)
    assert (final["truncated"], final["stop_type"], final["tokens_predicted"]) == (True, "limit", 5)


def test_infill(demo: Server) -> None:
    body = {"input_prefix": "one two", "input_suffix": "four five", "n_predict": 4, "temperature": 0}
    final = demo.post("/infill", body).json()
    assert final["prompt"].endswith("<|fim_prefix|>one two<|fim_suffix|>four five<|fim_middle|>")
    with demo.client() as client:
        same = client.completions.create(model=DEMO, prompt="one two", suffix="four five", temperature=0, max_tokens=4)
    assert final["content"] == same.choices[0].text
    *pieces, _last = streamed(demo, "/infill", body)
    assert "".join(piece["content"] for piece in pieces) == final["content"]


def test_what_editors_send(demo: Server) -> None:
    """A completion as llama.vim and llama.vscode ask for it."""
    france = {"input_prefix": "The capital of France is", "input_suffix": ".\n", "prompt": "", "n_indent": 0}
    body = LLAMA_VIM | france | {"n_predict": 16}
    response = demo.post("/infill", body)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer.keys() == set(body["response_fields"])
    assert answer["truncated"] is False
    whole = demo.post("/infill", body | {"response_fields": [], "ignore_eos": True, "t_max_predict_ms": 0}).json()
    assert whole["generation_settings"]["samplers"] == body["samplers"]
    assert (whole["tokens_predicted"], whole["stop_type"]) == (16, "limit"), "infill wants an end: it is banned"


def test_apply_template_is_what_chat_answers(demo: Server) -> None:
    messages: list[Any] = [{"role": "user", "content": "Hello!"}]
    prompt = demo.post("/apply-template", {"messages": messages}).json()["prompt"]
    without_bos = prompt.removeprefix(demo.get("/props").json()["bos_token"])
    with demo.client() as client:
        chat = client.chat.completions.create(model=DEMO, messages=messages, temperature=0, max_tokens=12)
    assert chat.choices[0].message.content == complete(demo, prompt=without_bos)["content"]


def test_slots(demo: Server) -> None:
    slots = demo.get("/slots").json()
    assert len(slots) == demo.get("/props").json()["total_slots"]
    assert [slot["id"] for slot in slots] == list(range(len(slots)))
    assert demo.get("/slots?fail_on_no_slot=1").status_code == 200


def test_metrics_count_what_was_done(demo: Server) -> None:
    names = (
        "paddock_prompt_tokens_total",
        "paddock_generation_tokens_total",
        "paddock_e2e_request_latency_seconds_count",
    )
    before = [demo.metric(name) for name in names]
    final = complete(demo)
    assert [demo.metric(name) for name in names] == [
        before[0] + final["tokens_evaluated"],
        before[1] + final["tokens_predicted"],
        before[2] + 1,
    ]
    demo.settled()
    assert demo.metric("paddock_kv_cache_usage_perc") == 0
