"""`paddock inspect`: what a GGUF says of itself, and the memory that it would take."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from server.commands.command import Command, CommandError
from server.commands.model_file import model_file
from server.commands.whole_number import at_least
from server.config.context import CacheType, ContextSettings
from server.hub.name import HubAccess
from server.sizes import shown
from server.terminal.visible import visible

if TYPE_CHECKING:
    from backends.gguf.memory_need import MemoryNeed
    from backends.gguf.model_file import ModelFile
    from backends.gguf.summary import Summary

DEFAULTS = ContextSettings()
Rows = Iterable[tuple[str, object]]


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL", help=argparse.SUPPRESS)
    for flags, least, default, text in (
        ("-c --ctx-size", 0, 0, "tokens of context that memory is for (default: the model's own)"),
        ("-np --parallel", 1, DEFAULTS.parallel, "sequences that it is for (default: %(default)s)"),
        ("-ub --ubatch-size", 1, DEFAULTS.ubatch_size, "tokens that are computed at once (default: %(default)s)"),
    ):
        add(*flags.split(), type=at_least(least), default=default, metavar="N", help=text)
    kinds = get_args(CacheType)
    for flags, part in (("-ctk --cache-type-k", "keys"), ("-ctv --cache-type-v", "values")):
        text = f"type of the KV cache's {part}: {', '.join(kinds)} (default: f16)"
        add(*flags.split(), choices=kinds, default="f16", metavar="TYPE", help=text)
    add("-fa", "--flash-attn", choices=("on", "off", "auto"), default="auto", help="flash attention (default: auto)")
    add("--tensors", action="store_true", help="list every tensor")
    add("--metadata", action="store_true", help="list every key-value")
    add("--template", action="store_true", help="print the chat template, and nothing else")
    add("--json", action="store_true", help="print all of it as one JSON document")


def run(args: argparse.Namespace) -> int:
    from backends.gguf.byte_reader import GGUFError
    from backends.gguf.memory_need import ContextPlan, need_of
    from backends.gguf.model_file import read_model_file
    from backends.gguf.model_shape import model_shape
    from backends.gguf.summary import summarize

    path = model_file(args.model, HubAccess(offline=True))
    try:
        model = read_model_file(path)
        summary = summarize(model)
    except GGUFError as error:
        raise CommandError(f"{path}: {error}") from None
    if args.template:
        return _print_template(summary)
    need = None
    if summary.kind == "model" and (args.ctx_size > 0 or summary.shape.context_length):
        plan = ContextPlan(
            n_ctx=args.ctx_size or summary.shape.context_length or 0,
            n_parallel=args.parallel,
            n_ubatch=args.ubatch_size,
            type_k=args.cache_type_k,
            type_v=args.cache_type_v,
            flash_attn=args.flash_attn != "off",
        )
        need = need_of(model_shape(model), plan)
    if args.json:
        print(json.dumps(_document(model, summary, need, args), indent=2))
    else:
        _print(model, summary, need, args)
    return 0


def _print_template(summary: Summary) -> int:
    if summary.chat_template is None:
        raise CommandError(f"{summary.files[0]} has no chat template")
    template = summary.chat_template
    sys.stdout.write(visible(template) if sys.stdout.isatty() else template)
    return 0


# --- as JSON ---


def _document(
    model: ModelFile, summary: Summary, need: MemoryNeed | None, args: argparse.Namespace
) -> dict[str, object]:
    import msgspec

    document: dict[str, object] = {
        **msgspec.to_builtins(summary),
        "memory": need and {**msgspec.to_builtins(need), "total": need.total, "parallel": args.parallel},
        "metadata": {key: _plain(value) for key, value in model.header.values.items()},
    }
    if args.tensors:
        document["tensor_list"] = [
            {"name": tensor.name, "shape": tensor.shape, "type": tensor.type.name, "bytes": tensor.n_bytes}
            for tensor in model.tensors
        ]
    return document


def _plain(value: object) -> object:
    from backends.gguf.header import Array

    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)  # JSON has no such numbers
    if not isinstance(value, Array):
        return value
    return {"count": value.count} if value.items is None else [_plain(item) for item in value.items]


# --- as text ---


def _print(model: ModelFile, summary: Summary, need: MemoryNeed | None, args: argparse.Namespace) -> None:
    for title, rows in (
        ("", _file(summary)),
        ("Model", _model(summary)),
        ("Adapter", _adapter(summary)),
        ("Tokenizer", _tokenizer(summary)),
        ("Stored as", _stored(summary)),
        (f"Memory for {need.n_ctx} tokens" if need else "", _memory(need, args)),
        ("Metadata", [(key, _short(value)) for key, value in model.header.values.items()] if args.metadata else []),
        ("Tensors", _tensors(model) if args.tensors else []),
    ):
        rows = [(name, value) for name, value in rows if value is not None]
        if rows and title:
            print(f"\n{title}")
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            print(f"{'  ' if title else ''}{_safe(name):{width}}  {_safe(str(value))}")
    if summary.missing_bytes:
        print(f"{shown(summary.missing_bytes)} of the data are missing: the file is truncated", file=sys.stderr)


def _file(summary: Summary) -> Rows:
    from backends.gguf.kind import IN_WORDS

    parts = f" in {len(summary.files)} files" if len(summary.files) > 1 else ""
    order = "" if summary.byte_order == sys.byteorder else f", {summary.byte_order}-endian"
    yield "file", summary.files[0]
    yield "size", f"{shown(summary.size)}{parts}"
    yield "kind", f"{IN_WORDS[summary.kind]} (GGUF version {summary.gguf_version}{order})"


def _model(summary: Summary) -> Rows:
    shape, rope = summary.shape, summary.rope
    yield "architecture", summary.architecture or None
    yield "name", summary.name
    yield "license", summary.license
    yield "parameters", _count(summary.parameters) if summary.parameters else None
    if summary.tensors:
        yield "quantization", f"{summary.file_type} ({summary.bits_per_weight:.2f} bits per weight)"
    if summary.kind not in ("model", "vocabulary"):
        return
    yield "context", shape.context_length and f"{shape.context_length} tokens"
    yield "sliding window", shape.sliding_window and f"{shape.sliding_window} tokens"
    yield "layers", f"{shape.layers}" + (f", {shape.recurrent_layers} recurrent" if shape.recurrent_layers else "")
    yield "embedding", shape.embedding_length
    yield "heads", shape.heads and f"{shape.heads}, {shape.kv_heads} for keys and values, of {shape.key_length}"
    yield "feed forward", shape.feed_forward_length
    yield "experts", shape.experts and f"{shape.experts}, {shape.experts_used} used by a token"
    if rope is not None:
        scaled = f", {rope.scaling} scaling" if rope.scaling not in (None, "none") else ""
        factor = f" by {rope.scaling_factor:g}" if scaled and rope.scaling_factor else ""
        original = f" from {rope.original_context_length} tokens" if scaled and rope.original_context_length else ""
        base = f"base {rope.freq_base:g}" if rope.freq_base else "llama.cpp's base"
        yield "RoPE", f"{base}{scaled}{factor}{original}"
    if summary.kind == "model":
        template = summary.chat_template
        more = f"; others: {', '.join(summary.chat_templates)}" if summary.chat_templates else ""
        yield "chat template", "none" if template is None else f"{len(template)} characters (--template){more}"


def _adapter(summary: Summary) -> Rows:
    adapter = summary.adapter
    if adapter is None:
        return
    yield "rank", adapter.rank
    yield "alpha", adapter.alpha
    yield "changes", f"{adapter.pairs} tensors"
    yield "active", f"after {adapter.invocation_tokens} invocation tokens" if adapter.invocation_tokens else "always"


def _tokenizer(summary: Summary) -> Rows:
    tokenizer = summary.tokenizer
    if tokenizer is None:
        return
    yield "model", tokenizer.model + (f", {tokenizer.pre}" if tokenizer.pre else "")
    yield "size", f"{tokenizer.tokens} tokens" + (f", {tokenizer.merges} merges" if tokenizer.merges else "")
    added = [name for name, add in (("BOS", tokenizer.add_bos), ("EOS", tokenizer.add_eos)) if add]
    yield "adds", " and ".join(added) or None
    for name, token in tokenizer.special.items():
        yield name, f"{token.id}" if token.text is None else f"{token.id} {token.text}"


def _stored(summary: Summary) -> Rows:
    for kind in summary.types:
        yield kind.type, f"{kind.tensors} tensors, {_count(kind.parameters)} parameters, {shown(kind.bytes)}"


def _memory(need: MemoryNeed | None, args: argparse.Namespace) -> Rows:
    if need is None:
        return
    yield "weights", shown(need.weights)
    yield "KV cache", f"{shown(need.kv)} ({args.cache_type_k}/{args.cache_type_v}, {args.parallel} sequences)"
    yield "computing", f"about {shown(need.compute)}"
    yield "together", f"about {shown(need.total)}"


def _tensors(model: ModelFile) -> Rows:
    width = max((len(tensor.type.name) for tensor in model.tensors), default=0)
    for tensor in model.tensors:
        yield tensor.name, f"{tensor.type.name:{width}}  {' x '.join(map(str, tensor.shape))}"


def _short(value: object) -> str:
    from backends.gguf.header import Array

    if isinstance(value, Array):
        return f"{value.count} items" if value.items is None else str(list(value.items))
    text = str(value)
    return text if len(text) <= 100 else f"{text[:100]}… ({len(text)} characters)"


def _count(number: int) -> str:
    for limit, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}"
    return str(number)


def _safe(text: str) -> str:
    """Without what a terminal would obey: files say what they like."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


COMMAND = Command(
    usage="[MODEL] [flags]",
    summary="show what a model's file says, and the memory that it would take",
    description="Only the header is read. MODEL: a GGUF file, or a model that `paddock list` shows; of a split model, "
    "the first file; left out: the demo model.",
    configure=configure,
    run=run,
)
