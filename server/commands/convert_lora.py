"""`paddock convert-lora`: a LoRA adapter as PEFT saved it → a GGUF adapter."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from server.commands.command import Command
from server.commands.convert import conversion_errors
from server.commands.new_file import new_file


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="PEFT_DIR", help="folder of the adapter")
    add("out", metavar="OUT.gguf", help="file to write")
    add("--base", metavar="SRC", help="folder of the base model; only its config.json is read (default: as PEFT noted)")
    add("--outtype", choices=("f32", "f16", "bf16", "q8_0"), default="f32", help="type of the matrices (default: f32)")
    add("--force", action="store_true", help="overwrite OUT.gguf")
    add("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    source, out = Path(args.source).expanduser(), Path(args.out).expanduser()
    base = None if args.base is None else Path(args.base).expanduser()
    with conversion_errors():
        from backends.gguf.convert.lora import LoraConversion

        conversion = LoraConversion(source, base, args.outtype)
        with new_file(out, force=args.force) as place:
            conversion.write(place)
    if args.json:
        result = {
            "file": str(out),
            "architecture": conversion.model.name,
            "modules": conversion.n_modules,
            "bytes": conversion.n_bytes,
            "alpha": conversion.alpha,
            "rank": conversion.config.r,
            "invocation_tokens": conversion.config.alora_invocation_tokens,
        }
        print(json.dumps(result, indent=2))
        return 0
    kind = "activated LoRA" if conversion.config.alora_invocation_tokens else "LoRA"
    print(
        f"{kind} for {conversion.model.name}, {conversion.n_modules} modules, rank {conversion.config.r}: "
        f"{conversion.n_bytes / 2**20:,.2f} MiB"
    )
    print(out)
    return 0


COMMAND = Command(
    usage="PEFT_DIR OUT.gguf [flags]",
    summary="make a GGUF adapter of PEFT's LoRA",
    description="PEFT_DIR: the folder with adapter_config.json.",
    epilog="Needs pip install 'paddock[convert]'; PyTorch too, for adapter_model.bin.",
    configure=configure,
    run=run,
)
