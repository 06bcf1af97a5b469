"""What quantizing a model costs and saves: size, speed and perplexity of one model in several types.

    python -m benchmarks.quantizations model-F16.gguf text.txt --types Q2_K,Q4_K_M,Q8_0 --plot quantizations.svg

Makes the types, measures each, and prints a table. Speeds are medians over rounds, in each of which every type has its
turn, so that what else the machine does meets them alike. Without a text: size and speed only.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

import msgspec

from backends.base import BackendError, GenerateRequest, SamplingParams, TokenChunk
from backends.engine_options import EngineOptions
from backends.llama_cpp.client import LlamaCppBackend
from backends.llama_cpp.perplexity import Perplexity, PerplexityOrder, perplexity
from backends.llama_cpp.quantization.file_types import UnknownType, file_type
from backends.llama_cpp.quantization.order import QuantizeOrder
from backends.llama_cpp.quantization.quantize import quantize
from backends.llama_cpp.threads import default_threads
from server.commands.whole_number import at_least

from .machine import describe
from .options import existing_file
from .progress import Progress

TYPES = "Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K"
COLUMNS = ("type", "bits per weight", "MiB", "prompt tok/s", "decode tok/s")
QUALITY_COLUMNS = ("perplexity", "ratio", "KL divergence", "same top token")
"""With a text."""


class Made(msgspec.Struct):
    """One type of the model. Without a text there is no `quality`, and the original doesn't diverge from itself."""

    name: str
    path: str
    bits: float
    n_bytes: int
    prompt_speeds: list[float] = []
    """Tokens per second, of each round."""
    decode_speeds: list[float] = []
    quality: Perplexity | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _parser().parse_args(arguments)
    names = options.types
    with tempfile.TemporaryDirectory(prefix="paddock-quantizations-", dir=options.folder) as folder:
        steps = (len(names) + 1) * (options.rounds + (1 if options.text else 0)) + len(names)
        progress = Progress(steps)
        try:
            models = [_original(options)]
            for name in names:
                progress.show(f"making {name}")
                models.append(_make(options, name, Path(folder)))
                progress.step()
            _measure(options, models, progress)
        except BackendError as error:
            raise SystemExit(str(error)) from None
        finally:
            progress.close()
    print(table(models))
    print(f"\n{_conditions(options)}")
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(models)))
    if options.plot is not None:
        if importlib.util.find_spec("matplotlib") is None:
            print("No plot: matplotlib isn't installed (make bench installs it).", file=sys.stderr)
            return 1
        from .quantization_plot import plot

        plot(models, options.plot)
    return 0


