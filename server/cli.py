"""The command line: `paddock COMMAND …`. Exit status: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

from server.command_line import UsageError, suggestion
from server.commands.command import Command, CommandError
from server.terminal.visible import visible
from server.version import __version__

SECTIONS = {
    "Serve": ("serve", "run", "chat"),
    "Models": ("pull", "list", "rm", "inspect"),
    "Make": ("convert", "convert-lora", "quantize"),
    "Measure": ("perplexity", "evaluate"),
    "Machines": ("devices", "rpc-worker"),
    "Shell": ("completion",),
}
"""Every command, as `--help` shows them."""
NAMES = tuple(name for names in SECTIONS.values() for name in names)
INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    _mend_streams()
    try:
        try:
            return _main(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()  # here, where it is known what to say if that fails; after `--help`'s SystemExit too
    except BrokenPipeError:  # `paddock list | head`
        _give_up_stdout()
        return 1
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        _give_up_stdout()
        print(f"paddock: cannot write: {error.strerror}", file=sys.stderr)
        return 1


def _main(arguments: list[str]) -> int:
    match arguments:
        case [] | ["-h" | "--help" | "help"]:
            print(overview())
            return 0
        case ["--version" | "version"]:
            print(version())
            return 0
        case [name, *rest] if name in NAMES:
            return _run(name, rest)
        case [name, *_]:
            kind = "flag" if name.startswith("-") else "command"
            print(f"paddock: unknown {kind} {name}{suggestion(name, NAMES)}; see paddock --help", file=sys.stderr)
            return 2
        case _:
            raise AssertionError


def command(name: str) -> Command:
    """One of NAMES."""
    found = import_module(f"server.commands.{name.replace('-', '_')}").COMMAND
    assert isinstance(found, Command)
    return found


def overview() -> str:
    """What `paddock --help` prints."""
    width = max(map(len, NAMES))
    sections = (
        f"{title}\n" + "\n".join(f"  {name:{width}}  {command(name).summary}" for name in names)
        for title, names in SECTIONS.items()
    )
    return (
        "usage: paddock COMMAND …\n\nPaddock serves GGUF models to OpenAI's clients.\n\n"
        + "\n\n".join(sections)
        + "\n\npaddock COMMAND --help shows what a command takes, paddock --version what it all runs on.\n"
        "Documentation: docs/ in the source, beginning with README.md."
    )


def version() -> str:
    """Paddock's version, llama-cpp-python's, and the commit of the llama.cpp in it."""
    from backends.llama_cpp.library import versions

    engine = versions()
    return (
        f"paddock {__version__}\n"
        f"llama-cpp-python {engine.binding}\n"
        f"llama.cpp {engine.llama_cpp}, commit {engine.commit}"
    )


def _run(name: str, arguments: Sequence[str]) -> int:
    chosen = command(name)
    # As Ctrl-C does it: files that are being written are removed, servers end in good order.
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        for argument in arguments:
            if not _is_text(argument):  # neither llama.cpp's processes nor a server can be told it
                raise UsageError(f"{argument!a} is not UTF-8 text")
        return chosen.run(chosen.parser(name).parse(arguments))
    except UsageError as error:
        print(f"paddock {name}: {_one_line(error)}; see paddock {name} --help", file=sys.stderr)
        return 2
    except CommandError as error:
        print(f"paddock {name}: {_one_line(error)}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        print(f"paddock {name}: {visible(str(error.filename))}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """asyncio takes Ctrl-C itself, so that no task is torn. Where Ctrl-C is ignored, as of jobs in the background, this
    is not."""
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(number, frame)


def _one_line(error: Exception) -> str:
    """Errors quote files and servers, which may say anything."""
    return visible(str(error)).replace("\n", " ")


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mend_streams() -> None:
    """Closed ones (`2>&-`) are None in Python, and what is printed to None goes to standard output."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - they stay open
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - the same
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - the same
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # as on stderr: a character must not end the command


def _give_up_stdout() -> None:
    """What is still to be written is lost, which Python would complain of at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
