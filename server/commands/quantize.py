"""`paddock quantize`: a GGUF in a smaller type."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.gguf.file_name import model_stem, part_name, split_name
from server.command_line import UsageError
from server.commands.command import Command, CommandError
from server.commands.model_file import model_file
from server.commands.new_file import new_file
from server.commands.new_files import new_files
from server.commands.progress_bar import progress_bar

if TYPE_CHECKING:
    from backends.llama_cpp.quantization.order import Quantized


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("words", nargs="+", metavar="IN [OUT] TYPE", help=argparse.SUPPRESS)
    add("--types", action=_ListTypes, nargs=0, help="print every type with its bits per weight, and exit")
    add("--imatrix", metavar="FILE", help="importance matrix of llama-imatrix: GGUF, or the older .dat")
    add("--allow-requantize", action="store_true", help="take tensors that are quantized already; loses quality")
    add("--leave-output-tensor", action="store_true", help="leave output.weight as it is")
    add("--pure", action="store_true", help="one type for all tensors, instead of a mixture")
    add("--output-tensor-type", metavar="TYPE", help="type of output.weight")
    add("--token-embedding-type", metavar="TYPE", help="type of the token embeddings")
    add(
        "--tensor-type",
        metavar="REGEX=TYPE",
        action="append",
        default=[],
        help="type of the tensors whose names the expression is found in, as attn_v=q8_0; may be repeated",
    )
    add("--keep-split", action="store_true", help="write as many files as a split input has")
    add("-t", "--threads", type=int, default=0, metavar="N", help="threads (default: the physical cores)")
    add(
        "--dry-run",
        action="store_true",
        help="say what would become of the tensors, and how large it would be",
    )
    add("--force", action="store_true", help="overwrite OUT")
    add("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from backends.base import BackendError
    from backends.llama_cpp.quantization.file_types import UnknownType, file_type, tensor_type_number
    from backends.llama_cpp.quantization.order import QuantizeOrder
    from backends.llama_cpp.quantization.quantize import quantize

    source, out, type_name = _positionals(args.words)
    tensor_types = [_tensor_type(text) for text in args.tensor_type]
    try:
        kind = file_type(type_name)
        for name in (args.output_tensor_type, args.token_embedding_type, *(name for _, name in tensor_types)):
            if name is not None:
                tensor_type_number(name)
    except UnknownType as error:
        raise UsageError(f"{error} (paddock quantize --types says more)") from None
    parts = _n_parts(source)
    if args.keep_split and parts == 1:
        raise CommandError(f"{source} is not split: --keep-split is for inputs like model-00001-of-00003.gguf")
    target = Path(out).expanduser() if out is not None else _folder(args.words[0]) / derived_name(source, kind.name)
    if target.exists() and target.samefile(source):
        raise CommandError(f"{target} is the input: name another file to write to")
    with _target(args, target, parts) as (place, files):
        order = QuantizeOrder(
            source=str(source),
            target=str(place),
            file_type=kind.name,
            imatrix=args.imatrix,
            allow_requantize=args.allow_requantize,
            leave_output_tensor=args.leave_output_tensor,
            pure=args.pure,
            output_tensor_type=args.output_tensor_type,
            token_embedding_type=args.token_embedding_type,
            tensor_types=tuple(tensor_types),
            keep_split=args.keep_split,
            dry_run=args.dry_run,
            threads=max(0, args.threads),
        )
        try:
            with progress_bar(f"{source.name} as {kind.name}", "B") as report:
                done = quantize(order, report)
        except BackendError as error:
            raise CommandError(str(error)) from None
    _print_json(done, files) if args.json else _print_table(done, files)
    return 0


class _ListTypes(argparse.Action):
    """`--types`, which like `--help` needs nothing beside it."""

    def __call__(self, *_: object) -> None:
        from backends.llama_cpp.quantization.file_types import ALIASES, NOT_MADE, QUANTIZED_TYPES

        aliases = {name: alias for alias, name in ALIASES.items()}
        print("type       bits per weight, of Llama 3 8B")
        for kind in QUANTIZED_TYPES.values():
            notes = [f"also {aliases[kind.name]}"] if kind.name in aliases else []
            notes += ["needs --imatrix"] if kind.needs_imatrix else []
            print(f"{kind.name:10} {kind.bits:5.2f}  {'; '.join(notes)}".rstrip())
        print(f"COPY              tensors as they are\n{NOT_MADE} can be run, but not made.")
        raise SystemExit(0)


def derived_name(source: Path, type_name: str) -> str:
    """The input's name, ending in the type instead of the one that it ends in."""
    from backends.llama_cpp.quantization.file_types import ALIASES, QUANTIZED_TYPES

    known = "|".join((*QUANTIZED_TYPES, *ALIASES))
    stem = re.sub(rf"[-.]({known})$", "", model_stem(source.name), flags=re.IGNORECASE)
    return f"{stem}-{type_name}.gguf"


