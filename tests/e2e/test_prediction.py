"""OpenAI's `prediction` through the official SDK, and what speeds up an answer without changing it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai.types import CompletionUsage

from server.model_source import find_model

from .serving import DEMO, Server, serving
from .test_sdk_chat import COUNT, ask, chunks, text_of


def predicted(text: str) -> Any:
    return {"type": "content", "content": text}


def accepted_and_rejected(usage: CompletionUsage | None) -> tuple[int, int]:
    assert usage is not None and usage.completion_tokens_details is not None
    details = usage.completion_tokens_details
    accepted, rejected = details.accepted_prediction_tokens, details.rejected_prediction_tokens
    assert accepted is not None and rejected is not None
    return accepted, rejected


def text_and_usage(server: Server, stream: bool, **options: Any) -> tuple[str, CompletionUsage | None]:
    if not stream:
        answer = ask(server, COUNT, **options)
        return answer.choices[0].message.content or "", answer.usage
    got = chunks(server, COUNT, stream_options={"include_usage": True}, **options)
    return text_of(got), got[-1].usage


@pytest.fixture(scope="module")
def count(demo: Server) -> str:
    return ask(demo, COUNT, max_tokens=120).choices[0].message.content or ""


@pytest.mark.parametrize("stream", [False, True])
def test_a_right_prediction_comes_true(demo: Server, count: str, stream: bool) -> None:
    text, usage = text_and_usage(demo, stream, max_tokens=120, prediction=predicted(count))
    assert text == count
    accepted, rejected = accepted_and_rejected(usage)
    assert usage is not None and accepted >= 0.9 * usage.completion_tokens - 2 and rejected <= 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_prediction_with_differences_comes_true_but_for_them(demo: Server, count: str, stream: bool) -> None:
    changed = count.replace("7", "seven").replace("21", "twenty-one")
    text, usage = text_and_usage(demo, stream, max_tokens=120, prediction=predicted(changed))
    assert text == count
    accepted, rejected = accepted_and_rejected(usage)
    assert accepted > 2 * rejected > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_prediction_changes_nothing(demo: Server, count: str, stream: bool) -> None:
    wrong = "The quick brown fox jumps over the lazy dog. " * 10
    text, usage = text_and_usage(demo, stream, max_tokens=120, prediction=predicted(wrong))
    assert text == count
    accepted, rejected = accepted_and_rejected(usage)
    assert rejected > 10 * accepted


def test_a_prediction_in_parts(demo: Server, count: str) -> None:
    parts: Any = {
        "type": "content",
        "content": [{"type": "text", "text": count[i : i + 20]} for i in range(0, len(count), 20)],
    }
    answer = ask(demo, COUNT, max_tokens=120, prediction=parts)
    assert answer.choices[0].message.content == count
    assert accepted_and_rejected(answer.usage)[0] > 0


def test_a_stop_string_within_what_came_true(demo: Server, count: str) -> None:
    options: dict[str, Any] = {"max_tokens": 120, "stop": count[10:14]}
    plain, fast = (ask(demo, COUNT, **options, **extra) for extra in ({}, {"prediction": predicted(count)}))
    assert plain.choices[0].message.content == fast.choices[0].message.content
    assert plain.usage is not None and fast.usage is not None
    assert plain.usage.completion_tokens == fast.usage.completion_tokens
    assert accepted_and_rejected(fast.usage)[0] <= fast.usage.completion_tokens


def test_log_probabilities_of_every_token(demo: Server, count: str) -> None:
    answer = ask(demo, COUNT, max_tokens=60, logprobs=True, top_logprobs=2, prediction=predicted(count))
    logprobs, usage = answer.choices[0].logprobs, answer.usage
    assert logprobs is not None and logprobs.content is not None and usage is not None
    assert len(logprobs.content) == usage.completion_tokens == 60
    assert (
        b"".join(bytes(token.bytes or []) for token in logprobs.content).decode()
        == count[: len("".join(t.token for t in logprobs.content))]
    )
    assert all(token.logprob >= token.top_logprobs[0].logprob - 1e-6 for token in logprobs.content)  # greedy


def test_several_choices(demo: Server, count: str) -> None:
    answer = ask(demo, COUNT, max_tokens=60, n=3, prediction=predicted(count))
    assert len({choice.message.content for choice in answer.choices}) == 1
    accepted, rejected = accepted_and_rejected(answer.usage)
    assert accepted > 3 * 40 and rejected > 0


def test_many_clients_with_predictions_at_once(demo: Server, count: str) -> None:
    def one(k: int) -> str:
        prediction = predicted(count if k % 2 else count[::-1])
        return text_and_usage(demo, k % 3 == 0, max_tokens=60, prediction=prediction)[0]

    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(one, range(32)))
    assert all(count.startswith(text) for text in texts)
    demo.settled()
    assert demo.metric("paddock_kv_cache_cells_used") == demo.metric("paddock_prefix_cache_cells")


def test_drafting_can_be_switched_off_and_counts_predictions_all_the_same(count: str) -> None:
    with serving("--spec-type", "none") as server:
        answer = ask(server, COUNT, max_tokens=60, prediction=predicted(count))
        assert accepted_and_rejected(answer.usage)[0] >= 50
        assert server.metric("paddock_spec_decode_num_drafts_total") == 0


def test_a_draft_model(count: str) -> None:
    with serving("--model-draft", str(find_model(None)), "--spec-draft-n-max", "4") as server:
        assert any("draft model" in line for line in server.log)
        assert ask(server, COUNT, max_tokens=120).choices[0].message.content == count


def test_a_draft_model_that_is_not_there() -> None:
    with (
        pytest.raises(AssertionError, match=r"cannot load missing\.gguf: it cannot be read: No such file"),
        serving("--model-draft", "missing.gguf"),
    ):
        pass


def test_timings_tell_of_drafts(demo: Server, count: str) -> None:
    body = {"model": DEMO, "messages": COUNT, "temperature": 0, "max_tokens": 120, "prediction": predicted(count)}
    timings = demo.post("/v1/chat/completions", body).json()["timings"]
    assert timings["draft_n"] >= timings["draft_n_accepted"] > 0
