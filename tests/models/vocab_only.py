"""GGUFs that hold a vocabulary and nothing else."""

from __future__ import annotations

from pathlib import Path

import gguf

from tests.models.vocab import bpe_vocab, spm_vocab


def write_bpe(path: Path, pre: str) -> Path:
    """A byte-level BPE vocabulary whose text is split by the pre-tokenizer that llama.cpp knows as `pre`."""
    return _write(path, pre, bpe=True)


def write_spm(path: Path) -> Path:
    """A SentencePiece vocabulary."""
    return _write(path, "default", bpe=False)


def _write(path: Path, pre: str, *, bpe: bool) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    vocab = bpe_vocab() if bpe else spm_vocab()
    writer.add_context_length(2048)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-6)
    vocab.write(writer, pre=pre, add_bos=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
