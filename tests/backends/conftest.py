"""What tests of the backend share."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.models.families import write_model

pytest.register_assert_rewrite("tests.backends.machine")  # it asserts as tests do

if find_spec("torch") is None:
    collect_ignore = ["test_rope_scaling.py"]  # tests/backends/convert/test_pytorch.py says so


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A small random-weight model of a family, written once."""
    folder = tmp_path_factory.mktemp("gguf")

    def path(family: str) -> Path:
        file = folder / f"{family}.gguf"
        return file if file.exists() else write_model(file, family)

    return path
