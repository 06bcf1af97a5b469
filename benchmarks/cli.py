"""The commands: run loads, make models, measure the samplers or the client, write the report again."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import FrameType

from backends.base import BackendError
from backends.llama_cpp.vocab import Vocabulary

from . import client_cost, machine
from .compare import Plan, compare
from .limits import BareEngine, LimitProgram, LlamaBatchedBench, LlamaBench
from .loads import LOADS
from .loads.arrivals import Arrivals, LatencyTarget
from .loads.base import Load
from .models.files import DEMO, model_file
from .models.shapes import SHAPES
from .options import option_parser
from .peers import ExampleServer, LlamaCppServer, LlamaServer, Paddock, Peer, Setup
from .progress import Progress
from .results import OURS, Results
from .sampling import compare_samplers
from .table import markdown

RESULTS = Path(__file__).parent / "results"
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # they stop its servers too
        signal.signal(number, _as_ctrl_c)
    options = option_parser().parse_args(arguments)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "run": _run,
        "sampling": _sampling,
        "models": _models,
        "client": _client,
        "report": _report,
        "loads": _loads,
    }
    try:
        return commands[options.command](options)
    except BackendError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        return INTERRUPTED


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """asyncio takes Ctrl-C itself, so that no task is torn."""
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(number, frame)


def _run(options: argparse.Namespace) -> int:
    """0 if Paddock has figures for every load that there was time for."""
    chosen = _chosen_loads(options)
    path = model_file(options.model, options.quant)
    vocabulary = Vocabulary(str(path))
    made_here = options.model in SHAPES
    loads = [load for load in chosen if not (load.trained and made_here)]
    for load in chosen:
        if load not in loads:
            print(f"{load.name}: left out, it needs a trained model (--model {DEMO})", file=sys.stderr)
    plan = Plan(
        servers=_peers(options),
        limits=[] if options.no_limits else _limits(options),
        setup=Setup(
            model=path,
            threads=options.threads,
            parallel=options.parallel,
            ctx=options.ctx,
            ends=() if made_here else tuple(sorted(vocabulary.info().eog_tokens)),
        ),
        count=lambda text: len(vocabulary.tokenize(text.encode(), add_special=False, parse_special=False)),
        n_pairs=options.pairs,
        run_seconds=options.run_seconds,
        deadline=monotonic() + 60 * options.minutes,
    )
    progress = Progress(sum(plan.n_turns(load) for load in loads))
    results = _results(options)
    status = 0
    try:
        for load in loads:
            comparison = asyncio.run(compare(load, plan, progress)) if monotonic() < plan.deadline else None
            if comparison is None or not comparison.rounds:  # what an earlier invocation found stays
                print(f"{load.name}: left out, the {options.minutes:g} minutes are over", file=sys.stderr)
                continue
            comparison.settings |= _told(options)
            results.comparisons[load.name] = comparison
            results.save(_file(options, "json"))
            if OURS not in comparison.contestants:
                status = 1
    except KeyboardInterrupt:
        print("\nInterrupted: only loads that were done by then have new figures.", file=sys.stderr)
        status = INTERRUPTED
    finally:
        progress.close()
    if results.comparisons:
        _report(options)
    return status


def _sampling(options: argparse.Namespace) -> int:
    setup = Setup(model_file(options.model, options.quant), options.threads, parallel=1, ctx=512)
    results = _results(options)
    comparison = compare_samplers(setup, options.pairs)
    comparison.settings |= _told(options)
    results.comparisons["sampling"] = comparison
    results.save(_file(options, "json"))
    return _report(options)


def _models(options: argparse.Namespace) -> int:
    print(model_file(options.model, options.quant))
    return 0


def _client(options: argparse.Namespace) -> int:
    cost = client_cost.measure()
    print(f"receiving: {cost.receiving:.1f} µs per chunk; reading afterwards: {cost.reading:.1f} µs")
    return 0


def _report(options: argparse.Namespace) -> int:
    results = _results(options)
    if not results.comparisons:
        raise SystemExit(f"no results at {_file(options, 'json')}")
    text = markdown(results)
    _file(options, "md").write_text(text)
    print(text)
    if importlib.util.find_spec("matplotlib"):
        from .plot import plot

        plot(results, _file(options, "svg"))
    else:
        print("No plot: matplotlib isn't installed (make bench installs it).", file=sys.stderr)
    return 0


def _loads(options: argparse.Namespace) -> int:
    for load in LOADS.values():
        print(f"{load.name:12} {load.what}")
    return 0


def _chosen_loads(options: argparse.Namespace) -> list[Load]:
    loads = [LOADS[name] for name in options.load]
    target = LatencyTarget(options.ttft, options.gap)
    return [replace(load, rate=options.rate, target=target) if isinstance(load, Arrivals) else load for load in loads]


def _peers(options: argparse.Namespace) -> list[Peer]:
    peers: list[Peer] = [Paddock(shlex.split(options.paddock_args))]
    if options.llama_server:
        peers.append(LlamaServer(options.llama_server, shlex.split(options.llama_server_args)))
    if options.llama_cpp_server:
        peers.append(LlamaCppServer(options.llama_cpp_server))
    if options.example_server:
        peers.append(ExampleServer(options.example_python or Path(sys.executable), options.example_server))
    return peers


def _limits(options: argparse.Namespace) -> list[LimitProgram]:
    limits: list[LimitProgram] = []
    if options.llama_bench:
        limits.append(LlamaBench(options.llama_bench))
    if options.llama_batched_bench:
        limits.append(LlamaBatchedBench(options.llama_batched_bench))
    return limits or [BareEngine()]


def _results(options: argparse.Namespace) -> Results:
    """Those of earlier invocations, or none."""
    file = _file(options, "json")
    results = Results.load(file) if file.exists() else Results(_model_name(options))
    if options.command != "report":
        if results.model != _model_name(options):
            raise SystemExit(f"{file} holds results of {results.model}: give --name another name")
        results.machine = machine.describe()
    return results


def _told(options: argparse.Namespace) -> dict[str, str]:
    """What was compared, to be kept with the figures: other loads of the same report may have been run otherwise."""
    told = {"paddock": machine.checkout()}
    if options.paddock_args:
        told["its flags"] = f"`{options.paddock_args}`"
    if options.llama_server:
        told["llama-server"] = machine.version_of(options.llama_server)
        if options.llama_server_args:
            told["its further flags"] = f"`{options.llama_server_args}`"
    return told


def _model_name(options: argparse.Namespace) -> str:
    return f"{options.model} {options.quant}" if options.model in SHAPES else Path(options.model).stem


def _file(options: argparse.Namespace, suffix: str) -> Path:
    return RESULTS / f"{options.name or _model_name(options).replace(' ', '-')}.{suffix}"
