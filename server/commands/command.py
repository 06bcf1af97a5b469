"""What a command is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from server.command_line import StrictParser


class CommandError(Exception):
    """The command can't do its work; the message is one line. Exit status 1."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command of `paddock`."""

    usage: str
    """What follows the command's name, as `IN OUT TYPE [flags]`."""
    summary: str
    """One line, in lower case, without a full stop."""
    configure: Callable[[argparse.ArgumentParser], None]
    """Adds the command's arguments."""
    run: Callable[[argparse.Namespace], int]
    """Does the work; the exit status. Raises CommandError or UsageError."""
    description: str = ""
    """Above the flags in `--help`, after the summary."""
    epilog: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Flags that other programs have and this one hasn't, and why."""

    def parser(self, name: str) -> StrictParser:
        summary = f"{self.summary[0].upper()}{self.summary[1:]}."
        parser = StrictParser(
            prog=f"paddock {name}",
            usage=f"paddock {name} {self.usage}".rstrip(),
            description=f"{summary} {self.description}".rstrip(),
            epilog=self.epilog,
            refused=self.refused,
        )
        self.configure(parser)
        # in the last group: where a command has groups of its own, argparse would put it first, in one for itself
        parser._action_groups[-1].add_argument("-h", "--help", action="help", help="print this and exit")
        return parser
