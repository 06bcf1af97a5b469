"""The check itself: where it finds templates, and what it says of those that differ."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.chat_templates import __main__ as command
from tests.chat_templates.comparison import Comparison, Rendering, compare
from tests.chat_templates.reference import Refusal
from tests.chat_templates.report import page
from tests.chat_templates.source import FOLDER, locked, templates, version

PLAIN = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
FIREFUNCTION = "{{ 'Functions: ' + functions }}" + PLAIN


def unpacked(folder: Path) -> Path:
    root = folder / "llama_cpp_python-1.0"
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / "b.jinja").write_text(PLAIN)
    (root / FOLDER / "a.jinja").write_text("é", encoding="utf-8")
    (root / FOLDER / "README.md").write_text("?")
    return root


def test_where_templates_are_found(tmp_path: Path) -> None:
    root = unpacked(tmp_path)
    archive = tmp_path / "llama_cpp_python-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(root, root.name)
    for place in (archive, root, tmp_path, root / FOLDER):
        assert [*templates(place).items()] == [("a", "é"), ("b", PLAIN)]


def test_the_locked_version() -> None:
    assert locked().startswith(f"llama-cpp-python=={version()} ") and "--hash=sha256:" in locked()


def test_what_is_said_of_a_template() -> None:
    found = compare("plain", PLAIN)
    assert found.same and found.format == "generic" and not found.describes_tools
    assert [rendering.adapted for rendering in found.renderings] == [
        (),
        (),
        ("no tools",),
        ("no tools", "calls as text"),
        (),
        ("no tools", "calls as text"),
    ]
    assert found.renderings[4].left_out == ("They want the weather.",)
    assert "| plain | `generic` |  |  | = | = | = a | = a c | = left out | = a c left out |" in page([found], "1", "5")


def test_a_template_that_both_refuse() -> None:
    found = compare("firefunction", FIREFUNCTION)
    assert found.same and all(rendering.refused for rendering in found.renderings)
    assert "- firefunction (chat; system;" in page([found], "1", "5")


def test_a_template_that_refuses_system_messages() -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + PLAIN
    found = compare("gemma", source)
    assert found.same and found.renderings[1].adapted == ("no system role",)
    assert "| gemma | `generic` |  |  | = | = i | = a |" in page([found], "1", "5")


def test_a_template_that_appends() -> None:
    source = (
        "{% set ns = namespace(l=[]) %}{% for m in messages %}{% set _ = ns.l.append(m.role) %}{% endfor %}{{ ns.l }}"
    )
    found = compare("appends", source)
    assert found.same and found.renderings[0].adapted == ("lists changed",)


def test_differences_are_told() -> None:
    renderings = [Rendering("chat", False, "abc", "abd"), Rendering("system", False, Refusal("no"), "x")]
    text = page([Comparison("x", "hermes", "", True, "yes", renderings)], "1", "5")
    assert "at character 2, `'c'` instead of `'d'`" in text and "Paddock fails: no" in text
    assert "and 2 differ" in text


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["check", "--from", str(unpacked(tmp_path)), "--output", str(output)])
    assert command.main() == 0
    assert output.read_text().startswith("# Real chat templates") and "0 differ" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["check", "--from", str(tmp_path / "nothing")])
    assert command.main() == 2
