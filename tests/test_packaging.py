"""What is installed: the wheel's contents, that it serves outside the checkout, and the locks behind `make setup`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

from server.version import __version__

ROOT = Path(__file__).parents[1]
LOCKS = ("runtime", "test", "bench", "lint", "build")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_two_packages_and_their_data(wheel: Path) -> None:
    assert wheel.name == f"paddock-{__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names} == {"server", "backends", f"paddock-{__version__}.dist-info"}
    assert "server/models/paddock-demo.gguf" in names
    for folder in ("server", "backends"):
        for pattern in ("*.py", "*.jinja"):
            assert {str(file.relative_to(ROOT)) for file in (ROOT / folder).rglob(pattern)} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheels_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"paddock-{__version__}.dist-info/METADATA").decode()
        entry_points = archive.read(f"paddock-{__version__}.dist-info/entry_points.txt").decode()
        assert f"paddock-{__version__}.dist-info/licenses/LICENSE" in archive.namelist()
    assert "License-Expression: MIT" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "Requires-Dist: llama-cpp-python==" in metadata
    assert "paddock = server.cli:main" in entry_points


def test_the_wheel_serves_the_demo_model_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)],
        check=True,
        capture_output=True,
    )
    # The dependencies are those of the environment that runs the tests, so that llama.cpp isn't compiled again. A line
    # in a .pth file adds that folder but not what its own .pth files point at: the checkout stays out of reach.
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = subprocess.run(
        [python, "-c", "import server, backends; print(server.__file__); print(backends.__file__)"],
        cwd=tmp_path, env=variables, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert all(line.startswith(str(site)) for line in where.splitlines()), where

    with subprocess.Popen(
        [environment / "bin" / "paddock", "serve", "--port", "0", "-c", "512", "-np", "2"],
        cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stderr
            found = (re.search(r"ready: paddock-demo at (\S+)", line) for line in process.stderr)
            url = next(match[1] for match in found if match)
            body = {"model": "paddock-demo", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
            request = urllib.request.Request(
                f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["choices"][0]["message"]["content"]
        finally:
            process.terminate()
        assert process.wait(timeout=30) == 0


def locked(name: str) -> dict[str, str]:
    """Versions by package."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;\\\n]+)", text, re.MULTILINE))


def named(requirements: list[str]) -> set[str]:
    """Names of requirements."""
    return {re.split(r"[<>=~!\[ ;]", requirement)[0].lower() for requirement in requirements}


def test_the_locks_hold_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    assert named(project["project"]["dependencies"]) <= set(locked("runtime"))
    for group in groups:
        assert named(groups[group]) <= set(locked(group))


def test_the_locks_agree() -> None:
    versions: dict[str, str] = {}
    for name in LOCKS:
        for package, version in locked(name).items():
            assert versions.setdefault(package, version) == version, f"{package} in {name}.txt"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_hashes_and_names_no_registry(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block
