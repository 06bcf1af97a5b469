"""Completions through the official SDK: every form of prompt, echo, scoring, best_of, suffix."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError
from openai.types import Completion

from .serving import DEMO, Server

ONCE = "Once upon a time"


def complete(server: Server, prompt: Any, **options: Any) -> Completion:
    with server.client() as client:
        return client.completions.create(model=DEMO, prompt=prompt, **{"temperature": 0, **options})


def tokens(server: Server, text: str, **options: Any) -> list[int]:
    ids: list[int] = server.post("/tokenize", {"content": text, **options}).json()["tokens"]
    return ids


def test_sixteen_tokens_unless_told_otherwise(demo: Server) -> None:
    answer = complete(demo, ONCE)
    assert answer.usage is not None and answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length" and answer.object == "text_completion"


def test_every_form_of_prompt(demo: Server) -> None:
    ids = tokens(demo, ONCE, add_special=True)
    expected = complete(demo, ONCE).choices[0].text
    assert complete(demo, ids).choices[0].text == expected
    several = complete(demo, [ONCE, "The capital of France is", ONCE])
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert several.choices[0].text == several.choices[2].text == expected
    assert [choice.text for choice in complete(demo, [ids, ids]).choices] == [expected, expected]


def test_bos_exactly_once(demo: Server) -> None:
    once = tokens(demo, ONCE, add_special=True)
    assert once == tokens(demo, "<|bos|>" + ONCE, add_special=True, parse_special=True)
    rendered = demo.post("/apply-template", {"messages": [{"role": "user", "content": "Hello"}]}).json()["prompt"]
    assert rendered.startswith("<|bos|>")
    chat = demo.post("/v1/chat/completions", {"model": DEMO, "messages": [{"role": "user", "content": "Hello"}]})
    assert chat.json()["usage"]["prompt_tokens"] == len(tokens(demo, rendered, parse_special=True))


def test_streaming_gives_the_same_text(demo: Server) -> None:
    with demo.client() as client:
        stream = client.completions.create(model=DEMO, prompt=[ONCE, "The capital of"], temperature=0, stream=True, n=2)
        texts = dict.fromkeys(range(4), "")
        for chunk in stream:
            for choice in chunk.choices:
                texts[choice.index] += choice.text
    once, capital = [complete(demo, prompt).choices[0].text for prompt in (ONCE, "The capital of")]
    assert texts == {0: once, 1: once, 2: capital, 3: capital}


def test_echo_and_scoring(demo: Server) -> None:
    scored = complete(demo, ONCE, echo=True, max_tokens=0, logprobs=2)
    choice = scored.choices[0]
    assert choice.text == ONCE and choice.logprobs is not None
    assert "".join(choice.logprobs.tokens or []) == ONCE
    assert scored.usage is not None and scored.usage.completion_tokens == 0
    longer = complete(demo, ONCE, echo=True, max_tokens=5, logprobs=2).choices[0]
    assert longer.text.startswith(ONCE) and longer.logprobs is not None
    n = len(choice.logprobs.tokens or [])
    assert (longer.logprobs.token_logprobs or [])[:n] == pytest.approx(choice.logprobs.token_logprobs, abs=0.05)
    offsets = longer.logprobs.text_offset or []
    assert [longer.text[at:].startswith(token) for at, token in zip(offsets, longer.logprobs.tokens or [], strict=True)]


def test_generated_logprobs_agree_with_scoring_them(demo: Server) -> None:
    generated = complete(demo, ONCE, max_tokens=12, logprobs=0).choices[0]
    scored = complete(demo, ONCE + generated.text, echo=True, max_tokens=0, logprobs=0).choices[0]
    assert generated.logprobs is not None and scored.logprobs is not None
    own = generated.logprobs.token_logprobs or []
    assert (scored.logprobs.token_logprobs or [])[-len(own) :] == pytest.approx(own, abs=0.05)


def test_best_of_keeps_the_likeliest(demo: Server) -> None:
    options: dict[str, Any] = {"temperature": 1.5, "max_tokens": 12, "seed": 5, "extra_body": {"min_p": 0, "top_k": 0}}
    candidates = complete(demo, ONCE, n=6, logprobs=0, **options).choices
    best = complete(demo, ONCE, best_of=6, n=1, **options).choices[0].text

    def mean(choice: Any) -> float:
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    assert best == max(candidates, key=mean).text


def test_suffix_fills_in_the_middle(demo: Server) -> None:
    answer = complete(demo, "The capital of France", suffix=" Paris.", max_tokens=8)
    assert answer.choices[0].text
    with pytest.raises(BadRequestError):
        complete(demo, ONCE, best_of=1, n=2)


def test_a_character_cut_by_the_limit(demo: Server) -> None:
    """An emoji takes several byte tokens; cut in two, it is one replacement character, streaming or not."""
    prompt = "Repeat after me: 🙂"
    for limit in range(1, 6):
        body = {"model": DEMO, "prompt": prompt, "max_tokens": limit, "temperature": 0, "ignore_eos": True}
        whole = demo.post("/v1/completions", body).json()["choices"][0]["text"]
        with demo.client() as client:
            stream = client.completions.create(
                model=DEMO, prompt=prompt, max_tokens=limit, temperature=0, stream=True, extra_body={"ignore_eos": True}
            )
            assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == whole
