"""`paddock convert`: a checkpoint as Transformers or Meta saved it → a GGUF."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from server.commands.command import Command, CommandError
from server.commands.new_file import new_file
from server.commands.progress_bar import progress_bar

if TYPE_CHECKING:
    from backends.gguf.convert.conversion import Conversion

OUTTYPES = ("auto", "f32", "f16", "bf16", "q8_0")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SRC", help="folder of the checkpoint")
    add("out", metavar="OUT.gguf", help="file to write")
    add(
        "--outtype",
        choices=OUTTYPES,
        default="auto",
        help="type of the matrices (default: auto, as the checkpoint has them)",
    )
    add("--model-name", metavar="NAME", help="general.name (default: the model card's, or the folder's)")
    add("--dry-run", action="store_true", help="check everything, say what would be written, and write nothing")
    add("--force", action="store_true", help="overwrite OUT.gguf")
    add("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    source, out = Path(args.source).expanduser(), Path(args.out).expanduser()
    with conversion_errors():
        from backends.gguf.convert.conversion import Conversion

        conversion = Conversion(source, args.outtype, args.model_name)
        for note in conversion.notes:
            print(f"note: {note}", file=sys.stderr)
        if not args.dry_run:
            with (
                new_file(out, force=args.force) as place,
                progress_bar(f"{source.name} as {conversion.outtype}", "B") as report,
            ):
                conversion.write(place, report)
    _print(conversion, None if args.dry_run else out, as_json=args.json)
    return 0


@contextmanager
def conversion_errors() -> Iterator[None]:
    """What goes wrong in a conversion, as a command tells it."""
    try:
        from backends.gguf.convert.errors import ConvertError

        try:
            yield
        except ConvertError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            where = "" if error.filename is None else f"{error.filename}: "
            raise CommandError(f"{where}{error.strerror or error}") from None
    except ModuleNotFoundError as error:
        if error.name not in ("gguf", "sentencepiece"):
            raise
        raise CommandError(f"conversion needs the package {error.name}: pip install 'paddock[convert]'") from None


def _print(conversion: Conversion, out: Path | None, *, as_json: bool) -> None:
    model = conversion.model
    if as_json:
        result = {
            "file": None if out is None else str(out),
            "architecture": model.name,
            "type": conversion.outtype,
            "parameters": conversion.n_parameters,
            "tensors": len(conversion.tensors),
            "bytes": conversion.n_bytes,
            "context_length": model.n_ctx,
            "tokenizer": conversion.vocabulary.pre if conversion.vocabulary.model == "gpt2" else "sentencepiece",
            "notes": conversion.notes,
        }
        print(json.dumps(result, indent=2))
        return
    print(
        f"{model.name}, {conversion.n_parameters:,} parameters in {len(conversion.tensors)} tensors, "
        f"{conversion.outtype}: {conversion.n_bytes / 2**20:,.2f} MiB"
    )
    if out is not None:
        print(out)


COMMAND = Command(
    usage="SRC OUT.gguf [flags]",
    summary="make a GGUF of a Transformers or Meta checkpoint",
    description="SRC: its folder, with weights as safetensors, pytorch_model.bin or consolidated.00.pth. For the Llama "
    "family: Llama 2 and 3, Code Llama, Mistral, Qwen2 and Qwen3, TinyLlama and their likes.",
    epilog="Needs pip install 'paddock[convert]'; PyTorch too, for .bin and .pth files.",
    configure=configure,
    run=run,
    refused={"--outfile": "the file to write stands after SRC"},
)
