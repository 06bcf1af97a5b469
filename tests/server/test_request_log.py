"""The log: a line per request, in text or JSON, that nobody can forge and that holds no prompt."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.types import Message

from backends.base import BackendError, EngineUnavailable
from server.access.key_store import KeyStore
from server.access.keys import Key, hashed
from server.app import create_app
from server.log_format import formatter, printable
from server.request_log import log_request
from server.request_record import RequestRecord
from server.service import _log_stray_error
from server.state import AppState
from tests.server.routes.client import call, chat, chunks, completion
from tests.server.scripted import scripted_state

SECRET = "xyzzy"

Log = Callable[..., io.StringIO]


@pytest.fixture
def log() -> Iterator[Log]:
    """Call it to begin: what is logged from then on, as `paddock serve` would write it."""
    root, handlers = logging.getLogger(), []
    level = root.level
    logging.getLogger("httpx").setLevel(logging.WARNING)

    def begin(kind: Any = "text", *, prompts: bool = False, at: int = logging.INFO) -> io.StringIO:
        written = io.StringIO()
        handler = logging.StreamHandler(written)
        handler.setFormatter(formatter(kind, prompts=prompts))
        root.addHandler(handler)
        root.setLevel(at)
        handlers.append(handler)
        return written

    yield begin
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.NOTSET)
    for handler in handlers:
        root.removeHandler(handler)


def entries(written: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in written.getvalue().splitlines()]
    return [entry for entry in found if entry["logger"].startswith("paddock")]


def entry(written: io.StringIO) -> dict[str, Any]:
    (only,) = entries(written)
    return only


async def test_a_line_of_text(log: Log) -> None:
    state, _ = scripted_state()
    written = log()
    answer = await chat(state, max_tokens=4)
    pattern = (
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    \[(req_\w{32})\] POST /v1/chat/completions 200 model=m "
        r"client=127\.0\.0\.1 "
        r"response_id=(chatcmpl-\w{32}) prompt_tokens=9 cached_tokens=1 completion_tokens=4 queue_ms=0\.0 "
        r"first_token_ms=\d+\.\d finish_reason=length total_ms=\d+\.\d\n"
    )
    found = re.fullmatch(pattern, written.getvalue())
    assert found, written.getvalue()
    assert (found[1], found[2]) == (answer.headers["x-request-id"], answer.json()["id"])


async def test_an_object_per_line(log: Log) -> None:
    state, _ = scripted_state()
    written = log("json")
    answer = await completion(state, model="org/m:q4", prompt=["ab", "cde"], n=2, max_tokens=3, stream=True)
    found = entry(written)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert 0 <= found.pop("first_token_ms") <= found.pop("total_ms") < 60_000
    assert found == {
        "level": "info",
        "logger": "paddock.requests",
        "message": "POST /v1/completions 200",
        "request_id": answer.headers["x-request-id"],
        "method": "POST",
        "path": "/v1/completions",
        "status": 200,
        "model": "org/m:q4",
        "client": "127.0.0.1",
        "response_id": chunks(answer)[0]["id"],
        "prompt_tokens": 3 + 4,
        "cached_tokens": 2,
        "completion_tokens": 12,
        "queue_ms": 0.0,
        "finish_reason": ["length"] * 4,
    }


async def test_the_keys_name(log: Log) -> None:
    state, _ = scripted_state()
    state.keys = KeyStore([Key(name="amy", sha256=hashed("sk-amy"))])
    written = log("json")
    await call(state, "GET", "/v1/models", headers={"authorization": "Bearer sk-amy"})
    await call(state, "GET", "/v1/models", headers={"authorization": "Bearer sk-eve"})
    known, unknown = entries(written)
    assert known["key"] == "amy"
    assert "key" not in unknown and unknown["error"] == "invalid_api_key"
    assert "sk-" not in written.getvalue()


def test_an_address_is_not_longer_than_addresses_are(log: Log) -> None:
    """A trusted proxy's X-Forwarded-For may be any text."""
    written = log("json")
    scope: dict[str, Any] = {"method": "GET", "path": "/v1/models", "client": ["1" * 60_000, 0]}
    log_request(RequestRecord("req"), scope, prompts=False)
    assert entry(written)["client"] == "1" * 256


