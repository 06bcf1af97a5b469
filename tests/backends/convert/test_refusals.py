"""What can't be converted is said in one line, before anything is written."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from backends.gguf.convert.conversion import Conversion
from backends.gguf.convert.errors import ConvertError

from . import checkpoints
from .checkpoints import save_meta
from .conftest import Save


@pytest.fixture
def folder(saved: Save) -> Path:
    """A checkpoint of a Llama, in one safetensors file."""
    return saved(checkpoints.llama(num_hidden_layers=1))


def refusal(folder: Path, outtype: str = "f32") -> str:
    with pytest.raises(ConvertError) as raised:
        Conversion(folder, outtype).write(folder / "out.gguf", lambda *_: None)
    message = str(raised.value)
    assert "\n" not in message
    return message


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def retensor(folder: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["GPTNeoXForCausalLM"]}, "GPTNeoXForCausalLM is an architecture that .*convert_hf_to_gguf"),
        ({"architectures": ["MixtralForCausalLM"]}, "MixtralForCausalLM"),
        ({"architectures": None}, "names no architecture"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"quantized \(gptq\): convert the one"),
        ({"quantization_config": {"quant_method": "awq"}}, r"quantized \(awq\)"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, r"quantized \(bitsandbytes\)"),
        ({"hidden_size": "big"}, r"Expected `int`, got `str` - at `\$.hidden_size`"),
        ({"num_hidden_layers": 0}, r"at `\$.num_hidden_layers`"),
        ({"num_hidden_layers": 10**12}, r"at `\$.num_hidden_layers`"),
        ({"num_key_value_heads": 3}, "4 heads can't share 3"),
        ({"head_dim": 15}, "even head_dim"),
        ({"head_dim": None, "hidden_size": 66}, "66 is no multiple of 4"),
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"rope_parameters": {"rope_type": "longrope", "factor": 2.0}}, "'longrope' RoPE scaling"),
        ({"rope_parameters": {"rope_type": "linear"}}, "names no factor"),
        ({"rope_parameters": {"factor": "2"}}, "RoPE parameters are wrong"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"intermediate_size": 97}, r"gate_proj.weight has the shape \[96, 64\], .* says \[97, 64\]"),
        ({"num_hidden_layers": 2}, "lacks 9 of its 21 tensors: model.layers.1.*and 4 more"),
        ({"tie_word_embeddings": False, "attention_bias": True}, "lacks 4 of its"),
    ],
)
def test_configurations(changes: dict[str, Any], message: str, folder: Path) -> None:
    configure(folder, **changes)
    with pytest.raises(ConvertError, match=message):
        Conversion(folder)


def test_unknown_tensors(folder: Path) -> None:
    retensor(folder, lambda tensors: tensors.update({"model.layers.0.strange.weight": np.zeros(3, np.float32)}))
    assert refusal(folder).endswith("tensors that its architecture hasn't: model.layers.0.strange.weight")


def test_a_second_output_is_left_out_where_embeddings_are_shared(folder: Path) -> None:
    configure(folder, tie_word_embeddings=True)
    assert "output.weight" not in {tensor.name for tensor in Conversion(folder).tensors}


def test_tables_of_older_checkpoints_are_left_out(folder: Path) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    retensor(folder, lambda tensors: tensors.update({name: np.zeros(8, np.float32)}))
    assert Conversion(folder).n_bytes


@pytest.mark.parametrize("name", ["qweight", "SCB", "weight_scale_inv"])
def test_quantized_tensors(name: str, folder: Path) -> None:
    mark = f"model.layers.0.mlp.up_proj.{name}"
    retensor(folder, lambda tensors: tensors.update({mark: np.zeros(3, np.int32)}))
    assert refusal(folder) == (f"the checkpoint is quantized (it has {mark}): convert the one it was made from")


def test_weights_of_another_type(folder: Path) -> None:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors["model.norm.weight"] = np.ones(64, np.int64)

    retensor(folder, change)
    assert "model.norm.weight is of type I64" in refusal(folder)


def test_values_that_float16_cant_hold(folder: Path) -> None:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors["lm_head.weight"][3, 3] = 70000

    retensor(folder, change)
    assert refusal(folder, "f16") == "lm_head.weight has values beyond float16's range: use --outtype bf16 or f32"
    Conversion(folder, "bf16").write(folder / "out.gguf", lambda *_: None)


def test_truncated_safetensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for size, message in ((len(whole) - 1, "truncated: "), (100, "truncated or not"), (3, "truncated or not"), (0, "")):
        path.write_bytes(whole[:size])
        assert message in refusal(folder)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', "has 4 bytes, which is not F32 [2]"),
        (b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}', "makes no sense"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}', "makes no sense"),
        (b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}', "is truncated"),
        (b'{"a": {"dtype": "F32"}}', "is not a safetensors file"),
        (b'{"a": ', "is not a safetensors file"),
        (b"[]", "is not a safetensors file"),
    ],
)
def test_hostile_headers(header: bytes, message: str, folder: Path) -> None:
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    (folder / "model.safetensors").write_bytes(content)
    assert message in refusal(folder)


def test_git_pointers(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "Git LFS pointer" in refusal(folder)


class Attack:
    """Runs a command where a pickle is simply loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("layout", ["archive", "plain", "meta"])
