"""`paddock inspect`: what it prints of real files, whole or not."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import gguf as gguf_library
import numpy as np
import pytest

from server.cli import main
from tests.models.families import Shape, write_model
from tests.models.vocab import CHATML
from tests.server.commands.running import ROOT

MIB = 1 << 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.gguf", "llama")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: object) -> str:
        assert main(["inspect", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return run


def test_the_demo_model_is_told_in_words(printed: Callable[..., str]) -> None:
    text = printed()
    for line in (
        r"kind +a model \(GGUF version 3\)",
        r"architecture +llama",
        r"parameters +3.09M",
        r"quantization +Q8_0 \(8.52 bits per weight\)",
        r"context +2048 tokens",
        r"heads +4, 2 for keys and values, of 64",
        r"chat template +\d+ characters \(--template\)",
        r"model +gpt2, qwen2",
        r"bos +2818 <\|bos\|>",
        r"Q8_0 +29 tensors, 3.08M parameters, 3.28 MB",
        r"Memory for 2048 tokens",
        r"KV cache +4.19 MB \(f16/f16, 16 sequences\)",
    ):
        assert re.search(rf"^ *{line}$", text, re.MULTILINE), line


def test_memory_for_what_is_wanted(model: Path, printed: Callable[..., str]) -> None:
    cells = Shape().n_layer * 2 * Shape().n_head_kv * Shape().head_dim
    for flags, n_ctx, value_bytes in (((), 2048, 2), (("-c", 8192), 8192, 2), (("-c", 512, "-ctk", "f32"), 512, 3)):
        memory = json.loads(printed(model, "--json", *flags))["memory"]
        assert memory["n_ctx"] == n_ctx and memory["kv"] == cells * n_ctx * value_bytes
        assert memory["total"] == memory["weights"] + memory["kv"] + memory["compute"]


def test_json_is_one_document_of_all(model: Path, printed: Callable[..., str]) -> None:
    document = json.loads(printed(model, "--json", "--tensors"))
    assert document["metadata"]["general.name"] == "test-llama"
    assert document["metadata"]["tokenizer.ggml.tokens"] == {"count": document["tokenizer"]["tokens"]}
    assert document["tensor_list"][0] == {
        "name": "token_embd.weight",
        "shape": [64, document["tokenizer"]["tokens"]],
        "type": "F32",
        "bytes": 256 * document["tokenizer"]["tokens"],
    }
    assert len(document["tensor_list"]) == document["tensors"]
    assert "tensor_list" not in json.loads(printed(model, "--json"))


def test_lists_of_tensors_and_metadata(model: Path, printed: Callable[..., str]) -> None:
    text = printed(model, "--tensors", "--metadata")
    assert re.search(r"^  blk\.3\.ffn_down\.weight +F32  128 x 64$", text, re.MULTILINE)
    assert re.search(r"^  llama\.block_count +4$", text, re.MULTILINE)
    assert re.search(r"^  tokenizer\.ggml\.tokens +\d+ items$", text, re.MULTILINE)


def test_the_template_alone(model: Path, printed: Callable[..., str]) -> None:
    assert printed(model, "--template") == CHATML


def test_a_truncated_file_is_told_all_the_same(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model.write_bytes(model.read_bytes()[: -MIB // 4])
    assert main(["inspect", str(model)]) == 0
    output = capsys.readouterr()
    assert "architecture" in output.out and "262 kB of the data are missing" in output.err
    main(["inspect", str(model), "--json"])
    assert json.loads(capsys.readouterr().out)["missing_bytes"] == MIB // 4


def test_files_cannot_steer_the_terminal(tmp_path: Path, printed: Callable[..., str]) -> None:
    writer = gguf_library.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_name("\x1b]0;owned\x07\nkind  a lie")
    writer.add_tensor("\x1b[2J", np.ones(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    text = printed(tmp_path / "m.gguf", "--tensors", "--metadata")
    assert "\x1b" not in text and "\x07" not in text
    assert r"\x1b]0;owned\x07\nkind  a lie" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_has_not(value: float, tmp_path: Path, printed: Callable[..., str]) -> None:
    writer = gguf_library.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_rope_freq_base(value)
    writer.add_tensor("a", np.ones(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    document = json.loads(printed(tmp_path / "m.gguf", "--json"), parse_constant=pytest.fail)
    assert document["rope"]["freq_base"] is None


def test_nor_can_their_templates(tmp_path: Path, printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    writer = gguf_library.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_chat_template("{{ 1 }}\x1b[2J\n")
    writer.add_tensor("a", np.ones(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert printed(tmp_path / "m.gguf", "--template") == "{{ 1 }}\x1b[2J\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert printed(tmp_path / "m.gguf", "--template") == "{{ 1 }}[2J\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("README.md",), 1, "README.md: not a GGUF file (it starts with b'# Pa', not b'GGUF')"),
        (("missing.gguf",), 1, "there is no file missing.gguf"),
        (("-c", "many"), 2, "-c/--ctx-size: must be a whole number of at least 0, not 'many'"),
        (("-ctk", "q3_k"), 2, "invalid choice: 'q3_k'"),
    ],
)
def test_what_cannot_be_inspected(
    arguments: tuple[str, ...],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["inspect", *arguments]) == status
    output = capsys.readouterr()
    assert said in output.err and output.out == "" and output.err.count("\n") == 1
