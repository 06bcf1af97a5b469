"""`paddock chat`: real processes, on a real terminal, with the demo model."""

from __future__ import annotations

import json
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pexpect
import pytest

from .chat_processes import FLAGS, SECONDS, gone, servers_of
from .serving import Server

PROMPT = ">>>"
NEW_PROMPT = "\x1b[?2004h"
"""The line editor asks for pasted text to be marked."""


class Terminal:
    """A chat on a pseudo-terminal."""

    def __init__(self, process: pexpect.spawn) -> None:
        self.process = process

    def expect(self, *texts: str) -> None:
        """These, one after the other."""
        for text in texts:
            self.process.expect_exact(text)

    def type(self, text: str) -> None:
        """Enter a line, once there is a new prompt: what is entered is drawn once more, with its prompt."""
        self.expect(NEW_PROMPT, PROMPT)
        self.process.send(f"{text}\r")

    def press(self, key: str) -> None:
        self.process.send(key)

    def end(self) -> int | None:
        """Its exit status, once it has ended."""
        self.process.expect(pexpect.EOF)
        self.process.close()
        status = self.process.exitstatus
        assert status is None or isinstance(status, int)
        return status


Start = Callable[..., Terminal]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def start(state: Path) -> Iterator[Start]:
    """Starts `paddock chat` with these flags."""
    started: list[pexpect.spawn] = []

    def spawn(*flags: str, **variables: str) -> Terminal:
        environment = {"TERM": "xterm", "XDG_STATE_HOME": str(state), "PROMPT_TOOLKIT_NO_CPR": "1", **variables}
        process = pexpect.spawn(
            sys.executable,
            ["-m", "server", "chat", *flags],
            env=os.environ | environment,
            encoding="utf-8",
            timeout=SECONDS,
            dimensions=(40, 120),
        )
        started.append(process)
        return Terminal(process)

    yield spawn
    for process in started:
        process.close(force=True)


@pytest.fixture
def chat(demo: Server, start: Start) -> Terminal:
    """With the server that the tests share."""
    return start("--url", demo.url)


def test_a_server_of_its_own_for_nobody_else_that_ends_with_the_chat(start: Start) -> None:
    chat = start(*FLAGS, "--temp", "0", "-p", "What is the capital of France?", "--verbose")
    chat.expect("loading paddock-demo.gguf", "paddock-demo: /help lists the commands", "Paris", "tok/s", PROMPT)
    processes = servers_of(chat.process.pid)
    address = listening_at(processes[0])
    assert address.startswith("127.0.0.1:")
    assert httpx.get(f"http://{address}/v1/models").status_code == 401
    chat.press("\x04")
    assert chat.end() == 0
    gone(processes)


def listening_at(process: Path) -> str:
    """The one address at which a process listens for TCP."""
    sockets = {str(entry.readlink()) for entry in (process / "fd").iterdir()}
    rows = [line.split() for line in (process / "net" / "tcp").read_text().splitlines()[1:]]
    (local,) = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    host, port = local.split(":")
    return f"{'.'.join(str(byte) for byte in reversed(bytes.fromhex(host)))}:{int(port, 16)}"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_however_the_chat_ends_its_server_does_too(start: Start, number: signal.Signals) -> None:
    chat = start(*FLAGS)
    chat.expect(PROMPT)
    processes = servers_of(chat.process.pid)
    os.kill(chat.process.pid, number)
    chat.process.expect(pexpect.EOF)
    if number == signal.SIGTERM:
        assert termios.tcgetattr(chat.process.child_fd)[3] & termios.ICANON, (
            "the terminal is left as the line editor has it"
        )
    status = chat.end()
    assert status == 143 if number == signal.SIGTERM else chat.process.signalstatus == number
    gone(processes)


def test_a_server_that_dies_ends_the_chat(start: Start) -> None:
    chat = start(*FLAGS)
    chat.type("Hello")
    chat.expect("help you", PROMPT)
    (server, *_) = servers_of(chat.process.pid)
    os.kill(int(server.name), signal.SIGKILL)
    chat.press("Hello\r")
    chat.expect("paddock chat: its server ended with status -9")
    assert chat.end() == 1


def test_it_remembers_what_was_said(chat: Terminal) -> None:
    chat.type("/set temperature 0")
    chat.type("My name is Anna.")
    chat.expect("Anna!")
    chat.type("What is my name?")
    chat.expect("Your name is Anna.")
    chat.type("/undo")
    chat.expect("(taken back; the last message is now: My name is Anna.)")
    chat.type("/clear")
    chat.type("/undo")
    chat.expect("error: there is nothing to take back")
    chat.type("/bye")
    assert chat.end() == 0


def test_ctrl_c_stops_an_answer_and_what_came_stays(demo: Server, chat: Terminal, tmp_path: Path) -> None:
    chat.type("/set ignore_eos true")
    chat.type("Tell me a long story about a cat.")
    chat.expect("Once upon a time")
    chat.press("\x03")
    chat.expect("(stopped)")
    demo.settled()
    chat.type(f"/save {tmp_path / 'chat.json'}")
    chat.expect("(saved: ")
    chat.type("/set ignore_eos default")
    chat.type("Hello")
    chat.expect("help you")
    saved = json.loads((tmp_path / "chat.json").read_text())
    assert [message["role"] for message in saved["messages"]] == ["user", "assistant"]
    assert saved["messages"][1]["content"].startswith("Once upon a time")
    assert saved["ignore_eos"] is True