def test_pickles_with_code_are_never_run(layout: str, folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    (folder / "model.safetensors").unlink()
    content = {"model.norm.weight": torch.ones(64), "attack": Attack(trace)}
    if layout == "plain":
        with (folder / "pytorch_model.bin").open("wb") as file:
            pickle.dump({"attack": Attack(trace)}, file)
    else:
        torch.save(content, folder / ("pytorch_model.bin" if layout == "archive" else "consolidated.00.pth"))
    assert "is refused: its pickle holds something else than weights" in refusal(folder)
    assert not trace.exists()
    if layout == "plain":  # the attack would have worked
        pickle.loads((folder / "pytorch_model.bin").read_bytes())
        assert trace.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x80\x02}"])
def test_damaged_pickles(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    assert "PyTorch's" in refusal(folder) or "is damaged" in refusal(folder)


def test_truncated_pickles(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    torch.save({"a": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    assert "is truncated or not PyTorch's" in refusal(folder)


def test_missing_parts(saved: Save) -> None:
    folder = saved(checkpoints.llama(), max_shard_size="60KB")
    parts = sorted(folder.glob("*.safetensors"))
    parts[1].unlink()
    assert f"lacks {parts[1].name} (1 of {len(parts)} parts)" in refusal(folder)


def test_an_index_that_leads_elsewhere(saved: Save) -> None:
    folder = saved(checkpoints.llama(), max_shard_size="60KB")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "../secret.safetensors"}}))
    assert "no weight_map of file names" in refusal(folder)


def test_metas_missing_parts(tmp_path: Path) -> None:
    model: PreTrainedModel = checkpoints.llama(intermediate_size=192, num_hidden_layers=1)
    save_meta(model, tmp_path / "meta", 2)
    (tmp_path / "meta" / "consolidated.00.pth").unlink()
    assert "lacks consolidated.00.pth" in refusal(tmp_path / "meta")
    save_meta(model, tmp_path / "other", 2)
    (tmp_path / "other" / "consolidated.01.pth").unlink()
    assert "make no tensor of the shape" in refusal(tmp_path / "other")
    (tmp_path / "other" / "params.json").unlink()
    assert "without their params.json" in refusal(tmp_path / "other")


def test_what_is_no_checkpoint(folder: Path, tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").endswith("no such folder")
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    assert "paddock quantize" in refusal(file)
    assert "name the folder" in refusal(folder / "config.json")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    assert "without the index" in refusal(folder)
    for path in folder.iterdir():
        path.unlink()
    assert "holds no weights" in refusal(folder)
    (folder / "adapter_config.json").write_text("{}")
    assert "paddock convert-lora" in refusal(folder)
    (folder / "adapter_config.json").rename(folder / "model.gguf")
    assert "holds GGUF files already" in refusal(folder)


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert refusal(folder).endswith("has no tokenizer that this command reads: tokenizer.json or tokenizer.model")


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "of the kind None"),
        ('{"model": {"type": "WordPiece", "vocab": {}}}', "of the kind WordPiece"),
        ('{"model": {"vocab": {}}, "pre_tokenizer": "none"}', "the tokenizer's files make no sense"),
        ('{"model": {"vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, "added_tokens": [1]}', "make no sense"),
        ('{"model": {"vocab": {"a": "b"}}, "pre_tokenizer": {"type": "ByteLevel"}}', "make no sense"),
        ('{"model": {"vocab": {"a": 0}}, "pre_tokenizer": {"type": "ByteLevel"}}', "has no merges"),
        ('{"model": {"vocab": {"a": 0, "b": 9999}}, "pre_tokenizer": {"type": "ByteLevel"}}', "has a token 9999"),
        ('{"model": {"vocab": {}}, "pre_tokenizer": null, "normalizer": {"type": "Lowercase"}}', "normalizes text"),
    ],
)
def test_broken_tokenizers(tokenizer: str, message: str, folder: Path) -> None:
    (folder / "tokenizer.json").write_text(tokenizer)
    assert message in refusal(folder)


def test_two_tokens_of_one_text(folder: Path) -> None:
    """llama.cpp would end the process."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["added_tokens"].append({"id": 510, "content": "a"})
    path.write_text(json.dumps(tokenizer))
    assert refusal(folder) == "the tokenizer has the token 'a' twice"


def test_no_end_of_sequence(folder: Path) -> None:
    """llama.cpp would take token 11 for it."""
    (folder / "tokenizer_config.json").unlink()
    for name in ("config.json", "generation_config.json"):
        config = json.loads((folder / name).read_text())
        config.pop("eos_token_id", None)
        (folder / name).write_text(json.dumps(config))
    assert "names the token that ends a text" in refusal(folder)


def test_a_broken_piece_model(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"\x00\x01 not a model")
    assert "is not SentencePiece's" in refusal(folder)
