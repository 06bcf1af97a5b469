"""Write a checkpoint as a GGUF file for llama.cpp, with tokenizer, chat template and weights, quantized or not."""

import argparse
import json
from pathlib import Path

import gguf
import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from tokenizers import Tokenizer

from demo.dialogue import (
    BOS,
    CONTROL_TOKENS,
    FIM_MIDDLE,
    FIM_PREFIX,
    FIM_SUFFIX,
    TEMPLATE_PATH,
    TEXT_END,
    TURN_END,
)
from demo.model import Llama, Shape

BLOCK_TENSORS = {
    "attention_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "feed_forward_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
}  # fmt: skip


def load_model(checkpoint: Path) -> Llama:
    """The model of a checkpoint."""
    state = torch.load(checkpoint)
    model = Llama(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model.eval()


def add_metadata(writer: GGUFWriter, shape: Shape, *, quantized: bool) -> None:
    """What the model is, and its sizes."""
    writer.add_type("model")
    writer.add_name("Paddock demo")
    writer.add_basename("paddock-demo")
    writer.add_description("A very small chat model for trying and testing Paddock, trained on text made by a program.")
    writer.add_license("MIT")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantized else gguf.LlamaFileType.ALL_F32)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_eps)


def add_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    """The vocabulary and merges, which token means what, and the chat template."""
    tokens = [str(tokenizer.id_to_token(i)) for i in range(tokenizer.get_vocab_size())]
    added = {entry.content for entry in tokenizer.get_added_tokens_decoder().values()}
    types = [
        TokenType.CONTROL if token in CONTROL_TOKENS else TokenType.USER_DEFINED if token in added else TokenType.NORMAL
        for token in tokens
    ]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(merge) for merge in merges])
    ids = {token: tokens.index(token) for token in CONTROL_TOKENS}
    writer.add_bos_token_id(ids[BOS])
    writer.add_eos_token_id(ids[TURN_END])
    writer.add_eot_token_id(ids[TURN_END])
    writer.add_pad_token_id(ids[TEXT_END])
    for key, token in [("pre", FIM_PREFIX), ("suf", FIM_SUFFIX), ("mid", FIM_MIDDLE)]:
        writer.add_uint32(f"tokenizer.ggml.fim_{key}_token_id", ids[token])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE_PATH.read_text())


def add_weights(writer: GGUFWriter, model: Llama, *, quantized: bool) -> None:
    """Matrices as Q8_0 if `quantized`, norms as they are."""

    def add(name: str, weight: torch.Tensor) -> None:
        values = weight.detach().float().numpy()
        if values.ndim == 1 or not quantized:
            writer.add_tensor(f"{name}.weight", values)
            return
        kind = GGMLQuantizationType.Q8_0
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)

    add("token_embd", model.embedding.weight)
    add("output_norm", model.norm.weight)
    for i, block in enumerate(model.layers):
        for ours, theirs in BLOCK_TENSORS.items():
            add(f"blk.{i}.{theirs}", getattr(block, ours).weight)


def export(checkpoint: Path, tokenizer_path: Path, output: Path, *, quantized: bool = True) -> None:
    """Write the file; it appears under its name only when it is complete."""
    model = load_model(checkpoint)
    partial = output.with_suffix(".partial")
    writer = GGUFWriter(partial, "llama")
    add_metadata(writer, model.shape, quantized=quantized)
    add_tokenizer(writer, Tokenizer.from_file(str(tokenizer_path)))
    add_weights(writer, model, quantized=quantized)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    partial.replace(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo/build"), help="with checkpoint.pt and tokenizer.json")
    parser.add_argument("--output", type=Path, default=Path("server/models/paddock-demo.gguf"))
    parser.add_argument("--f32", action="store_true", help="leave the weights as they are")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    export(
        arguments.folder / "checkpoint.pt",
        arguments.folder / "tokenizer.json",
        arguments.output,
        quantized=not arguments.f32,
    )
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")
