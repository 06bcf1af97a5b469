"""`paddock chat`: flags and terminal; the chat itself is `server/terminal/`'s."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType
from typing import Any

from server.commands.command import Command
from server.terminal.target import Connection, add_target, connected


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("MODEL", nargs="?", help=argparse.SUPPRESS)
    group = parser.add_argument_group("Chat")
    group.add_argument("-p", "--prompt", metavar="TEXT", default="", help="the first message")
    group.add_argument("-sys", "--system-prompt", metavar="TEXT", default="", help="the system message")
    group.add_argument(
        "-r",
        "--reverse-prompt",
        metavar="TEXT",
        action="append",
        default=[],
        help="an answer ends where this text would come, and it is your turn; several times for several",
    )
    group.add_argument(
        "--keep",
        metavar="N",
        type=int,
        default=0,
        help="when the context is full, the oldest messages and their answers are sent no longer, but for the system "
        "message and those that begin in the first N tokens after it; -1: all are sent, and the error is shown "
        "(default: 0)",
    )
    group.add_argument("--verbose", action="store_true", help="show the speed of each answer")
    add_target(parser)


def run(args: argparse.Namespace) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)  # not as Ctrl-C, which stops an answer
    with connected(args, args.MODEL) as connection:
        _chat(args, connection)
    return 0


def _chat(args: argparse.Namespace, connection: Connection) -> None:
    # While these are imported, the server loads.
    from server.terminal import commands
    from server.terminal.chat import Chat
    from server.terminal.conversation import Conversation
    from server.terminal.line_editor import Editor, LineEditor, PlainLines
    from server.terminal.screen import Screen
    from server.terminal.visible import take_any_text

    take_any_text()
    screen = Screen()
    options = connection.options | ({"stop": args.reverse_prompt} if args.reverse_prompt else {})
    conversation = Conversation(args.system_prompt, args.keep)
    chat = Chat(connection.client, conversation, options, screen, connection.check, verbose=args.verbose)
    editor: Editor = PlainLines()
    if sys.stdin.isatty() and sys.stdout.isatty():
        screen.note(f"{connection.client.model}: /help lists the commands, Ctrl-D ends the chat")
        editor = LineEditor(lambda text: commands.complete(chat, text), screen.note)
    chat.run(editor, commands.take, args.prompt)


def _end(number: int, frame: FrameType | None) -> Any:
    raise SystemExit(128 + number)


COMMAND = Command(
    usage="[MODEL] [flags]",
    summary="talk to a model in the terminal",
    description="MODEL: its file; left out: the demo model. It is served for this chat alone, with the flags and the "
    "environment of `paddock serve`.",
    configure=configure,
    run=run,
)