def test_ctrl_c_empties_the_line_and_twice_ends(chat: Terminal) -> None:
    chat.expect(PROMPT)
    chat.press("never sent\x03")
    chat.expect(PROMPT)
    chat.press("\x03")
    chat.expect("(Ctrl-C again, Ctrl-D or /bye ends the chat)", PROMPT)
    chat.press("\x03")
    assert chat.end() == 0


def test_messages_of_several_lines(chat: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    chat.type('"""one\rtwo"""')
    chat.type("three\\\rfour")
    chat.type("five\x1b\rsix")
    chat.type(f"/save {file}")
    chat.expect("(saved: ")
    asked = [message["content"] for message in json.loads(file.read_text())["messages"] if message["role"] == "user"]
    assert asked == ["one\ntwo", "three\nfour", "five\nsix"]


def test_options_are_checked_and_shown(chat: Terminal) -> None:
    chat.type("/set temperature 9")
    chat.expect("error: Invalid 'temperature': must be less than or equal to 2.")
    chat.type("/set temprature 1")
    chat.expect("error: there is no option temprature (temperature?)")
    chat.type("/set temp 0.25")
    chat.expect("temperature")
    chat.expect("0.25")
    chat.type("/set samplers top_k;hot")
    chat.expect("error: Invalid 'samplers': ")
    chat.type("/set")
    chat.expect("temperature", "0.25", "top_k", "the server's default, 40", "verbose", "off")
    chat.type("/set stop mat")
    chat.type("Repeat after me: the cat sat on the mat today")
    chat.expect("the cat sat on the \r\n")
    chat.type("/set verbose")
    chat.type("Hello")
    chat.expect("tok/s; first after")


def test_an_answer_ends_at_a_reverse_prompt(demo: Server, start: Start) -> None:
    chat = start("--url", demo.url, "--temp", "0", "-r", "Par", "-r", "Ber", "-n", "9")
    chat.type("What is the capital of France?")
    chat.expect("The capital of France is \r\n")
    chat.type("Tell me a long story about a cat.")
    chat.expect("(cut: the answer has reached max_tokens)")


def test_the_system_message_and_saved_chats(chat: Terminal, start: Start, demo: Server, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    chat.type("/system Answer in capitals.")
    chat.type("/set temperature 0")
    chat.type("What is the capital of France?")
    chat.expect("THE CAPITAL OF FRANCE IS PARIS")
    chat.type(f"/save {file}")
    chat.expect("(saved: ")
    chat.type(f"/save {file}")
    chat.expect("is there already (--force overwrites it)")
    chat.type(f"/save --force {file}")
    chat.expect("(saved: ")
    assert json.loads(file.read_text())["messages"][0] == {"role": "system", "content": "Answer in capitals."}
    later = start("--url", demo.url)
    later.type(f"/load {file}")
    later.expect("(loaded: 1 message and answers, the last: What is the capital of France?)")
    later.type("/retry")
    later.expect("THE CAPITAL OF FRANCE IS PARIS")
    later.type("/load /nowhere")
    later.expect("error: cannot read /nowhere: No such file or directory")


def test_history_over_sessions_for_nobody_else(demo: Server, start: Start, state: Path) -> None:
    first = start("--url", demo.url)
    first.type("Hello there")
    first.type("/bye")
    assert first.end() == 0
    assert (state / "paddock" / "chat-history").stat().st_mode & 0o777 == 0o600
    second = start("--url", demo.url)
    second.expect(PROMPT)
    second.press("\x1b[A\x1b[A")
    second.expect("Hello there")


def test_models_completion_and_unknown_commands(chat: Terminal) -> None:
    chat.expect(PROMPT)
    chat.press("/mod\t")
    chat.expect("el")
    chat.press("\r")
    chat.expect("* paddock-demo")
    chat.type("/model other")
    chat.expect("error: there is no model other; there are: paddock-demo")
    chat.type("/sytem x")
    chat.expect("error: unknown command /sytem (/system?)")
    chat.type("/help")
    chat.expect("/retry", "Ctrl-D ends the chat.")
    chat.type(" /help")
    chat.expect(PROMPT)


def test_old_messages_are_dropped_when_the_context_is_full(start: Start) -> None:
    chat = start("--threads", "1", "-c", "256", "-np", "1", "--temp", "0", "--keep", "1", "-n", "60")
    chat.type("My name is Anna.")
    chat.expect("Anna!")
    for seen in ("", "", "(the context is full: the oldest message and its answer are sent no longer)"):
        chat.type("Tell me a long story about a cat.")
        chat.expect(seen, "Once upon a time", "(cut: ")
    chat.type("What is my name?")
    chat.expect("Anna", PROMPT)
    processes = servers_of(chat.process.pid)
    chat.process.close()  # a terminal that is closed hangs up
    gone(processes)


def test_a_terminal_that_can_do_little(demo: Server, start: Start) -> None:
    chat = start("--url", demo.url, "--verbose", TERM="dumb")
    chat.expect(PROMPT)
    chat.press("Hello\r")
    chat.expect("help you?\r\n(")
    chat.press("\x04")
    assert chat.end() == 0


def test_no_server_at_the_url_is_a_line(start: Start) -> None:
    chat = start("--url", "http://127.0.0.1:9/v1")
    chat.expect("paddock chat: cannot reach http://127.0.0.1:9/v1: ")
    assert chat.end() == 1
