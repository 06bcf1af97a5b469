"""docs/cli.md is written from the commands' own parsers."""

from __future__ import annotations

import argparse

import pytest

from server.cli import NAMES, command
from server.cli_reference import reference


def section(name: str) -> str:
    return reference().split(f"\n## paddock {name}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_section_with_its_flags(name: str) -> None:
    text, serve = section(name), section("serve")
    assert f"paddock {name} {command(name).usage}".rstrip() in text
    for action in command(name).parser(name)._actions:
        for flag in action.option_strings:
            assert action.dest == "help" or action.help == argparse.SUPPRESS or flag in text or flag in serve, flag


def test_it_is_the_same_at_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = reference()
    monkeypatch.setenv("COLUMNS", "20")
    assert reference() == wide
