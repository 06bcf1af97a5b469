"""The chat against a server that says what it is told to."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from tests.server.terminal.conftest import Typed
from tests.server.terminal.stand_in import StandIn

FULL = {"error": {"message": "too\nlong", "code": "context_length_exceeded"}}


def messages(asked: dict[str, Any]) -> list[str]:
    return [message["content"] for message in asked["messages"]]


def test_an_answer_cannot_control_the_terminal(server: StandIn, typed: Typed) -> None:
    server.say("a\x1b[2Jb\x1b]0;title\x07c", "\x9b31m\rd\x08\x7f\ne\tf\0", "\x1b", "[31mg")
    typed.type("Hello")
    assert typed.out.getvalue() == "a[2Jb]0;titlec31md\ne\tf[31mg\n"
    server.say("fine")
    typed.type("/system \x1b[31mred", "/nope\x1b[0m", "Hello")
    assert "\x1b" not in typed.out.getvalue() + typed.err.getvalue()


def test_an_error_of_the_server_cannot_either(server: StandIn, typed: Typed) -> None:
    server.replies.append((500, {"error": {"message": "a\x1b[2Jb\nc"}}))
    typed.type("Hello")
    assert typed.err.getvalue() == "error: a[2Jb c\n"


def test_characters_may_be_cut_anywhere(server: StandIn, typed: Typed) -> None:
    event = b'data: {"choices": [{"delta": {"content": "' + "über 日本".encode() + b'"}}]}\n\n'
    server.say(*(event[i : i + 1] for i in range(len(event))))
    typed.type("Hello")
    assert typed.out.getvalue() == "über 日本\n"


def test_what_came_before_an_error_stays(server: StandIn, typed: Typed) -> None:
    server.say("one ", "two", finish=None)
    typed.type("Hello")
    assert "error: the answer was broken off" in typed.err.getvalue()
    server.say("three", b'data: {"error": {"message": "no more"}}\n\n', finish=None)
    server.say("four")
    typed.type("Go on", "And then?")
    assert "error: no more" in typed.err.getvalue()
    assert messages(server.asked[-1]) == ["Hello", "one two", "Go on", "three", "And then?"]


def test_a_message_that_was_refused_is_taken_back(server: StandIn, typed: Typed) -> None:
    server.replies += [(429, {"error": {"message": "later"}}), (503, b"<html>busy</html>")]
    server.say("yes")
    typed.type("one", "two", "three")
    first, second = typed.err.getvalue().splitlines()
    assert first == "error: later" and second.endswith("/v1/chat/completions answered 503 Service Unavailable")
    assert messages(server.asked[-1]) == ["three"]


def test_a_retry_that_fails_leaves_the_answer(server: StandIn, typed: Typed) -> None:
    server.say("yes")
    server.replies.append((500, {"error": {"message": "no"}}))
    server.say("again")
    server.say("fine")
    typed.type("/retry", "one", "/retry")
    assert "error: nothing has been asked yet" in typed.err.getvalue()
    assert typed.chat.conversation.turns[0].answer == "yes"
    typed.type("/retry", "two")
    assert messages(server.asked[-2]) == ["one"]
    assert messages(server.asked[-1]) == ["one", "again", "two"]


def test_reasoning_is_shown_but_not_sent(server: StandIn, typed: Typed) -> None:
    thought = b'data: {"choices": [{"delta": {"reasoning_content": "hm"}}]}\n\n'
    server.say(thought, thought, "yes")
    server.say("no")
    typed.type("one", "two")
    assert typed.out.getvalue() == "<think>\nhmhm\n</think>\n\nyes\nno\n"
    assert messages(server.asked[-1]) == ["one", "yes", "two"]


@pytest.mark.parametrize(
    ("keep", "sent"),
    [
        (0, ["system", "three", "3", "four"]),
        (1, ["system", "one", "1", "four"]),
        (-1, None),
    ],
)
def test_a_full_context_drops_the_oldest(server: StandIn, keep: int, sent: list[str] | None) -> None:
    typed = Typed(server, keep)
    server.say("1")
    server.say("2")
    server.say("3")
    typed.type("/system system", "one", "two", "three")
    server.replies += [(400, FULL)] * (1 if sent is None else 2)
    server.say("4")
    typed.type("four")
    if sent is None:
        assert typed.err.getvalue().endswith("error: too long\n")
        return
    assert messages(server.asked[-1]) == sent
    assert typed.err.getvalue().count("(the context is full: ") == 2
    server.say("5")
    typed.type("five")
    assert messages(server.asked[-1]) == [*sent, "4", "five"]


def test_a_message_that_never_fits_is_an_error(server: StandIn, typed: Typed) -> None:
    server.say("1")
    server.replies += [(400, FULL)] * 2
    typed.type("one", "two")
    assert typed.err.getvalue().endswith("error: too long\n")
    assert len(server.asked) == 3
    server.say("3")
    typed.type("three")
    assert messages(server.asked[-1]) == ["one", "1", "three"]


def test_an_answer_that_reaches_the_contexts_end_can_be_had_anew(server: StandIn, typed: Typed) -> None:
    server.props = {"default_generation_settings": {"n_ctx": 64}}
    server.say("1")
    server.say("2", b'data: {"choices": [], "usage": {"total_tokens": 64}}\n\n', finish="length")
    server.say("2 and more")
    typed.type("one", "two", "/retry")
    assert messages(server.asked[-1]) == ["two"]
    assert (
        "(cut: the answer has reached the context's end; /retry answers anew, with more room)" in typed.err.getvalue()
    )
    server.say("3", b'data: {"choices": [], "usage": {"total_tokens": 20}}\n\n', finish="length")
    typed.type("three")
    assert typed.err.getvalue().endswith("(cut: the answer has reached max_tokens)\n")


@pytest.mark.parametrize("settings", [None, 5, {"n_ctx": "64", "params": []}])
def test_strange_properties_are_none(server: StandIn, typed: Typed, settings: Any) -> None:
    server.props = {"default_generation_settings": settings}
    server.say("1", b'data: {"choices": [], "usage": {"total_tokens": 64}}\n\n', finish="length")
    typed.type("/set top_k", "one")
    assert "(cut: the answer has reached the context's end)" in typed.err.getvalue()


def test_a_file_that_cannot_be_written(server: StandIn, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    server.say("1")
    typed.type("/save chat", "one")
    assert typed.err.getvalue() == "error: cannot write chat: No space left on device\n"
    assert typed.out.getvalue() == "1\n"


def test_options_go_with_each_request(server: StandIn, typed: Typed) -> None:
    for _ in range(2):
        server.say("yes")
    typed.type("/set top_k 5", '/set stop ["a", "b"]', "/set seed 7", "one")
    typed.type("/set seed default", "/model second", "two")
    first, second = server.asked
    assert (first["top_k"], first["stop"], first["seed"], first["model"]) == (5, ["a", "b"], 7, "first")
    assert ("seed" in second, second["model"], second["key"]) == (False, "second", "Bearer key")


def test_a_saved_chat_is_the_body_of_a_request(server: StandIn, typed: Typed, tmp_path: Path) -> None:
    server.say("1")
    typed.type("/set top_k 5", "one", f"/save {tmp_path / 'chat'}")
    saved = json.loads((tmp_path / "chat").read_text())
    assert saved == {
        "model": "first",
        "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "1"}],
        "top_k": 5,
    }


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[" * 100_000,
        "[]",
        '{"messages": [{"role": "user"}]}',
        '{"messages": [{"role": "assistant", "content": "x"}]}',
        '{"messages": [{"role": "tool", "content": "x"}]}',
        '{"messages": [], "top_k": "many"}',
    ],
)
def test_a_file_that_is_no_chat_changes_nothing(server: StandIn, typed: Typed, tmp_path: Path, text: str) -> None:
    server.say("1")
    (tmp_path / "chat").write_text(text)
    typed.type("one", f"/load {tmp_path / 'chat'}")
    assert typed.err.getvalue().startswith("error: ")
    assert [turn.question for turn in typed.chat.conversation.turns] == ["one"]


def test_what_only_looks_like_a_command_is_a_message(server: StandIn, typed: Typed) -> None:
    server.say("a file")
    server.say("a message")
    typed.type("/etc/hosts, what is it?", " /help")
    assert [asked["messages"][-1]["content"] for asked in server.asked] == ["/etc/hosts, what is it?", " /help"]
