"""`paddock perplexity`: how well a model foresees a text."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from server.commands.command import Command, CommandError
from server.commands.model_file import model_file
from server.commands.progress_bar import progress_bar
from server.commands.whole_number import at_least
from server.config.context import CacheType
from server.config.setting import layers

if TYPE_CHECKING:
    from backends.llama_cpp.perplexity import Estimate, Perplexity

MIN_CTX = 8


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=argparse.SUPPRESS)
    add("text", metavar="TEXT", help=argparse.SUPPRESS)
    add("-c", "--ctx-size", type=at_least(MIN_CTX), default=512, metavar="N", help="tokens of a chunk (default: 512)")
    add("--chunks", type=at_least(1), default=-1, metavar="N", help="chunks of the text (default: all)")
    add("--kl", metavar="MODEL", help="compare with this model too, as the unquantized one: KL divergence")
    add(
        "-b",
        "--batch-size",
        type=at_least(1),
        default=2048,
        metavar="N",
        help="tokens of a step (default: 2048)",
    )
    add("-ub", "--ubatch-size", type=at_least(1), default=512, metavar="N", help="tokens at once (default: 512)")
    add("-t", "--threads", type=int, default=0, metavar="N", help="threads (default: the physical cores)")
    add(
        *("-ngl", "--gpu-layers", "--n-gpu-layers"),
        type=layers,
        default=-1,
        metavar="N",
        help="layers kept in GPU memory: a number, auto or all (default: auto)",
    )
    add("-fa", "--flash-attn", choices=("on", "off", "auto"), default="auto", help="flash attention (default: auto)")
    kinds = ", ".join(get_args(CacheType))
    for letter, part in (("k", "keys"), ("v", "values")):
        add(
            *(f"-ct{letter}", f"--cache-type-{letter}"),
            choices=get_args(CacheType),
            default="f16",
            metavar="TYPE",
            help=f"type of the KV cache's {part}: {kinds} (default: f16)",
        )
    add("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from backends.base import BackendError
    from backends.engine_options import EngineOptions
    from backends.llama_cpp.perplexity import PerplexityOrder, perplexity

    order = PerplexityOrder(
        options=EngineOptions(
            model_path=str(model_file(args.model)),
            n_ctx=args.ctx_size,
            n_parallel=1,
            n_batch=args.batch_size,
            n_ubatch=args.ubatch_size,
            n_threads=max(0, args.threads),
            n_gpu_layers=args.gpu_layers,
            flash_attn=args.flash_attn,
            cache_type_k=args.cache_type_k,
            cache_type_v=args.cache_type_v,
        ),
        text=_text(args.text),
        n_chunks=args.chunks,
        base_model=str(model_file(args.kl)) if args.kl is not None else None,
    )
    try:
        with progress_bar("perplexity", " tokens") as report:
            found = perplexity(order, report)
    except BackendError as error:
        raise CommandError(str(error)) from None
    print(json.dumps(_as_json(found), indent=2) if args.json else _as_text(found))
    return 0


def _text(name: str) -> bytes:
    """A file's bytes, or standard input's; without the newline at the end, as llama-perplexity reads it."""
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
        text.decode()
    except OSError as error:
        raise CommandError(f"cannot read {name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text (byte {error.start})") from None
    return text.removesuffix(b"\n")


def _as_text(found: Perplexity) -> str:
    lines = [
        f"perplexity {_shown(found.perplexity)}",
        f"{found.n_scored:,} tokens scored in {found.n_chunks} chunks of {found.n_ctx}, "
        f"{found.tokens_per_second:,.0f} tokens per second",
    ]
    if found.divergence is not None:
        against = found.divergence
        lines += [
            f"base model's perplexity {_shown(against.base_perplexity)}, ratio {_shown(against.ratio)}",
            f"KL divergence {_shown(against.kl)}, 99 % of tokens below {against.kl_99:.4f}",
            f"same most likely token: {against.same_top:.2%}",
        ]
    return "\n".join(lines)


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ± {estimate.error:.4f}"


def _as_json(found: Perplexity) -> dict[str, Any]:
    result: dict[str, Any] = {
        "perplexity": found.perplexity.value,
        "perplexity_error": found.perplexity.error,
        "chunks": found.n_chunks,
        "ctx_size": found.n_ctx,
        "tokens": found.n_tokens,
        "tokens_scored": found.n_scored,
        "tokens_per_second": found.tokens_per_second,
    }
    if found.divergence is not None:
        result |= {
            "base_perplexity": found.divergence.base_perplexity.value,
            "base_perplexity_error": found.divergence.base_perplexity.error,
            "perplexity_ratio": found.divergence.ratio.value,
            "perplexity_ratio_error": found.divergence.ratio.error,
            "kl_divergence": found.divergence.kl.value,
            "kl_divergence_error": found.divergence.kl.error,
            "kl_divergence_99": found.divergence.kl_99,
            "same_top": found.divergence.same_top,
        }
    return result


COMMAND = Command(
    usage="MODEL TEXT [flags]",
    summary="measure how well a model foresees a text",
    description="MODEL: a GGUF. TEXT: a file of UTF-8 text, or - for standard input. Numbers are those of llama.cpp's "
    "llama-perplexity: chunks of the context's length, each chunk's second half scored.",
    epilog="Perplexities compare only on the same text, with the same vocabulary and -c.",
    configure=configure,
    run=run,
)
