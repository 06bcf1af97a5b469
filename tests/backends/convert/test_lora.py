"""A converted adapter changes a model as PEFT does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import PreTrainedModel

from backends.gguf.convert.errors import ConvertError
from backends.gguf.convert.lora import LoraConversion

from . import checkpoints
from .checkpoints import logits
from .conftest import Save, converted
from .gguf_logits import gguf_logits

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # PEFT's, about itself
TOKENS = [int(token) for token in np.random.default_rng(0).integers(0, 500, 60)]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapted(base: PreTrainedModel, **options: Any) -> PeftModel:
    """A base model with a random adapter on it."""
    model = get_peft_model(base, LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ALL} | options))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def saved_adapter(model: PeftModel, folder: Path, base: Path) -> Path:
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(folder)
    return folder


def adapter_gguf(folder: Path, base: Path | None = None, outtype: str = "f32") -> Path:
    path = folder.with_suffix(".gguf")
    LoraConversion(folder, base, outtype).write(path)
    return path


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (checkpoints.llama, {}),
    "llama 3": (checkpoints.llama_3, {"r": 3, "lora_alpha": 5}),
    "mistral": (checkpoints.mistral, {"use_rslora": True}),
    "qwen2": (checkpoints.qwen2, {"target_modules": ["q_proj", "v_proj"]}),
    "qwen3": (checkpoints.qwen3, {}),
    "ranks and alphas by module": (
        checkpoints.llama,
        {"rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 8}, "alpha_pattern": {"v_proj": 3}},
    ),
    "ranks by module, stabilised": (
        checkpoints.llama,
        {"use_rslora": True, "rank_pattern": {"q_proj": 2, "down_proj": 6}},
    ),
    "embeddings and output": (checkpoints.llama, {"target_modules": ["embed_tokens", "lm_head", "k_proj"]}),
}


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_peft_merged(name: str, saved: Save, tmp_path: Path) -> None:
    make, options = CASES[name]
    base = saved(make())
    model = adapted(make(), **options)
    path = adapter_gguf(saved_adapter(model, tmp_path / "adapter", base))
    merged = model.merge_and_unload()
    expected, without = logits(merged, TOKENS), logits(make(), TOKENS)
    assert np.abs(expected - without).std() > 0.3
    model_path = converted(base)
    np.testing.assert_allclose(gguf_logits(model_path, TOKENS, path), expected, atol=5e-4)
    np.testing.assert_allclose(gguf_logits(model_path, TOKENS, path, scale=0.0), without, atol=5e-4)


def test_a_pickle_and_a_named_base(saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.llama())
    model = adapted(checkpoints.llama())
    folder = saved_adapter(model, tmp_path / "adapter", Path("somebody/something"))
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ConvertError, match=r"somebody/something, which is no folder here.*--base"):
        LoraConversion(folder)
    got = gguf_logits(converted(base), TOKENS, adapter_gguf(folder, base))
    np.testing.assert_allclose(got, logits(model.merge_and_unload(), TOKENS), atol=5e-4)


def test_only_the_bases_config_is_needed(saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.llama())
    folder = saved_adapter(adapted(checkpoints.llama()), tmp_path / "adapter", base)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(base / "config.json", alone)
    assert adapter_gguf(folder, alone).stat().st_size


def test_a_quantized_base_is_as_good(saved: Save, tmp_path: Path) -> None:
    """As QLoRA trains on one: only its shapes matter."""
    base = saved(checkpoints.llama())
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes"}}))
    assert LoraConversion(saved_adapter(adapted(checkpoints.llama()), tmp_path / "adapter", base)).n_modules == 14


@pytest.mark.parametrize("outtype", ["f16", "bf16", "q8_0"])
def test_smaller_types_are_near(outtype: str, saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.llama())
    model = adapted(checkpoints.llama())
    path = adapter_gguf(saved_adapter(model, tmp_path / "adapter", base), outtype=outtype)
    off = gguf_logits(converted(base), TOKENS, path) - logits(model.merge_and_unload(), TOKENS)
    assert off.std() < 0.1


def test_what_the_file_says(saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.llama())
    folder = saved_adapter(adapted(checkpoints.llama(), use_rslora=True), tmp_path / "adapter", base)
    found = _fields(adapter_gguf(folder, outtype="f16"))
    assert (found["general.type"], found["adapter.type"]) == ("adapter", "lora")
    assert found["general.architecture"] == "llama"
    assert found["adapter.lora.alpha"] == 8 * 4 / 2


def test_activated_lora(saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.llama())
    model = adapted(checkpoints.llama(), alora_invocation_tokens=[7, 8, 9], task_type="CAUSAL_LM")
    path = adapter_gguf(saved_adapter(model, tmp_path / "adapter", base))
    assert _fields(path)["adapter.alora.invocation_tokens"] == [7, 8, 9]
    assert str(gguf.GGUFReader(path).fields["adapter.alora.invocation_tokens"].types[-1].name) == "UINT32"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, r"DoRA \(use_dora\), which llama.cpp hasn't"),
        ({"bias": "all"}, r"biases \(bias: all\)"),
        ({"lora_bias": True}, r"biases \(lora_bias\)"),
        ({"modules_to_save": ["lm_head"]}, "whole modules .*lm_head.*merge the adapter"),
        ({"peft_type": "LOHA"}, "PEFT's type LOHA"),
        ({"r": 0}, "rank"),
        ({"lora_alpha": 0}, "lora_alpha not 0"),
        ({"alpha_pattern": {"q_proj(": 2}}, r"'q_proj\(' is no regular expression"),
        ({"r": "many"}, r"Expected `int`, got `str`"),
        ({"base_model_name_or_path": None}, "names no base model.*--base"),
        ({"invocation_string": "<go>"}, "alora_invocation_tokens"),
    ],
)
def test_refused(change: dict[str, Any], message: str, saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.llama())
    folder = saved_adapter(adapted(checkpoints.llama()), tmp_path / "adapter", base)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(ConvertError, match=message):
        LoraConversion(folder)


def test_another_bases_adapter(saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.llama(hidden_size=128))
    folder = saved_adapter(adapted(checkpoints.llama()), tmp_path / "adapter", base)
    with pytest.raises(ConvertError, match="is it the right one"):
        LoraConversion(folder)


def test_an_adapter_of_more_layers(saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.llama(num_hidden_layers=1))
    folder = saved_adapter(adapted(checkpoints.llama()), tmp_path / "adapter", base)
    with pytest.raises(ConvertError, match=r"changes model\.layers\.1\..*, which the base model hasn't"):
        LoraConversion(folder)


def test_shared_embeddings_are_refused(saved: Save, tmp_path: Path) -> None:
    base = saved(checkpoints.qwen3())
    model = adapted(checkpoints.qwen3(), target_modules=["embed_tokens"])
    folder = saved_adapter(model, tmp_path / "adapter", base)
    with pytest.raises(ConvertError, match="the model's output too"):
        LoraConversion(folder)


def test_a_model_is_no_adapter(saved: Save) -> None:
    with pytest.raises(ConvertError, match=r"no adapter_config\.json; it is a model: paddock convert"):
        LoraConversion(saved(checkpoints.llama()))


def _fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}
