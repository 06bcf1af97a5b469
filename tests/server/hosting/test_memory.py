"""What models get of the memory that they share; on real files' headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.base import ModelLoadError
from server.hosting.catalog import ModelSpec
from server.hosting.memory import Budget
from tests.models.families import Shape, write_model
from tests.models.memory import memory_needed
from tests.server.settings import load_settings

N_CTX = 32768


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("gguf") / "long.gguf", "llama", shape=Shape(n_ctx=N_CTX))


def spec(path: Path, *flags: str) -> ModelSpec:
    return ModelSpec(("x",), path, load_settings(flags, {}))


def total(path: Path, n_ctx: int) -> int:
    return memory_needed(path, n_ctx).total


def test_a_model_has_its_own_context_if_its_share_holds_it(path: Path) -> None:
    need = total(path, N_CTX)
    fitted = Budget(4 * need, 4, binding=False).fitted(spec(path))
    assert (fitted.settings.ctx_size, fitted.memory_needed) == (0, need)


def test_what_is_loaded_with_it_counts(path: Path) -> None:
    need = total(path, N_CTX) + path.stat().st_size
    fitted = Budget(4 * need, 4, binding=False).fitted(spec(path, "-md", str(path)))
    assert (fitted.settings.ctx_size, fitted.memory_needed) == (0, need)


def test_else_as_long_a_one_as_fits(path: Path) -> None:
    share = total(path, 10_000)
    fitted = Budget(3 * share, 3, binding=False).fitted(spec(path))
    n_ctx = fitted.settings.ctx_size
    assert 9_000 < n_ctx < 10_300 and n_ctx % 256 == 0
    assert fitted.memory_needed == total(path, n_ctx) <= share < total(path, n_ctx + 256)
    assert Budget(100, 3, binding=False).fitted(spec(path)).settings.ctx_size == 4096, "but never a very short one"


def test_a_context_that_was_asked_for_is_left_alone(path: Path) -> None:
    fitted = Budget(100, 3, binding=False).fitted(spec(path, "-c", "20000"))
    assert (fitted.settings.ctx_size, fitted.memory_needed) == (20_000, total(path, 20_000))


def test_more_than_an_operator_allows(path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"20000 tokens it needs about \d+ MiB, and --models-memory is 1$"):
        Budget(1 << 20, 3, binding=True).fitted(spec(path, "-c", "20000"))


def test_a_broken_file(path: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelLoadError, match=r"cannot load .*broken\.gguf: the file is truncated"):
        Budget(1 << 40, 1, binding=False).fitted(spec(broken))
    with pytest.raises(ModelLoadError, match="No such file"):
        Budget(1 << 40, 1, binding=False).fitted(spec(tmp_path / "gone.gguf"))