def table(models: Sequence[Made]) -> str:
    """In Markdown."""
    columns = COLUMNS + (QUALITY_COLUMNS if models[0].quality is not None else ())
    rows = [columns, ("---", *["---:"] * (len(columns) - 1)), *map(_cells, models)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _cells(made: Made) -> tuple[str, ...]:
    size = f"{made.bits:.2f}", f"{made.n_bytes / 2**20:,.1f}"
    speeds = _speed(made.prompt_speeds), _speed(made.decode_speeds)
    if made.quality is None:
        return (made.name, *size, *speeds)
    found, against = made.quality.perplexity, made.quality.divergence
    quality = (
        f"{found.value:.3f} ± {found.error:.3f}",
        f"{against.ratio.value:.4f} ± {against.ratio.error:.4f}" if against else "",
        f"{against.kl.value:.4f} ± {against.kl.error:.4f}" if against else "",
        f"{against.same_top:.1%}" if against else "",
    )
    return (made.name, *size, *speeds, *quality)


def _speed(measured: Sequence[float]) -> str:
    middle = median(measured)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantizations", description=__doc__)
    add = parser.add_argument
    add("model", type=Path, help="a GGUF in F16, BF16 or F32")
    add("text", type=existing_file, nargs="?", help="a file of UTF-8 text to measure perplexity on")
    add("--types", type=_types, default=TYPES, help="separated by commas (default: %(default)s)")
    add("--imatrix", metavar="FILE", help="importance matrix, for all types")
    add("--ctx-size", type=int, default=512, help="of perplexity's chunks (default: %(default)s)")
    add("--chunks", type=int, default=-1, help="of the text (default: all)")
    add("--rounds", type=at_least(1), default=5, help="of the speeds (default: %(default)s)")
    add("--prompt", type=at_least(1), default=512, help="tokens of the prompt (default: %(default)s)")
    add("--generate", type=at_least(2), default=64, help="tokens generated (default: %(default)s)")
    add("--threads", type=at_least(1), default=default_threads(), help="default: the physical cores, %(default)s")
    add("--gpu-layers", type=int, default=-1, help="layers in GPU memory (default: all)")
    add("--folder", type=Path, help="where the types are made, and removed at the end (default: for temporary files)")
    add("--plot", type=Path, metavar="FILE", help="draw the results: .svg or .png")
    add("--json", type=Path, metavar="FILE", help="write them")
    return parser


def _types(text: str) -> list[str]:
    try:
        return [file_type(name).name for name in text.split(",")]
    except UnknownType as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _original(options: argparse.Namespace) -> Made:
    copy = quantize(QuantizeOrder(source=str(options.model), target="", file_type="COPY", dry_run=True))
    kinds = [tensor.source_type for tensor in copy.tensors if len(tensor.shape) > 1 and tensor.shape[1] > 1]
    name = max(set(kinds), key=kinds.count)
    return Made(name, str(options.model), copy.bits_per_weight, copy.target_bytes)


def _make(options: argparse.Namespace, name: str, folder: Path) -> Made:
    path = folder / f"{name}.gguf"
    done = quantize(
        QuantizeOrder(
            source=str(options.model),
            target=str(path),
            file_type=name,
            imatrix=options.imatrix,
            threads=options.threads,
        )
    )
    return Made(name, str(path), done.bits_per_weight, done.target_bytes)


def _measure(options: argparse.Namespace, models: Sequence[Made], progress: Progress) -> None:
    for made in models if options.text else ():
        progress.show(f"perplexity of {made.name}")
        made.quality = _quality(options, made, None if made is models[0] else models[0].path)
        progress.step()
    for turn in range(options.rounds):
        for made in models:
            progress.show(f"speed of {made.name}")
            prompt, decode = asyncio.run(_speeds(options, made, turn))
            made.prompt_speeds.append(prompt)
            made.decode_speeds.append(decode)
            progress.step()


def _quality(options: argparse.Namespace, made: Made, base: str | None) -> Perplexity:
    engine = EngineOptions(
        model_path=made.path,
        n_ctx=options.ctx_size,
        n_parallel=1,
        n_threads=options.threads,
        n_gpu_layers=options.gpu_layers,
    )
    text = options.text.read_bytes().removesuffix(b"\n")
    return perplexity(PerplexityOrder(options=engine, text=text, n_chunks=options.chunks, base_model=base))


async def _speeds(options: argparse.Namespace, made: Made, turn: int) -> tuple[float, float]:
    """Tokens per second of a prompt, and of decoding after it, by the engine without HTTP."""
    backend = LlamaCppBackend(
        EngineOptions(
            model_path=made.path,
            n_ctx=2 * (options.prompt + options.generate),
            n_parallel=1,
            n_threads=options.threads,
            n_gpu_layers=options.gpu_layers,
            speculation=(),
        )
    )
    await backend.start()
    try:
        await _run(backend, options.prompt, 2, f"warm-up {turn}")
        first, rest = await _run(backend, options.prompt, options.generate, f"run {turn}")
    finally:
        await backend.stop()
    return options.prompt / first, (options.generate - 1) / rest


async def _run(backend: LlamaCppBackend, n_prompt: int, n_generate: int, name: str) -> tuple[float, float]:
    """Seconds to the first token, and from it to the last."""
    random = Random(name)
    request = GenerateRequest(
        id=name,
        prompt=[random.randrange(backend.model.n_vocab // 2) for _ in range(n_prompt)],
        max_tokens=n_generate,
        sampling=SamplingParams(temperature=0, ignore_eos=True),
        cache_prompt=False,
    )
    began = perf_counter()
    times = [perf_counter() async for event in backend.generate(request) if isinstance(event, TokenChunk)]
    return times[0] - began, times[-1] - times[0]


def _conditions(options: argparse.Namespace) -> str:
    machine = describe()
    found = [
        f"{options.threads} threads" if options.threads > 1 else "1 thread",
        f"prompts of {options.prompt} tokens, {options.generate} generated, medians of {options.rounds}",
        machine["processor"],
        f"llama.cpp {machine['llama.cpp in paddock']}",
    ]
    if options.text:
        found.insert(
            2, f"perplexity in chunks of {options.ctx_size} tokens, ± standard error; ratio to the first row's"
        )
    return "; ".join(found) + "."


if __name__ == "__main__":
    sys.exit(main())
