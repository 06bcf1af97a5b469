"""The servers that end-to-end tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from .serving import Server, serving

if find_spec("torch") is None:
    collect_ignore = ["test_walk.py"]  # tests/backends/convert/test_pytorch.py says so


@pytest.fixture(scope="session")
def demo() -> Iterator[Server]:
    """The demo model with default settings, shared by all tests that leave it as it was."""
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain's client reports to a service, if the environment says so."""
    for name in list(os.environ):
        if name.startswith(("LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
