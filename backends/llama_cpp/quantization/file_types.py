"""The types a whole file can be quantized to: llama.cpp's `llama_ftype`, by the names of llama-quantize."""

from __future__ import annotations

from dataclasses import dataclass

from backends.base import BackendError
from backends.gguf.tensor_types import FILE_TYPES, TENSOR_TYPES


class UnknownType(BackendError):
    """There is no such type; the message is one line."""


@dataclass(frozen=True)
class FileType:
    name: str
    number: int
    """Of `llama_ftype`."""
    bits: float
    """Per weight of Llama 3 8B, all tensors together: types are mixtures, which differ a little from model to model."""
    needs_imatrix: bool = False

    @property
    def copies(self) -> bool:
        """Whether tensors stay as they are."""
        return self.name == COPY


COPY = "COPY"
UNQUANTIZED = ("F32", "F16", "BF16")
NOT_MADE = "NVFP4"
"""llama.cpp runs files of it, but makes none."""
_NOT_STORED = {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64"}
"""Types of tensors that weights aren't quantized to."""
ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}

_NUMBERS = {name: number for number, name in FILE_TYPES.items()}
_BITS = {
    "Q1_0": 1.48, "IQ1_S": 2.00, "IQ1_M": 2.15, "TQ1_0": 2.19, "IQ2_XXS": 2.38, "TQ2_0": 2.52, "IQ2_XS": 2.59,
    "Q2_0": 2.68, "IQ2_S": 2.74, "IQ2_M": 2.93, "Q2_K_S": 2.97, "Q2_K": 3.16, "IQ3_XXS": 3.37, "IQ3_XS": 3.50,
    "Q3_K_S": 3.64, "IQ3_S": 3.66, "IQ3_M": 3.76, "Q3_K_M": 4.00, "Q3_K_L": 4.30, "IQ4_XS": 4.46, "Q4_0": 4.64,
    "Q4_K_S": 4.67, "IQ4_NL": 4.68, "Q4_K_M": 4.89, "Q4_1": 5.10, "Q5_0": 5.57, "Q5_K_S": 5.57, "Q5_K_M": 5.70,
    "Q5_1": 6.04, "Q6_K": 6.56, "Q8_0": 8.50, "MXFP4_MOE": 8.50, "F16": 16.00, "BF16": 16.00, "F32": 32.00,
}  # fmt: skip
"""From dry runs; a test repeats them."""
_NEED_IMATRIX = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "Q2_K_S"}

QUANTIZED_TYPES = {name: FileType(name, _NUMBERS[name], bits, name in _NEED_IMATRIX) for name, bits in _BITS.items()}
"""Every one that llama.cpp makes, the smallest first."""

TENSOR_TYPE_NUMBERS = {kind.name: n for n, kind in TENSOR_TYPES.items() if kind.name not in _NOT_STORED}
"""What a single tensor can be quantized to."""


def file_type(text: str) -> FileType:
    """The type that `text` names, in any case, or by its number. Raises UnknownType."""
    name = text.upper()
    if name == COPY:
        return FileType(COPY, _NUMBERS["F32"], 0.0)
    if name.isdecimal():
        name = FILE_TYPES.get(int(name), name)
    if name == NOT_MADE:
        raise UnknownType(f"llama.cpp runs files of {NOT_MADE}, but makes none")
    found = QUANTIZED_TYPES.get(ALIASES.get(name, name))
    if found is None:
        raise UnknownType(f"unknown type {text}; there are {', '.join(QUANTIZED_TYPES)}, COPY")
    return found


def tensor_type_number(text: str) -> int:
    """ggml's number of a tensor's type, named in any case. Raises UnknownType."""
    found = TENSOR_TYPE_NUMBERS.get(text.upper())
    if found is None:
        raise UnknownType(f"unknown type of tensors {text}; there are {', '.join(TENSOR_TYPE_NUMBERS)}")
    return found