async def test_tokens_are_those_of_the_answers_usage(log: Log) -> None:
    """Also where a step has brought more than the stop string let through."""
    state, backend = scripted_state()
    backend.burst = 4
    written = log("json")
    usage = (await chat(state, stop="l")).json()["usage"]
    found = entry(written)
    assert (found["completion_tokens"], found["prompt_tokens"]) == (usage["completion_tokens"], usage["prompt_tokens"])
    assert found["completion_tokens"] == 3


async def test_the_models_default_name(log: Log) -> None:
    state, _ = scripted_state()
    written = log("json")
    await call(state, "POST", "/completion", json={"prompt": "a", "n_predict": 1})
    assert entry(written)["model"] == "m"


async def test_what_went_wrong(log: Log) -> None:
    state, backend = scripted_state()
    written = log("json")
    await chat(state, model="no-such-model")
    await completion(state, prompt="a" * 1000)
    await call(state, "GET", "/v1/nothing")
    await call(state, "POST", "/v1/completions", content=b"{")
    backend.fail_after, backend.failure = 0, EngineUnavailable("gone")
    await completion(state)
    found = [(e["level"], e["path"], e["status"], e["error"]) for e in entries(written)]
    assert found == [
        ("info", "/v1/chat/completions", 404, "model_not_found"),
        ("info", "/v1/completions", 400, "context_length_exceeded"),
        ("info", "/v1/nothing", 404, "not_found"),
        ("info", "/v1/completions", 400, "invalid_json"),
        ("warning", "/v1/completions", 503, "unavailable"),
    ]


async def test_a_stream_that_breaks_off_is_a_warning(log: Log) -> None:
    state, backend = scripted_state()
    backend.fail_after, backend.failure = 2, EngineUnavailable("gone")
    written = log("json")
    assert (await completion(state, stream=True)).status_code == 200
    found = entry(written)
    assert (found["level"], found["status"], found["error"]) == ("warning", 200, "unavailable")
    assert found["completion_tokens"] == 2 and "finish_reason" not in found


async def test_who_watches_the_server_is_logged_at_debug_level_only(log: Log) -> None:
    state, backend = scripted_state()
    backend.ready = False
    written = log("json")
    for path in ("/health", "/v1/health", "/livez", "/metrics"):
        await call(state, "GET", path)
    assert not entries(written)
    logging.getLogger().setLevel(logging.DEBUG)
    await call(state, "GET", "/health")
    assert (entry(written)["status"], entry(written)["level"]) == (503, "debug")


async def leave(state: AppState, *, stream: bool, after: float) -> None:
    """A client that asks for a completion, and closes the connection."""
    body = json.dumps({"model": "m", "prompt": "hi", "stream": stream}).encode()
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.sleep(after)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/completions",
        "raw_path": b"/v1/completions",
        "query_string": b"",
        "headers": [],
        "client": None,
        "server": None,
    }
    await create_app(state)(scope, receive, send)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away(log: Log, stream: bool) -> None:
    state, backend = scripted_state(lambda _: "a" * 60)
    backend.pace = 0.02
    written = log("json")
    await leave(state, stream=stream, after=0.2)
    found = entry(written)
    assert found["client_gone"] is True
    assert found["status"] == (200 if stream else 499)
    assert 0 < found["completion_tokens"] < 60
    assert found["level"] == "info" and "client" not in found


async def test_a_client_that_goes_once_it_has_its_answer_has_not_gone_away(log: Log) -> None:
    state, _ = scripted_state()
    written = log("json")
    await leave(state, stream=True, after=1)
    assert "client_gone" not in entry(written)


FORGED = "\n2026-01-01 00:00:00,000 INFO    [x] POST /v1/chat/completions 200 key=admin"
NASTY = f'{FORGED}\r\n\x1b[31m\x1b]0;title\x07\x00\x7f\x85\x9b31m\u2028\u202e status=200 "quoted" \\ [y]'


@pytest.mark.parametrize("kind", ["text", "json"])
async def test_nothing_that_a_client_sends_forges_a_line(log: Log, kind: str) -> None:
    state, backend = scripted_state()
    backend.fail_after, backend.failure = 1, BackendError(NASTY)
    written = log(kind, prompts=True)
    await call(state, "GET", "/" + "".join(f"%{byte:02x}" for byte in NASTY.encode()))
    await call(state, "GET", "/livez%00", headers={"x-request-id": NASTY.encode("latin-1", "replace")})
    await chat(state, model=NASTY)
    await completion(state, prompt=NASTY[:30])
    await completion(state, prompt=NASTY[:30], stream=True)
    logging.getLogger("uvicorn.error").error(NASTY)
    logging.getLogger("paddock").info("%(a)s", {"a": NASTY, "b": NASTY})
    text = written.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
    # what begins a line is ours, or the indented part of a traceback
    begins = r"\{\"time\"" if kind == "json" else r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO |WARNING|ERROR) |    "
    assert all(re.match(begins, line) for line in text.splitlines())
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())


