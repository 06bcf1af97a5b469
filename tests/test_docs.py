"""The pages agree with each other and with the server."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Mount, Route

from server.app import create_app
from server.cli import NAMES, command
from tests.server.scripted import scripted_state
from tests.server.settings import load_settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_names_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in readme


def blocks(language: str) -> list[tuple[str, str]]:
    """Each page's code blocks in a language, with the page's name."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(page.name, block) for page in PAGES for block in pattern.findall(page.read_text())]


def test_every_command_line_is_understood() -> None:
    lines = [line for _, block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    seen = set()
    for line in lines:
        # at a line's start, or behind a pipe or a path: not a package or a user of that name
        for name, rest in re.findall(r"(?:^|[|] |/)paddock ([a-z][a-z-]*)( [^|>&]*|$)", line.split(" # ")[0]):
            assert name in NAMES, line
            seen.add(name)
            arguments = shlex.split(rest, comments=True)
            if any(flag in arguments for flag in ("--help", "--types", "--list-devices")):  # which print and end
                continue
            if name == "serve":
                load_settings(arguments, {})
            else:
                command(name).parser(name).parse(arguments)
    assert "serve" in seen


def test_every_configuration_file_is_understood(tmp_path: Path) -> None:
    for page, block in blocks("toml"):
        file = tmp_path / page
        file.write_text(block)
        load_settings(["--config", str(file)], {})


def paths(routes: Iterable[BaseRoute], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Mount):
            found |= paths(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            found.add(prefix + re.sub(r"\{[^}]*\}", "{id}", route.path))
    return found


@pytest.mark.parametrize("page", ["README.md", "docs/endpoints.md"])
def test_every_endpoint_is_named(page: str) -> None:
    served = paths(create_app(scripted_state()[0]).routes)
    named = set(re.findall(r"`(?:GET|POST) (/\S+)`", (ROOT / page).read_text()))
    assert named <= served
    assert {path for path in served if f"/v1{path}" not in served and path != "/v1/health"} <= named
