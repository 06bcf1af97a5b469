"""What a GGUF's header tells a user: the model, its vocabulary, how it is stored."""

from __future__ import annotations

from collections import Counter

import msgspec

from .header import Array, Header, read_strings
from .kind import Kind, kind_of
from .model_file import ModelFile
from .model_shape import ModelShape, model_shape
from .tensor_types import FILE_TYPES

TOKENIZER = "tokenizer.ggml"
TEMPLATE = "tokenizer.chat_template"
SPECIAL_TOKENS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
    "unknown": "unknown_token_id",
    "separator": "seperator_token_id",
    "padding": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
    "fim_prefix": "fim_pre_token_id",
    "fim_suffix": "fim_suf_token_id",
    "fim_middle": "fim_mid_token_id",
    "fim_pad": "fim_pad_token_id",
    "fim_repo": "fim_rep_token_id",
    "fim_separator": "fim_sep_token_id",
}
"""What they are for → the key, as it is spelled there."""


class StoredType(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors of one type."""

    type: str
    tensors: int
    parameters: int
    bytes: int


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes; None where the header doesn't tell, or there is nothing of that kind."""

    context_length: int | None
    layers: int
    embedding_length: int | None
    feed_forward_length: int | None
    heads: int | None
    kv_heads: int | None
    key_length: int | None
    value_length: int | None
    experts: int | None
    experts_used: int | None
    sliding_window: int | None
    recurrent_layers: int
    vocabulary: int | None


class Rope(msgspec.Struct, frozen=True, kw_only=True):
    dimensions: int | None
    freq_base: float | None
    scaling: str | None
    scaling_factor: float | None
    original_context_length: int | None


class SpecialToken(msgspec.Struct, frozen=True):
    id: int
    text: str | None


class Tokenizer(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    pre: str | None
    tokens: int
    merges: int
    special: dict[str, SpecialToken]
    add_bos: bool | None
    add_eos: bool | None


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """A LoRA adapter's own."""

    rank: int | None
    alpha: float | None
    pairs: int
    """Tensors of the model that it changes."""
    invocation_tokens: int
    """How many tokens activate it; 0: it is always active."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but the tensors themselves."""

    files: list[str]
    size: int
    """Bytes of the files as they are."""
    missing_bytes: int
    """What they lack; 0: nothing."""
    gguf_version: int
    byte_order: str
    kind: Kind
    architecture: str
    name: str | None
    license: str | None
    parameters: int
    tensors: int
    file_type: str
    bits_per_weight: float
    types: list[StoredType]
    """The one with the most bytes first."""
    shape: Architecture
    rope: Rope | None
    tokenizer: Tokenizer | None
    chat_template: str | None
    chat_templates: list[str]
    """Names of further ones."""
    adapter: Adapter | None


def summarize(model: ModelFile) -> Summary:
    """Raises GGUFError if special tokens can't be read."""
    header, kind = model.header, kind_of(model.header)
    parameters = sum(tensor.n_values for tensor in model.tensors)
    weights = sum(tensor.n_bytes for tensor in model.tensors)
    types = _types(model)
    return Summary(
        files=[str(part.path) for part in model.parts],
        size=model.file_size,
        missing_bytes=model.missing_bytes,
        gguf_version=header.version,
        byte_order=header.byte_order,
        kind=kind,
        architecture=header.architecture,
        name=header.text("general.name"),
        license=header.text("general.license"),
        parameters=parameters,
        tensors=len(model.tensors),
        file_type=_file_type(header, types),
        bits_per_weight=round(8 * weights / parameters, 2) if parameters else 0.0,
        types=types,
        shape=_architecture(header, model_shape(model)),
        rope=_rope(header),
        tokenizer=_tokenizer(header),
        chat_template=header.text(TEMPLATE),
        chat_templates=[key.removeprefix(f"{TEMPLATE}.") for key in header.values if key.startswith(f"{TEMPLATE}.")],
        adapter=_adapter(model) if kind == "adapter" else None,
    )


def _types(model: ModelFile) -> list[StoredType]:
    tensors, parameters, sizes = Counter[str](), Counter[str](), Counter[str]()
    for tensor in model.tensors:
        tensors[tensor.type.name] += 1
        parameters[tensor.type.name] += tensor.n_values
        sizes[tensor.type.name] += tensor.n_bytes
    return [
        StoredType(type=name, tensors=tensors[name], parameters=parameters[name], bytes=size)
        for name, size in sizes.most_common()
    ]


def _file_type(header: Header, types: list[StoredType]) -> str:
    """What the header says the file is, or else what most of it is."""
    number = header.integer("general.file_type")
    if number is None:
        return f"mostly {types[0].type}" if types else "no tensors"
    return FILE_TYPES.get(number, f"unknown ({number})")


def _architecture(header: Header, shape: ModelShape) -> Architecture:
    arch = header.architecture

    def most(key: str) -> int | None:
        """Headers say some sizes once, or for each layer: then the largest."""
        value = header.values.get(f"{arch}.{key}")
        if isinstance(value, Array):
            return max((item for item in value.items or () if isinstance(item, int)), default=None)
        return header.integer(f"{arch}.{key}")

    heads, embedding = most("attention.head_count"), most("embedding_length")
    head_size = embedding // heads if heads and embedding else None
    tokens = header.array(f"{TOKENIZER}.tokens")
    return Architecture(
        context_length=most("context_length"),
        layers=most("block_count") or len(shape.layers),
        embedding_length=embedding,
        feed_forward_length=most("feed_forward_length") or None,
        heads=heads or None,
        kv_heads=most("attention.head_count_kv") or heads or None,
        key_length=most("attention.key_length") or head_size,
        value_length=most("attention.value_length") or head_size,
        experts=most("expert_count") or None,
        experts_used=most("expert_used_count") or None,
        sliding_window=most("attention.sliding_window") or None,
        recurrent_layers=sum(1 for layer in shape.layers if layer.state),
        vocabulary=shape.n_vocab or (tokens.count if tokens else None),
    )


def _rope(header: Header) -> Rope | None:
    rope = f"{header.architecture}.rope"
    if not any(key.startswith(f"{rope}.") for key in header.values):
        return None
    return Rope(
        dimensions=header.integer(f"{rope}.dimension_count"),
        freq_base=header.number(f"{rope}.freq_base"),
        scaling=header.text(f"{rope}.scaling.type"),
        scaling_factor=header.number(f"{rope}.scaling.factor") or header.number(f"{rope}.scale_linear"),
        original_context_length=header.integer(f"{rope}.scaling.original_context_length"),
    )


def _tokenizer(header: Header) -> Tokenizer | None:
    model, tokens = header.text(f"{TOKENIZER}.model"), header.array(f"{TOKENIZER}.tokens")
    if model is None:
        return None
    ids = {name: header.integer(f"{TOKENIZER}.{key}") for name, key in SPECIAL_TOKENS.items()}
    known = {name: number for name, number in ids.items() if number is not None}
    texts = read_strings(header, f"{TOKENIZER}.tokens", set(known.values()))
    merges = header.array(f"{TOKENIZER}.merges")
    add_bos, add_eos = (header.values.get(f"{TOKENIZER}.add_{which}_token") for which in ("bos", "eos"))
    return Tokenizer(
        model=model,
        pre=header.text(f"{TOKENIZER}.pre"),
        tokens=tokens.count if tokens else 0,
        merges=merges.count if merges else 0,
        special={name: SpecialToken(number, texts.get(number)) for name, number in known.items()},
        add_bos=add_bos if isinstance(add_bos, bool) else None,
        add_eos=add_eos if isinstance(add_eos, bool) else None,
    )


def _adapter(model: ModelFile) -> Adapter:
    tokens = model.header.array("adapter.alora.invocation_tokens")
    downs = [tensor for tensor in model.tensors if tensor.name.endswith(".lora_a")]
    return Adapter(
        rank=max((tensor.shape[1] for tensor in downs if len(tensor.shape) > 1), default=None),
        alpha=model.header.number("adapter.lora.alpha"),
        pairs=len(downs),
        invocation_tokens=tokens.count if tokens else 0,
    )
