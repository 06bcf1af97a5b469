"""argparse, made strict: no abbreviations, unknown flags are named with the one that was meant, errors are one line."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn


class UsageError(Exception):
    """The command line, environment or file is wrong; the message is one line."""


class StrictParser(argparse.ArgumentParser):
    """The parser of one command. `refused`: flags that other programs have and this one hasn't, and why."""

    def __init__(self, *, refused: Mapping[str, str] | None = None, **rest: Any) -> None:
        rest.setdefault("formatter_class", lambda prog: argparse.HelpFormatter(prog, max_help_position=30, width=110))
        super().__init__(**rest, allow_abbrev=False, add_help=False)
        self._refused = refused or {}

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Raises UsageError; `--help` prints and raises SystemExit(0)."""
        self._check_flags(arguments)
        namespace, unexpected = self.parse_known_intermixed_args(arguments)  # flags may stand between files
        if unexpected:
            raise UsageError(f"unexpected argument {unexpected[0]}")
        return namespace

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))

    def _check_flags(self, arguments: Sequence[str]) -> None:
        """argparse would read `-hf x` as `-h -f x`, and `-kvu` as a value of `-k`: know each flag before it does."""
        known = set(self._option_string_actions)
        for argument in arguments:
            flag = argument.split("=", 1)[0]
            if argument == "--":
                return
            if not flag.startswith("-") or flag in known or _is_number(argument) or " " in argument or flag == "-":
                continue
            if flag in self._refused:
                raise UsageError(f"{flag} is no flag here: {self._refused[flag]}")
            raise UsageError(f"unknown flag {flag}{suggestion(flag, known)}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """ " (NEAR?)", if a known word is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.75) if len(word) > 3 else []
    return f" ({near[0]}?)" if near else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
