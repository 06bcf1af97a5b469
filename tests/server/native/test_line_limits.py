"""Where a completion ends because of its lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.native import line_limits
from server.native.line_limits import LineLimits


def run(limits: LineLimits, pieces: list[str]) -> tuple[str, bool]:
    kept = ""
    for piece in pieces:
        text, ended = limits.take(piece)
        kept += text
        if ended:
            return kept, True
    return kept, False


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x = 1", "x = 1"),
        ("x\n    y\n    z", "x\n    y\n    z"),
        ("x\n    y\nz", "x\n    y\n"),
        ("x\n  y", "x\n  "),
        ("x\n\t\t\t\ty\n\n    z", "x\n\t\t\t\ty\n"),
        ("  first", "  first"),
    ],
)
def test_indentation(text: str, kept: str) -> None:
    assert run(LineLimits(4, 0), [text]) == (kept, kept != text)


@given(st.text(alphabet="a \t\n", max_size=30), st.integers(0, 3), st.data())
def test_indentation_however_the_text_is_split(text: str, n_indent: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert run(LineLimits(n_indent, 0), pieces) == run(LineLimits(n_indent, 0), [text])


def test_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(line_limits, "_now", lambda: now)
    limits = LineLimits(0, 2.0)
    now += 50
    assert limits.take("") == ("", False)
    assert limits.take("a\n") == ("a\n", False), "the clock starts with the first text"
    now += 3
    assert limits.take("b") == ("b", False), "not within a line"
    assert limits.take("c\nd") == ("c\nd", True)


def test_has_new_line() -> None:
    limits = LineLimits(0, 0)
    limits.take("a")
    assert not limits.has_new_line
    limits.take("\n")
    limits.take("b")
    assert limits.has_new_line
