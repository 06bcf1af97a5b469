"""`paddock quantize`: names, output, what it leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from backends.gguf.header import read_header
from backends.llama_cpp.quantization.file_types import QUANTIZED_TYPES
from server.commands.quantize import derived_name
from tests.models.quantizable import write_quantizable, write_split
from tests.server.commands.running import ROOT, command, failure, paddock


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_quantizable(tmp_path_factory.mktemp("models") / "tiny.F32.gguf")


def test_the_output_is_named_after_the_type() -> None:
    assert derived_name(Path("a/model-F16.gguf"), "Q4_K_M") == "model-Q4_K_M.gguf"
    assert derived_name(Path("model.bf16.gguf"), "IQ2_S") == "model-IQ2_S.gguf"
    assert derived_name(Path("Model-F16-00001-of-00003.gguf"), "F32") == "Model-F32.gguf"
    assert derived_name(Path("gF16.gguf"), "COPY") == "gF16-COPY.gguf"


def test_a_model_becomes_smaller(model: Path) -> None:
    done = paddock("quantize", model, "q4_k_m")
    assert done.returncode == 0, done.stderr
    out = model.with_name("tiny-Q4_K_M.gguf")
    assert done.stdout.splitlines()[-1] == str(out)
    assert done.stderr == ""  # no bar where there is no terminal
    assert out.stat().st_size < model.stat().st_size / 4
    assert read_header(out).integer("general.file_type") == 15
    assert out.stat().st_mode & 0o777 == model.stat().st_mode & 0o777
    assert "is there already (--force overwrites it)" in failure("quantize", model, "q4_k_m")
    assert paddock("quantize", "--force", model, "q4_k_m").returncode == 0


def test_flags_may_stand_anywhere(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "x.gguf"
    done = paddock("quantize", model, "--pure", out, "-t", 1, "Q5_K", "--json", "--tensor-type", "attn_v=q8_0")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["files"] == [str(out)]
    assert result["bytes"] == sum(tensor.n_bytes for tensor in read_header(out).tensors)
    assert {t["to"] for t in result["tensors"]} == {"F32", "Q5_K", "Q8_0"}


def test_a_dry_run_tells_sizes(model: Path, tmp_path: Path) -> None:
    done = paddock("quantize", model, tmp_path / "x.gguf", "IQ2_XXS", "--dry-run")
    assert done.returncode == 0
    assert "IQ2_XXS:" in done.stdout and "bits per weight" in done.stdout
    assert done.stderr == "needs an importance matrix: it can't be made without --imatrix\n"
    assert list(tmp_path.iterdir()) == []


def test_split_models_stay_split(model: Path, tmp_path: Path) -> None:
    first, second, *_ = write_split(tmp_path / "m.gguf", model, 6)
    done = paddock("quantize", first, tmp_path / "out.gguf", "Q8_0", "--keep-split")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [str(tmp_path / f"out-0000{i}-of-00002.gguf") for i in (1, 2)]
    assert len(list(tmp_path.iterdir())) == 4
    assert "--force overwrites it" in failure("quantize", first, tmp_path / "out.gguf", "Q8_0", "--keep-split")
    assert "name the first" in failure("quantize", second, tmp_path / "y.gguf", "Q8_0")
    assert "is not split" in failure("quantize", model, tmp_path / "y.gguf", "Q8_0", "--keep-split")


def test_types_are_listed() -> None:
    done = paddock("quantize", "--types")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:-2]] == list(QUANTIZED_TYPES)


def test_what_is_wrong_is_one_line(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.gguf"
    unknown = failure("quantize", model, out, "Q4_X", status=2)
    assert "unknown type Q4_X; there are " in unknown
    assert all(name in unknown for name in QUANTIZED_TYPES)
    assert "unknown type of tensors q9" in failure("quantize", model, out, "Q4_0", "--tensor-type", "a=q9", status=2)
    assert "must be REGEX=TYPE" in failure("quantize", model, out, "Q4_0", "--tensor-type", "q8_0", status=2)
    assert "give the input" in failure("quantize", model, status=2)
    assert "is the input" in failure("quantize", model, model, "Q4_0", "--force")
    assert "needs an importance matrix" in failure("quantize", model, out, "IQ1_S")
    assert "cannot open" in failure("quantize", model, out, "IQ1_S", "--imatrix", tmp_path / "none")
    assert "there is no file" in failure("quantize", tmp_path / "none.gguf", out, "Q4_0")
    assert "/dev/null is not a regular file" in failure("quantize", model, "/dev/null", "Q4_0", "--force")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    model = write_quantizable(tmp_path / "large.gguf", n_layer=30)
    process = subprocess.Popen(command("quantize", model, tmp_path / "out.gguf", "IQ3_S", "-t", 1), cwd=ROOT)
    while not any(path.stat().st_size for path in tmp_path.glob(".out*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(timeout=30) == 130
    assert list(tmp_path.iterdir()) == [model]
