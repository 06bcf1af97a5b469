"""What begins with a slash in a chat: the commands, what they do, and how they are completed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from server.command_line import suggestion
from server.commands.command import CommandError
from server.commands.new_file import new_file
from server.terminal.chat import Chat
from server.terminal.client import JSON, ServerError
from server.terminal.conversation import NotAConversation, read_chat
from server.terminal.visible import one_line

LINE = re.compile(r"(/[a-z?]+)(?:\s+(.*))?", re.DOTALL)
"""What looks like a command; /etc/hosts and /* don't."""


class WrongCommand(Exception):
    """It can't be done; the message is one line."""


@dataclass(frozen=True)
class ChatCommand:
    usage: str
    help: str
    run: Callable[[Chat, str], None]
    """With what follows the name."""


def take(chat: Chat, text: str) -> bool:
    """Do what `text` says if it is a command; whether it is one."""
    line = LINE.fullmatch(text.rstrip())
    if line is None:
        return False
    name, rest = line[1], line[2] or ""
    command = COMMANDS.get(SAME.get(name, name))
    try:
        if command is None:
            near = suggestion(name, COMMANDS)
            hint = "/help lists them; with a space before it, it is a message"
            raise WrongCommand(f"unknown command {name}{near}: {hint}")
        command.run(chat, rest)
    except (WrongCommand, ServerError, CommandError) as error:
        chat.screen.error(str(error))
    return True


def complete(chat: Chat, text: str) -> Iterable[str]:
    """The words that may stand where the last one of `text` does."""
    words = text.split(" ")
    match words:
        case [first] if first.startswith("/"):
            return COMMANDS
        case ["/set", _]:
            from server.terminal.request_options import FIELDS

            return ("verbose", *FIELDS)
        case ["/model", _]:
            try:
                return chat.client.models()
            except ServerError:
                return ()
        case ["/load" | "/save", typed]:
            return _paths(typed)
    return ()


def _paths(typed: str) -> Iterable[str]:
    folder = os.path.dirname(typed)  # noqa: PTH120 - as it was typed, `./` and all
    try:
        entries = list(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return ()
    return sorted(os.path.join(folder, f"{entry.name}/" if entry.is_dir() else entry.name) for entry in entries)  # noqa: PTH118


def _set(chat: Chat, rest: str) -> None:
    from server.terminal import request_options  # pydantic's models of requests: not before they are needed

    name, _, value = rest.partition(" ")
    value = value.strip()
    if name == "verbose":
        if value not in ("", "on", "true", "off", "false"):
            raise WrongCommand("verbose is on or off")
        chat.verbose = value not in ("off", "false")
        return
    try:
        if value:
            chat.options = request_options.with_option(chat.options, name, value)
        shown = [request_options.field_named(name)] if name else None
    except request_options.WrongOption as error:
        raise WrongCommand(str(error)) from None
    chat.screen.note(request_options.table(chat.options, {} if value else _defaults(chat), shown))
    if not name:
        chat.screen.note(f"{'verbose':{request_options.WIDTH}} {'on' if chat.verbose else 'off'}")


def _defaults(chat: Chat) -> JSON:
    """The server's, as Paddock and llama-server tell them."""
    params = chat.client.generation_settings().get("params")
    return params if isinstance(params, dict) else {}


def _system(chat: Chat, rest: str) -> None:
    if rest in ("", "off"):
        chat.conversation.system = ""
        chat.screen.note("(no system message)")
    else:
        chat.conversation.system = rest
        chat.screen.note("(the system message, from now on)")


def _save(chat: Chat, rest: str) -> None:
    force = rest.startswith("--force ")
    path = _path(rest.removeprefix("--force "))
    try:
        with new_file(path, force=force) as unfinished:
            unfinished.write_text(chat.conversation.as_json(chat.client.model, chat.options), encoding="utf-8")
    except OSError as error:
        raise WrongCommand(f"cannot write {path}: {error.strerror}") from None
    chat.screen.note(f"(saved: {path})")


def _load(chat: Chat, rest: str) -> None:
    from server.terminal import request_options

    path = _path(rest)
    try:
        system, turns, body = read_chat(path.read_text(encoding="utf-8"))
        options = request_options.checked(request_options.known(body))
    except OSError as error:
        raise WrongCommand(f"cannot read {path}: {error.strerror}") from None
    except (NotAConversation, UnicodeDecodeError, request_options.WrongOption) as error:
        raise WrongCommand(f"{path} is no saved chat: {error}") from None
    chat.options = options
    chat.conversation.system = system
    chat.conversation.begin_anew(turns)
    last = f", the last: {one_line(turns[-1].question)}" if turns else ""
    chat.screen.note(f"(loaded: {len(turns)} message{'s' * (len(turns) != 1)} and answers{last})")


def _path(text: str) -> Path:
    if not text.strip():
        raise WrongCommand("name a file")
    return Path(text.strip()).expanduser()


def _clear(chat: Chat, rest: str) -> None:
    chat.conversation.begin_anew()
    chat.screen.note("(a new conversation)")


def _retry(chat: Chat, rest: str) -> None:
    if not chat.conversation.turns:
        raise WrongCommand("nothing has been asked yet")
    chat.answer_last()


def _undo(chat: Chat, rest: str) -> None:
    if not chat.conversation.remove_last():
        raise WrongCommand("there is nothing to take back")
    turns = chat.conversation.turns
    last = f"; the last message is now: {one_line(turns[-1].question)}" if turns else ""
    chat.screen.note(f"(taken back{last})")


def _model(chat: Chat, rest: str) -> None:
    names = chat.client.models()
    if rest:
        if rest not in names:
            raise WrongCommand(f"there is no model {rest}{suggestion(rest, names)}; there are: {', '.join(names)}")
        chat.client.model = rest
    chat.screen.note("\n".join(f"{'*' if name == chat.client.model else ' '} {name}" for name in names))


def _help(chat: Chat, rest: str) -> None:
    width = max(len(f"{name} {command.usage}") for name, command in COMMANDS.items())
    lines = [f"{f'{name} {command.usage}':{width}}  {command.help}" for name, command in COMMANDS.items()]
    chat.screen.note("\n".join([*lines, "", HELP]))


def _bye(chat: Chat, rest: str) -> None:
    chat.over = True


HELP = '''\
Alt+Enter, a backslash at a line's end, or """ … """ around them: messages of several lines.
Ctrl-C stops an answer; what came stays. Ctrl-D ends the chat.'''

COMMANDS = {
    "/set": ChatCommand("[OPTION [VALUE]]", "as /set temperature 0.7; the value `default`: unset; alone: all", _set),
    "/system": ChatCommand("[TEXT]", "the system message; without TEXT: none", _system),
    "/clear": ChatCommand("", "begin a new conversation", _clear),
    "/retry": ChatCommand("", "answer the last message anew", _retry),
    "/undo": ChatCommand("", "take the last message and its answer back", _undo),
    "/save": ChatCommand("[--force] FILE", "write the conversation and the options to a file", _save),
    "/load": ChatCommand("FILE", "go on with those of a file", _load),
    "/model": ChatCommand("[NAME]", "the server's models; with NAME: talk to that one", _model),
    "/help": ChatCommand("", "this list", _help),
    "/bye": ChatCommand("", "end the chat", _bye),
}  # fmt: skip
SAME = {"/?": "/help", "/exit": "/bye", "/quit": "/bye", "/new": "/clear", "/regen": "/retry"}
"""What other programs call them."""
