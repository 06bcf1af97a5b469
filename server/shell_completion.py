"""Completion scripts, which shtab writes from the commands' own parsers."""

from __future__ import annotations

import argparse
import re
from typing import Any, Literal, get_args, get_origin

import shtab

from server.cli import NAMES, command
from server.config import SETTINGS

MODEL_FILE = {
    "bash": "_paddock_model_files",
    "zsh": "_files -g '*.gguf'",
    "tcsh": "f:*.gguf",
    "fish": "(__fish_complete_suffix .gguf)",
}
"""GGUF files, and the folders on the way to them."""
PREAMBLE = {
    "bash": """\
_paddock_model_files() {
  compgen -d -- $1
  compgen -f -X '!*.gguf' -- $1
}
"""
}
MODELS = re.compile(r"(MODEL|IN)\b.*")
FOLDERS = re.compile(r"(.*_)?(DIR|FOLDER)")
FILES = re.compile(r"(.*\|)?(FILE|PATH|SRC)\b.*")
FILES_IN_PLACE = re.compile(r"(OUT|SRC|DATA|TEXT)\b.*")
"""Of arguments that aren't flags: a flag's TEXT is a text."""
SHORT_WORDS = re.compile(r"( (?:-s \w )*)-s (\w[\w-]+)")
"""Flags as -fa, which shtab gives to fish as if they were of one letter."""
DETAILS = re.compile(r" \(default: .*| \[\$PADDOCK_.*", re.DOTALL)
"""What is for `--help` only."""


def script(shell: str) -> str:
    """For one of shtab's shells."""
    root = argparse.ArgumentParser(prog="paddock", add_help=False)
    root.add_argument("-h", "--help", action="help", help="what there is")
    root.add_argument("--version", action="version", version="", help="what it all runs on")
    commands = root.add_subparsers()
    for name in NAMES:
        found = command(name)
        parser = commands.add_parser(name, help=found.summary, description=found.summary, add_help=False)
        found.configure(parser)
        parser.add_argument("-h", "--help", action="help", help="print this and exit")
        for action in parser._actions:
            _describe(action)
    written = shtab.complete(root, shell=shell, preamble=PREAMBLE.get(shell, ""))
    return SHORT_WORDS.sub(r"\1-o \2", written) if shell == "fish" else written


def _describe(action: argparse.Action) -> None:
    """What its value may be."""
    if action.help is not argparse.SUPPRESS:
        action.help = DETAILS.sub("", (action.help or "").replace("%%", "%"))
    elif not action.option_strings:  # `--help` has it in the usage line
        action.help = action.dest
    if action.nargs == 0:
        return
    action.choices = action.choices or CHOICES.get(action.dest)
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    if action.choices is not None or action.const is not None:
        return
    kinds = ((MODELS, MODEL_FILE), (FOLDERS, shtab.DIRECTORY), (FILES, shtab.FILE), (FILES_IN_PLACE, shtab.FILE))
    for pattern, complete in kinds[: 3 if action.option_strings else 4]:
        if pattern.fullmatch(name):
            action.complete = complete  # type: ignore[attr-defined]  # shtab's own
            return


def _literals(hint: Any) -> tuple[str, ...] | None:
    """The texts that a setting may be."""
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    found = [values for part in get_args(hint) if (values := _literals(part))]
    return found[0] if found else None


CHOICES = {setting.name: values for setting in SETTINGS if (values := _literals(setting.type))}
