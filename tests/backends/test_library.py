"""llama.cpp's C library: its log lines and its versions."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import llama_cpp.llama_cpp as C
import pytest

from backends.llama_cpp import library
from tests.models.broken import write_broken


def test_the_commit_on_record_is_the_one_that_was_built() -> None:
    built = library._built_commit()
    if built is None:
        pytest.skip("this llama.cpp was built without git")
    assert library.COMMITS[library.versions().binding].startswith(built)


def test_the_binding_in_use_is_on_record() -> None:
    versions = library.versions()
    assert versions.binding in library.COMMITS
    assert versions.commit != "unknown"


def test_a_failed_load_leaves_its_reason_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    library.start()
    path = write_broken(tmp_path / "broken.gguf", "missing_tensor")
    assert not C.llama_model_load_from_file(str(path).encode(), C.llama_model_default_params())
    assert library.last_error() == "tensor 'blk.1.ffn_down.weight' not found"
    assert library.last_error() is None
    assert capfd.readouterr().err == ""


def test_verbose_passes_every_line_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_broken(tmp_path / "broken.gguf", "empty")
    library.start(verbose=True)
    try:
        C.llama_model_load_from_file(str(path).encode(), C.llama_model_default_params())
    finally:
        library.start(verbose=False)
    assert "failed to load model" in capsys.readouterr().err


def test_a_line_in_pieces_is_one_error() -> None:
    log = library._Log()
    log.take(library.ERROR, b"llama_model_load: error loading model: key", None)
    log.take(library.CONTINUED, b" is missing\n", None)
    log.take(library.INFO, b"harmless\n", None)
    assert list(log.errors) == ["llama_model_load: error loading model: key is missing"]


@pytest.mark.parametrize(("built_in", "looked_in"), [(0, [b"/somewhere/lib"]), (1, [])])
def test_kernels_in_files_of_their_own_lie_beside_the_library(
    built_in: int, looked_in: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bytes] = []
    functions = SimpleNamespace(
        _name="/somewhere/lib/libllama.so",
        ggml_backend_reg_count=lambda: built_in,
        ggml_backend_load_all_from_path=found.append,
    )
    monkeypatch.setattr(C, "_lib", functions)
    library.load_backends()
    assert found == looked_in
