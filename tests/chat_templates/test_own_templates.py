"""The small templates that show each format's essentials, and the built-in ones: as Transformers renders them."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.chat.builtin import BUILTIN, builtin
from tests.chat_templates.comparison import compare

FOLDER = Path(__file__).parents[1] / "server" / "chat_formats" / "templates"
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.jinja"))}
SOURCES |= {name: builtin(name) for name in BUILTIN}


@pytest.mark.parametrize("name", SOURCES)
def test_the_same_as_transformers(name: str) -> None:
    found = compare(name, SOURCES[name])
    assert {rendering.conversation: rendering.theirs for rendering in found.renderings} == {
        rendering.conversation: rendering.ours for rendering in found.renderings
    }
    assert not any(rendering.refused for rendering in found.renderings)
    assert found.read in ("yes", "")
