"""The model files: written as F16 once, quantized by llama.cpp, and kept in a folder that git ignores."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from backends.llama_cpp.quantization.order import QuantizeOrder
from backends.llama_cpp.quantization.quantize import quantize as quantized
from server.model_source import find_model

from .shapes import SHAPES, Shape
from .vocabulary import CHATML, Vocabulary, make_vocabulary
from .weights import tensors

CACHE = Path(__file__).parents[1] / "cache"
DEMO = "demo"
RMS_EPS = 1e-6
FILE_TYPES = ("F16", "Q8_0", "Q4_K_M")


def model_file(name: str, quantization: str = "Q4_K_M", cache: Path = CACHE) -> Path:
    """The GGUF of a shape's name, of `demo`, or of a path; made if it isn't there, which takes a minute or two."""
    if name == DEMO:
        return find_model(None)
    if name not in SHAPES:
        return Path(name)
    path = cache / f"{name}-{quantization}.gguf"
    if not path.exists():
        original = cache / f"{name}-F16.gguf"
        if not original.exists():
            write_model(original, name, SHAPES[name])
        if path != original:
            quantize(original, path, quantization)
    return path


def write_model(path: Path, name: str, shape: Shape, vocabulary: Vocabulary | None = None) -> None:
    """Write a GGUF in F16."""
    vocabulary = vocabulary or make_vocabulary(shape.n_text, shape.n_vocab)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, shape.architecture)
    writer.add_name(f"{name}, random weights")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_layer_norm_rms_eps(RMS_EPS)
    writer.add_vocab_size(shape.n_vocab)
    _add_tokenizer(writer, shape, vocabulary)
    for tensor_name, values in tensors(shape, vocabulary):
        # As llama.cpp's converters do it: matrices in F16, vectors in F32.
        writer.add_tensor(tensor_name, values.astype(np.float16) if values.ndim == 2 else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)


def quantize(original: Path, path: Path, quantization: str) -> None:
    """llama.cpp's own quantization, as `llama-quantize` does it."""
    unfinished = path.with_suffix(".part")
    quantized(QuantizeOrder(source=str(original), target=str(unfinished), file_type=quantization))
    unfinished.replace(path)


def _add_tokenizer(writer: gguf.GGUFWriter, shape: Shape, vocabulary: Vocabulary) -> None:
    types = np.full(shape.n_vocab, int(gguf.TokenType.NORMAL), np.int32)
    types[vocabulary.markup] = int(gguf.TokenType.CONTROL)
    types[vocabulary.padding] = int(gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(shape.pre_tokenizer)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(types.tolist())
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.end_of_text)
    writer.add_eos_token_id(vocabulary.end_of_turn)
    writer.add_pad_token_id(vocabulary.end_of_text)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)
