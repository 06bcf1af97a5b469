"""The command line: `paddock COMMAND …`. Exit status: 0 done, 1 failed, 2 used wrongly, 130 interrupted."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from server.command_line import UsageError, suggestion
from server.commands.command import Command, CommandError
from server.version import __version__

SECTIONS = {
    "Serve": ("serve",),
}
"""Every command, as `--help` shows them."""
NAMES = tuple(name for names in SECTIONS.values() for name in names)
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match list(arguments):
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return chosen.run(chosen.parser(name).parse(arguments))
    except UsageError as error:
        print(f"paddock {name}: {error}; see paddock {name} --help", file=sys.stderr)
        return 2
    except CommandError as error:
        print(f"paddock {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `paddock list | head`
        sys.stderr.close()
        return 1
