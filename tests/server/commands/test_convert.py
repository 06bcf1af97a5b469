"""`paddock convert` and `convert-lora`: output, what is refused, what is left behind."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import save_file

from backends.gguf.convert.architecture import read_architecture
from backends.gguf.convert.tensors import expected_shapes
from server.cli import main
from tests.server.commands.running import ROOT, paddock

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "vocab_size": 258,
    "max_position_embeddings": 128,
}
ADAPTER = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alora_invocation_tokens": [3, 4]}


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]
Failure = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a command in this process."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: Done(main([*map(str, arguments)]), *capsys.readouterr())
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def failure(run: Run) -> Failure:
    """The one line on stderr of a command that fails."""

    def fail(*arguments: object, status: int = 1) -> str:
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    return fail


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A Llama with a tokenizer of bytes."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    shapes = expected_shapes(read_architecture(folder))
    random = np.random.default_rng(0)
    save_file({n: random.random(s).astype(np.float32) for n, s in shapes.items()}, folder / "model.safetensors")
    from gguf.vocab import bytes_to_unicode

    letters = sorted(bytes_to_unicode().values())
    tokenizer = {
        "model": {
            "type": "BPE",
            "vocab": {text: number for number, text in enumerate([*letters, letters[0] + letters[1]])},
            "merges": [f"{letters[0]} {letters[1]}"],
        },
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "added_tokens": [{"id": 257, "content": "<|endoftext|>", "special": True}],
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    return folder


@pytest.fixture
def adapter(tmp_path: Path, checkpoint: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER | {"base_model_name_or_path": str(checkpoint)}))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    pair = {name.format("A"): np.ones((2, 64), np.float32), name.format("B"): np.ones((64, 2), np.float32)}
    save_file(pair, folder / "adapter_model.safetensors")
    return folder


def test_a_checkpoint_becomes_a_gguf(run: Run, failure: Failure, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "tiny.gguf"
    done = paddock("convert", checkpoint, out)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("llama, 68,") and "in 12 tensors, f32:" in first and last == str(out)
    assert done.stderr == ""  # no bar where there is no terminal
    assert "is there already (--force overwrites it)" in failure("convert", checkpoint, out)
    done = run("convert", checkpoint, out, "--force", "--outtype", "q8_0", "--json", "--model-name", "Tiny")
    result = json.loads(done.stdout)
    assert (result["file"], result["type"], result["architecture"]) == (str(out), "q8_0", "llama")
    assert (result["tensors"], result["context_length"], result["tokenizer"]) == (12, 128, "gpt-2")
    fields = GGUFReader(out).fields
    assert fields["general.name"].contents() == "Tiny" and fields["general.file_type"].contents() == 7
    assert result["bytes"] < out.stat().st_size < 150_000


def test_a_dry_run_writes_nothing(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    done = run("convert", checkpoint, tmp_path / "out" / "tiny.gguf", "--dry-run", "--json")
    assert json.loads(done.stdout)["file"] is None
    assert not (tmp_path / "out").exists()


def test_what_llama_cpp_does_otherwise_is_said(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    changed = {"architectures": ["MistralForCausalLM"], "sliding_window": 32}
    (checkpoint / "config.json").write_text(json.dumps(CONFIG | changed))
    done = run("convert", checkpoint, tmp_path / "tiny.gguf")
    assert done.returncode == 0 and done.stderr.startswith("note: attention reaches 32 tokens back")


def test_a_failure_leaves_nothing(failure: Failure, checkpoint: Path, tmp_path: Path) -> None:
    weights = checkpoint / "model.safetensors"
    size = weights.stat().st_size
    shapes = expected_shapes(read_architecture(checkpoint))
    huge = {name: np.full(shape, 1e6, np.float32) for name, shape in shapes.items()}
    save_file(huge, weights)
    out = tmp_path / "out"
    assert "beyond float16's range" in failure("convert", checkpoint, out / "x.gguf", "--outtype", "f16")
    assert list(out.iterdir()) == []
    weights.write_bytes(weights.read_bytes()[: size // 2])
    assert "is truncated" in failure("convert", checkpoint, out / "x.gguf")


def test_wrong_use(failure: Failure, checkpoint: Path, tmp_path: Path) -> None:
    assert "--outtype" in failure("convert", checkpoint, tmp_path / "x.gguf", "--outtype", "q4_0", status=2)
    assert "stands after SRC" in failure("convert", checkpoint, "--outfile", tmp_path / "x.gguf", status=2)
    assert "no such folder" in failure("convert", tmp_path / "nowhere", tmp_path / "x.gguf")


def test_an_adapter_becomes_a_gguf(run: Run, failure: Failure, adapter: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter.gguf"
    done = run("convert-lora", adapter, out)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("activated LoRA for llama, 1 modules, rank 2:") and last == str(out)
    assert "is there already" in failure("convert-lora", adapter, out)
    elsewhere = tmp_path / "moved"
    shutil.move(checkpoint, elsewhere)
    assert "--base" in failure("convert-lora", adapter, out, "--force")
    done = run("convert-lora", adapter, out, "--force", "--base", elsewhere, "--json", "--outtype", "f16")
    result = json.loads(done.stdout)
    assert (result["alpha"], result["rank"], result["invocation_tokens"]) == (4.0, 2, [3, 4])
    assert "it is a model: paddock convert" in failure("convert-lora", elsewhere, tmp_path / "y.gguf")
    assert "convert it by paddock convert-lora" in failure("convert", adapter, tmp_path / "y.gguf")


@pytest.mark.parametrize(
    ("package", "advice"), [("gguf", "pip install 'paddock[convert]'"), ("torch", "pip install torch")]
)
def test_a_missing_package_is_named(package: str, advice: str, checkpoint: Path, tmp_path: Path) -> None:
    if package == "torch":
        (checkpoint / "model.safetensors").unlink()
        (checkpoint / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    program = f"import sys; sys.modules[{package!r}] = None; from server.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "convert", str(checkpoint), str(tmp_path / "x.gguf")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and advice in done.stderr and done.stderr.count("\n") == 1
