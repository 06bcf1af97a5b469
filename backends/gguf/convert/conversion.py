"""A checkpoint → a GGUF, tensor by tensor: at no time is more than one in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

from .architecture import Architecture, read_architecture, refuse_quantized
from .checkpoint import open_checkpoint
from .encoding import OUTTYPES, auto_outtype, encoded, n_bytes, target_type
from .meta import joined, read_meta
from .metadata import read_metadata
from .stored_tensor import Array, StoredTensor
from .tensors import META, TRANSFORMERS, check_tensors, expected_shapes, gguf_name, n_rotated, name_map, pair_rows
from .tokenizer import read_vocabulary
from .vocabulary import Vocabulary

ROPE_FREQS = "rope_freqs.weight"


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the GGUF."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    chunks: Callable[[], Iterator[Array]]
    """Reads it, and converts it part by part."""

    @property
    def nbytes(self) -> int:
        return n_bytes(self.shape, self.type)

    def tofile(self, file: BinaryIO) -> None:
        """Write it. This and `nbytes` is all that the library's writer asks of an array."""
        for chunk in self.chunks():
            file.write(chunk.data)


class Conversion:
    """A checkpoint that is understood and checked, ready to be written. Raises ConvertError."""

    def __init__(self, folder: Path, outtype: str = "auto", model_name: str | None = None) -> None:
        checkpoint = open_checkpoint(folder)
        if checkpoint.is_meta:
            model = read_meta(folder, checkpoint.shards)
            stored, names = joined(checkpoint.shards, model), META
        else:
            refuse_quantized(folder)
            model = read_architecture(folder)
            stored, names = checkpoint.shards[0], TRANSFORMERS
        expected = expected_shapes(model, names)
        # Where embeddings are shared, Transformers doesn't read an output of its own.
        check_tensors(stored, expected, frozenset({f"{names['output']}.weight"}))
        self.model = model
        self.vocabulary: Vocabulary = read_vocabulary(folder, model.n_vocab, is_meta=checkpoint.is_meta)
        used = {name: stored[name] for name in expected}
        self.outtype = auto_outtype(used.values()) if outtype == "auto" else outtype
        self.tensors = list(_planned(used, model, OUTTYPES[self.outtype][0]))
        self.metadata, card_notes = read_metadata(folder, model_name, self.n_parameters)
        self.notes = [*model.notes, *model.rope.notes, *self.vocabulary.notes, *card_notes]

    @property
    def n_parameters(self) -> int:
        return sum(int(np.prod(tensor.shape)) for tensor in self.tensors if tensor.name != ROPE_FREQS)

    @property
    def n_bytes(self) -> int:
        """Of the tensors, which is nearly all of the file."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def write(self, path: Path, on_progress: Callable[[int, int], None]) -> None:
        """Write the GGUF. `on_progress`: is told how many bytes of all are written. Raises ConvertError, OSError."""
        writer = GGUFWriter(path, self.model.name)
        try:
            writer.add_type(gguf.GGUFType.MODEL)
            self.metadata.set_gguf_meta_model(writer)
            writer.add_file_type(OUTTYPES[self.outtype][1])
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
            self.model.write(writer)
            self.vocabulary.write(writer)
            write_tensors(writer, self.tensors, on_progress)
        finally:
            writer.close()


def write_tensors(
    writer: GGUFWriter, tensors: list[PlannedTensor], on_progress: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Header, keys and descriptions of all tensors, then the tensors one by one."""
    for tensor in tensors:
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.nbytes, raw_dtype=tensor.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    done, total = 0, sum(tensor.nbytes for tensor in tensors)
    for tensor in tensors:
        writer.write_tensor_data(cast("Any", tensor))
        done += tensor.nbytes
        on_progress(done, total)


def _planned(
    stored: dict[str, StoredTensor], model: Architecture, wanted: GGMLQuantizationType
) -> Iterator[PlannedTensor]:
    names = name_map(model)
    factors = model.rope.frequency_factors(model.head_dim)
    if factors is not None:
        yield PlannedTensor(ROPE_FREQS, factors.shape, GGMLQuantizationType.F32, lambda: iter([factors]))
    for name, tensor in stored.items():
        kind = target_type(tensor.shape, wanted)
        yield PlannedTensor(gguf_name(names, name), tensor.shape, kind, _reader(name, tensor, model, kind))


def _reader(
    name: str, tensor: StoredTensor, model: Architecture, kind: GGMLQuantizationType
) -> Callable[[], Iterator[Array]]:
    n_heads = n_rotated(model, name)

    def chunks() -> Iterator[Array]:
        values = tensor.load()
        if n_heads is not None:
            values = pair_rows(values, n_heads)
        return encoded(values, tensor.dtype, kind, name)

    return chunks
