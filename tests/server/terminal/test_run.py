"""`paddock run` against a server that says what it is told to: what is asked, and what is wrong use."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from server.command_line import UsageError
from server.commands.command import CommandError
from server.commands.run import COMMAND
from tests.server.terminal.stand_in import StandIn

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def typed(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What comes on standard input."""
    typed = io.BytesIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(typed))
    monkeypatch.delenv("PADDOCK_API_KEY", raising=False)
    return typed


def run(*arguments: str) -> int:
    return COMMAND.run(COMMAND.parser("run").parse(arguments))


def test_words_and_standard_input_are_one_question(
    server: StandIn, typed: io.BytesIO, capsys: pytest.CaptureFixture[str]
) -> None:
    typed.write(b"\nzwei\n\ndrei\n")
    typed.seek(0)
    server.say("yes")
    assert run("--url", server.url, "--system", "short", "one", "more") == 0
    (asked,) = server.asked
    assert asked["messages"] == [
        {"role": "system", "content": "short"},
        {"role": "user", "content": "one more\n\nzwei\n\ndrei"},
    ]
    assert capsys.readouterr() == ("yes", "")


def test_an_answer_in_a_pipe_is_as_it_came(server: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    server.say("a\x1b[31m", "b\n")
    run("--url", server.url, "x")
    assert capsys.readouterr().out == "a\x1b[31mb\n"


def test_flags_are_fields_of_the_request(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PADDOCK_API_KEY", "secret,other")
    (tmp_path / "schema").write_text('{"type": "array"}')
    server.say("[]", finish="length")
    run("--url", server.url, "-m", "second", "--temp", "0.5", "--samplers", "top_k;temperature", "--seed", "-1",
        "-j", str(tmp_path / "schema"), "x")  # fmt: skip
    (asked,) = server.asked
    assert asked["temperature"] == 0.5 and asked["samplers"] == ["top_k", "temperature"] and "seed" not in asked
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "array"}
    assert (asked["model"], asked["key"]) == ("second", "Bearer secret")
    assert capsys.readouterr().err.startswith("cut: ")


def test_a_model_without_a_template_continues_unless_a_system_message_is_given(
    server: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    server.props = {"chat_template": ""}
    server.replies.append((200, {"choices": []}))
    run("--url", server.url, "-n", "5", "--json", "x")
    assert json.loads(capsys.readouterr().out) == {"choices": []}
    server.say("yes")
    run("--url", server.url, "--system", "short", "x")
    first, second = server.asked
    assert (first["path"], first["prompt"], first["max_tokens"]) == ("/v1/completions", "x", 5)
    assert second["path"] == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing is asked: give a prompt, or text on standard input"),
        (("-p", "x", "y"), "the prompt is there twice: as -p, and after it"),
        (("-p", "x", "--raw", "-sys", "y"), "--raw continues a text: there is no system message in it"),
        (("-p", "x", "-j", "{"), "the schema is no JSON: "),
        (("-p", "x", "-j", "/nowhere"), "cannot read the schema /nowhere: No such file or directory"),
        (("-p", "x", "-c", "10", "--url", NOWHERE), "-c is for a server that is started here: "),
        (("-p", "x", "--config", "f", "--url", NOWHERE), "--config is for a server that is started here: "),
        (("-p", "x", "--top-p", "7", "--url", NOWHERE), "--top-p must be a number from 0 to 1, not '7'"),
        (("-p", "x", "--api-key", "k"), "--api-key is for --url"),
        (("-p", "x", "--host", "k"), "unknown flag --host"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        run(*arguments)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("url", ["", "here", "ftp://here/v1", "http://", "http://[", "http://here:99999/v1"])
def test_no_url(url: str) -> None:
    with pytest.raises(CommandError, match="is no server's URL"):
        run("--url", url, "-m", "first", "x")


@pytest.mark.parametrize("key", ["s\n3cret", "s\xe93cret", "s\udce93cret"])
def test_a_key_that_cannot_be_sent_is_not_told(server: StandIn, key: str) -> None:
    with pytest.raises(CommandError, match="visible ASCII") as caught:
        run("--url", server.url, "--api-key", key, "x")
    assert "3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "chunk",
    [
        b'{"choices": 5}',
        b'{"choices": ["x"]}',
        b'{"choices": [{"delta": "x"}]}',
        b'{"choices": [{"delta": {"content": 5}}]}',
        b"[" * 100_000,
    ],
)
def test_strange_streams(server: StandIn, chunk: bytes) -> None:
    server.say(b"data: " + chunk + b"\n\n")
    with pytest.raises(CommandError, match=r"something else than|no JSON"):
        run("--url", server.url, "x")


def test_what_may_be_missing_in_a_stream(server: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    server.say(b'data: {"choices": null, "usage": 7, "timings": 7}\n\n', "yes")
    assert run("--url", server.url, "x") == 0
    assert capsys.readouterr().out == "yes"


def test_a_redirection_is_not_followed(server: StandIn) -> None:
    server.replies.append((302, {}))
    with pytest.raises(CommandError, match="302 Found"):
        run("--url", server.url, "x")


def test_what_fails(server: StandIn) -> None:
    with pytest.raises(CommandError, match=f"cannot reach {NOWHERE}: "):
        run("--url", NOWHERE, "x")
    with pytest.raises(CommandError, match=r"is it an OpenAI-compatible server's URL|nothing here"):
        run("--url", server.url.removesuffix("/v1"), "x")
    with pytest.raises(CommandError, match=r"there is no file nowhere\.gguf"):
        run("nowhere.gguf", "x")
    server.replies.append((401, {"error": {"message": "no\nkey\x1b"}}))
    with pytest.raises(CommandError, match=r"^no key$"):
        run("--url", server.url, "x")


def test_standard_input_that_is_no_text(typed: io.BytesIO) -> None:
    typed.write(b"\xff\xfe")
    typed.seek(0)
    with pytest.raises(CommandError, match="UTF-8"):
        run("--url", NOWHERE, "x")
