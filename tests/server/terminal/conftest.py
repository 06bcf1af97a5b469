from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from server.terminal import commands
from server.terminal.chat import Chat
from server.terminal.client import Client
from server.terminal.conversation import Conversation
from server.terminal.line_editor import PlainLines
from server.terminal.screen import Screen
from tests.server.terminal.stand_in import StandIn, stand_in


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as found:
        yield found


class Typed:
    """A chat whose user types these lines."""

    def __init__(self, server: StandIn, keep: int = 0) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        client = Client(server.url, "key")
        self.chat = Chat(client, Conversation(keep=keep), {}, Screen(self.out, self.err), lambda: None)

    def type(self, *lines: str) -> None:
        self.chat.run(PlainLines(io.StringIO("".join(f"{line}\n" for line in lines))), commands.take)
        self.chat.over = False


@pytest.fixture
def typed(server: StandIn) -> Typed:
    return Typed(server)