def _folder(name: str) -> Path:
    """Where an output goes that isn't named: beside the input; here, if that is in the Hub's cache."""
    path = Path(name).expanduser()
    return path.parent if path.exists() else Path()


def _positionals(words: list[str]) -> tuple[Path, str | None, str]:
    if not 2 <= len(words) <= 3:
        raise UsageError("give the input, then the output if it is to have a name of its own, then the type")
    return model_file(words[0]), words[1] if len(words) == 3 else None, words[-1]


def _tensor_type(text: str) -> tuple[str, str]:
    pattern, equals, name = text.rpartition("=")
    if not pattern or not equals or not name:
        raise UsageError(f"--tensor-type must be REGEX=TYPE, not {text!r}")
    return pattern, name


def _n_parts(source: Path) -> int:
    part = split_name(source.name)
    if part is not None and part.number != 1:
        raise CommandError(f"{source} is a part of a split model: name the first, {part_name('…', 1, part.count)}")
    return 1 if part is None else part.count


@contextmanager
def _target(args: argparse.Namespace, target: Path, parts: int) -> Iterator[tuple[Path, list[Path]]]:
    """Where llama.cpp is to write, and the files that there are in the end."""
    if args.dry_run:
        yield target, []
    elif args.keep_split:
        prefix = target.with_name(target.name.removesuffix(".gguf"))
        files = [prefix.with_name(part_name(prefix.name, i, parts)) for i in range(1, parts + 1)]
        with new_files(files, force=args.force) as folder:
            yield folder / prefix.name, files
    else:
        with new_file(target, force=args.force) as place:
            yield place, [target]


def _print_json(done: Quantized, files: list[Path]) -> None:
    tensors: list[dict[str, Any]] = [
        {
            "name": tensor.name,
            "shape": tensor.shape,
            "from": tensor.source_type,
            "to": tensor.target_type,
            "bytes": tensor.target_bytes,
        }
        for tensor in done.tensors
    ]
    result = {
        "type": done.file_type,
        "files": [str(path) for path in files],
        "bytes_before": done.source_bytes,
        "bytes": done.target_bytes,
        "bits_per_weight": round(done.bits_per_weight, 4),
        "needs_imatrix": done.needs_imatrix,
        "seconds": round(done.seconds, 3),
        "tensors": tensors,
    }
    print(json.dumps(result, indent=2))


def _print_table(done: Quantized, files: list[Path]) -> None:
    print(f"{'from':8} {'to':8} {'tensors':>7} {'MiB before':>12} {'MiB':>12}")
    for source, target in sorted({(t.source_type, t.target_type) for t in done.tensors}):
        rows = [t for t in done.tensors if (t.source_type, t.target_type) == (source, target)]
        before, after = (sum(sizes) for sizes in zip(*((t.source_bytes, t.target_bytes) for t in rows), strict=True))
        print(f"{source:8} {target:8} {len(rows):7} {before / 2**20:12,.2f} {after / 2**20:12,.2f}")
    print(
        f"{done.file_type}: {done.target_bytes / 2**20:,.2f} MiB instead of {done.source_bytes / 2**20:,.2f}, "
        f"{done.bits_per_weight:.2f} bits per weight"
    )
    fallbacks = [tensor for tensor in done.tensors if tensor.fallback]
    if fallbacks:
        print(f"{len(fallbacks)} tensors have rows that don't fill the type's blocks: they get another type")
    if done.needs_imatrix:
        print("needs an importance matrix: it can't be made without --imatrix", file=sys.stderr)
    for path in files:
        print(path)


COMMAND = Command(
    usage="IN [OUT] TYPE [flags]",
    summary="make a GGUF smaller: quantize it",
    description="IN: a GGUF in F32, F16 or BF16, or the first part of a split one. OUT left out: beside it, named "
    "after TYPE. TYPE: one of --types, as Q4_K_M.",
    epilog="Some small types need an importance matrix: see --types. docs/quantize.md shows what the types cost.",
    configure=configure,
    run=run,
)