async def test_a_path_cannot_pretend_to_be_fields(log: Log) -> None:
    state, _ = scripted_state()
    written = log()
    await call(state, "GET", "/x%20200%20key=admin%22" + "y" * 1000)
    assert " GET /x%20200%20key%3Dadmin%22yyy" in written.getvalue()
    assert len(written.getvalue()) < 500


@pytest.mark.parametrize("kind", ["text", "json"])
async def test_no_prompt_unless_asked_for(log: Log, kind: str) -> None:
    state, backend = scripted_state()
    written, told = log(kind), log(kind, prompts=True)

    async def ask(state: AppState) -> None:
        backend.fail_after = None
        await chat(state, messages=[{"role": "user", "content": SECRET}])
        await chat(state, messages=[{"role": "user", "content": SECRET}], stream=True)
        await completion(state, prompt=SECRET, user=SECRET)
        await call(state, "POST", f"/v1/completions?prompt={SECRET}", content=f'{{"{SECRET}'.encode())
        for stream in (False, True):
            backend.fail_after, backend.failure = stream, RuntimeError(SECRET)
            await chat(state, stream=stream)
            backend.failure = EngineUnavailable(SECRET)
            await chat(state, stream=stream)

    await ask(state)
    assert SECRET not in written.getvalue()
    assert "RuntimeError" in written.getvalue() and "scripted.py" in written.getvalue()
    assert SECRET in told.getvalue()  # where exceptions may say what they are about
    assert f"<s>user:{SECRET};" not in told.getvalue()
    state.log_prompts = True
    await ask(state)
    assert f"<s>user:{SECRET};" in told.getvalue()


async def test_prompts_if_asked_for(log: Log) -> None:
    state, _ = scripted_state()
    state.log_prompts = True
    written = log("json", prompts=True)
    await completion(state, prompt=["one\ntwo", "three"])
    assert entry(written)["prompts"] == ["<s>one\ntwo", "<s>three"]


async def test_other_lines_about_a_request_have_its_id(log: Log) -> None:
    state, backend = scripted_state()
    backend.fail_after, backend.failure = 0, BackendError("the engine failed")
    written = log("json")
    await call(state, "POST", "/v1/completions", json={"model": "m", "prompt": "a"}, headers={"x-request-id": "mine"})
    first, second = entries(written)
    assert (first["message"], first["request_id"]) == ("the engine failed", "mine")
    assert first["exception"].startswith("BackendError\n")
    assert (second["message"], second["request_id"]) == ("POST /v1/completions 500", "mine")
    logging.getLogger("paddock").info("of no request")
    assert "request_id" not in entries(written)[-1]


async def test_an_exception_that_nobody_waited_for(log: Log) -> None:
    written = log()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_stray_error)
    loop.call_soon(lambda: int(SECRET))
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    assert "Exception in callback" in written.getvalue() and "ValueError" in written.getvalue()


def test_causes_and_groups_are_told_of(log: Log) -> None:
    written = log()
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            raise ExceptionGroup(SECRET, [ValueError(SECRET), RuntimeError(SECRET)]) from cause
    except ExceptionGroup as group:
        logging.getLogger("paddock").error("failed", exc_info=group)
    text = written.getvalue()
    assert SECRET not in text
    assert all(name in text for name in ("ExceptionGroup", "ValueError", "RuntimeError", "KeyError", __file__))


def test_printable() -> None:
    assert printable("déjà vu 日本 🙂") == "déjà vu 日本 🙂"
    assert printable("a\nb\x1b\u202e\U000e0001") == r"a\nb\x1b\u202e\U000e0001"


def test_fields_of_text_are_words_or_quoted(log: Log) -> None:
    written = log()
    fields = {"a": "x y", "b": 'q"', "c": "k=v", "d": "", "e": "é", "f": ["p", "q"], "g": None, "h": 1.5, "i": "日 本"}
    logging.getLogger("paddock").info("said", fields)
    assert written.getvalue().endswith(' said a="x y" b="q\\"" c="k=v" d="" e=é f=p,q h=1.5 i="日 本"\n')
