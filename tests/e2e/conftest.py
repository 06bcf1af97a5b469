"""The servers that end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .serving import Server, serving


@pytest.fixture(scope="session")
def demo() -> Iterator[Server]:
    """The demo model with default settings, shared by all tests that leave it as it was."""
    with serving() as server:
        yield server
