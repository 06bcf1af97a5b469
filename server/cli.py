"""The command line: `paddock COMMAND …`. Exit status: 0 done, 1 failed, 2 used wrongly."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from server.version import __version__

HELP = """\
usage: paddock COMMAND …

Paddock serves GGUF models to OpenAI's clients.

  paddock serve [MODEL]    serve a model; without MODEL, the small demo model that comes with Paddock
  paddock serve --help     every flag, with its default and its environment variable
  paddock --version        the versions of Paddock and of what it runs on

Documentation: docs/ in the source, beginning with README.md."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match list(arguments):
        case [] | ["-h" | "--help" | "help"]:
            print(HELP)
            return 0
        case ["--version" | "version"]:
            print(version())
            return 0
        case [name, *rest] if name in COMMANDS:
            return COMMANDS[name](rest)
        case [name, *_]:
            kind = "flag" if name.startswith("-") else "command"
            print(f"paddock: unknown {kind} {name}; see paddock --help", file=sys.stderr)
            return 2
        case _:
            raise AssertionError


def version() -> str:
    """Paddock's version, llama-cpp-python's, and the commit of the llama.cpp in it."""
    from backends.llama_cpp.library import versions

    engine = versions()
    return (
        f"paddock {__version__}\n"
        f"llama-cpp-python {engine.binding}\n"
        f"llama.cpp {engine.llama_cpp}, commit {engine.commit}"
    )


def _serve(arguments: Sequence[str]) -> int:
    # Imported here: `paddock --version` needn't wait for the HTTP stack.
    from server.config.sources import UsageError, load_settings
    from server.serve import StartError, serve

    try:
        settings = load_settings(arguments)
    except UsageError as error:
        print(f"paddock serve: {error}; see paddock serve --help", file=sys.stderr)
        return 2
    try:
        return serve(settings)
    except StartError as error:
        print(f"paddock serve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"serve": _serve}
