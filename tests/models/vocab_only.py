"""GGUFs that hold a vocabulary and nothing else, or not even that."""

from __future__ import annotations

from pathlib import Path

import gguf

from tests.models.vocab import Vocab, bpe_vocab, spm_vocab


def write_bpe(path: Path, pre: str) -> Path:
    """A byte-level BPE vocabulary whose text is split by the pre-tokenizer that llama.cpp knows as `pre`."""
    return _write(path, bpe_vocab(), pre)


def write_spm(path: Path) -> Path:
    """A SentencePiece vocabulary."""
    return _write(path, spm_vocab(), "default")


def write_none(path: Path) -> Path:
    """Says that its tokens are numbers."""
    return _write(path, None)


def _write(path: Path, vocab: Vocab | None, pre: str = "") -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-6)
    if vocab is None:
        writer.add_tokenizer_model("no_vocab")
        writer.add_vocab_size(100)
    else:
        vocab.write(writer, pre=pre, add_bos=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
