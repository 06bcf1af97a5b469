"""Asking a server: what is sent, how often, and what comes of errors."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from server.evaluation import answers
from server.evaluation.answers import Asking
from server.evaluation.rows import Answer, Row
from tests.server.evaluation.stub_server import JSON, Reply, StubServer, chat, error, stub_server


def rows(count: int) -> list[Row]:
    return [Row(str(i), f"question {i}", None, ["x"]) for i in range(count)]


def asked(server: StubServer, rows: list[Row], **options: Any) -> list[Answer]:
    settings = {"api_key": None, "model": "m", "concurrency": 4, "fields": {"max_tokens": 9}, **options}
    return Asking(url=server.url, **settings).ask(rows, lambda _done, _total: None)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "FIRST_WAIT", 0.001)


def test_answers_are_in_the_rows_order() -> None:
    def reply(_path: str, body: JSON, before: int) -> Reply:
        time.sleep(0.05 if before == 0 else 0)
        return chat("to " + body["messages"][-1]["content"])

    reports: list[tuple[int, int]] = []
    with stub_server(reply) as server:
        found = Asking(url=server.url, api_key=None, model="m", concurrency=4, fields={}).ask(
            rows(9), lambda *report: reports.append(report)
        )
    assert [answer.text for answer in found] == [f"to question {i}" for i in range(9)]
    assert reports == [(i, 9) for i in range(10)]


def test_what_is_sent() -> None:
    messages = [{"role": "user", "content": "hi"}]
    both = [Row("1", "question", None, ["x"]), Row("2", None, messages, ["x"])]

    def reply(path: str, _body: JSON, _before: int) -> Reply:
        return chat("") if path == "/v1/chat/completions" else (200, {"choices": [{"text": "raw"}]}, {})

    with stub_server(reply) as server:
        asked(server, both, api_key="key", system="Be brief.", concurrency=1)
        assert [answer.text for answer in asked(server, both, raw=True, concurrency=1)] == ["raw", ""]
        (_, headers, first), (_, _, second), (path, _, third), _ = server.requests
    system = {"role": "system", "content": "Be brief."}
    assert first == {"model": "m", "max_tokens": 9, "messages": [system, {"role": "user", "content": "question"}]}
    assert headers["authorization"] == "Bearer key"
    assert second["messages"] == [system, *messages]
    assert (path, third) == ("/v1/completions", {"model": "m", "max_tokens": 9, "prompt": "question"})


def test_so_many_requests_at_a_time() -> None:
    together = threading.Barrier(3, timeout=20)

    def reply(_path: str, _body: JSON, _before: int) -> Reply:
        together.wait()
        return chat("")

    with stub_server(reply) as server:
        asked(server, rows(9), concurrency=3)
        assert server.most_at_once == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(status: int) -> None:
    def reply(_path: str, _body: JSON, before: int) -> Reply:
        return chat("at last") if before >= 3 else error(status, "later", **({"Retry-After": "0.01"} if before else {}))

    with stub_server(reply) as server:
        assert asked(server, rows(1)) == [Answer("at last")]
        assert len(server.requests) == 4


def test_but_not_for_ever() -> None:
    with stub_server(lambda _path, _body, _before: error(503, "loading", **{"Retry-After": "0"})) as server:
        assert asked(server, rows(1)) == [Answer(error="503 Service Unavailable: loading")]
        assert len(server.requests) == answers.TRIES


def test_an_error_is_one_rows_alone() -> None:
    def reply(_path: str, body: JSON, _before: int) -> Reply:
        return error(400, "too\nlong") if "3" in body["messages"][0]["content"] else chat("ok")

    with stub_server(reply) as server:
        found = asked(server, rows(5))
        assert len(server.requests) == 5
    assert [answer.error for answer in found] == [None, None, None, "400 Bad Request: too long", None]


def test_strange_answers_are_errors() -> None:
    number = {"choices": [{"message": {"content": 5}}]}
    strange: list[Reply] = [(200, {}, {}), (200, number, {}), (500, {}, {}), chat(None)]
    with stub_server(lambda _path, _body, before: strange[before]) as server:
        found = asked(server, rows(4), concurrency=1)
    assert [answer.error for answer in found[:2]] == ["the answer is not what OpenAI's API gives"] * 2
    assert found[2:] == [Answer(error="500 Internal Server Error"), Answer("")]
