"""The command line's options."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from backends.llama_cpp.threads import default_threads
from server.commands.whole_number import at_least

from .loads import DEFAULT, LOADS
from .models.files import DEMO, FILE_TYPES
from .models.shapes import SHAPES

EPILOG = """\
commands:
  run        run loads and write the report (the default)
  sampling   compare the samplers, without a server, and add that to the report
  models     make the model file and say where it is
  client     measure what the client itself costs
  report     write table and plot again from the raw results
  loads      list the loads

The report is written to benchmarks/results/: NAME.md, NAME.svg, and the raw NAME.json, in which loads that are not run
again keep their results. Everything stays on this machine; servers listen at 127.0.0.1 and are stopped at the end.
"""


def option_parser() -> argparse.ArgumentParser:
    """What `python -m benchmarks` takes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Paddock and other servers side by side.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("command", nargs="?", default="run", choices=("run", "sampling", "models", "client", "report", "loads"))
    add(
        "--load",
        type=_loads,
        default=",".join(DEFAULT),
        help="loads, separated by commas, or all (default: %(default)s)",
    )
    add("--pairs", type=at_least(1), default=5, help="rounds of each load; 20 for ratios near 1 (default: %(default)s)")
    add("--name", help="of the report (default: the model's)")

    model = parser.add_argument_group("the model and the servers' settings, the same for all")
    add = model.add_argument
    add(
        "--model",
        type=_model,
        default="qwen2.5-0.5b",
        help=f"{', '.join(SHAPES)}, {DEMO}, or a GGUF (default: %(default)s)",
    )
    add("--quant", default="Q4_K_M", choices=sorted(FILE_TYPES), help="of the models made here (default: %(default)s)")
    add(
        "--threads",
        type=at_least(1),
        default=default_threads(),
        help="that compute (default: the physical cores, %(default)s)",
    )
    add("--parallel", type=at_least(0), default=0, help="sequences computed together (default: what the load needs)")
    add("--ctx", type=at_least(0), default=0, help="tokens of context in all (default: what the load needs)")

    peers = parser.add_argument_group("who is compared with this checkout's Paddock")
    add = peers.add_argument
    add("--llama-server", type=_program, metavar="PATH", help="llama.cpp's server")
    add("--llama-cpp-server", type=_program, metavar="PYTHON", help="an interpreter that has llama-cpp-python[server]")
    add("--example-server", type=existing_file, metavar="PATH", help="llama-cpp-python's examples/server/server.py")
    add("--example-python", type=_program, metavar="PYTHON", help="an interpreter that has what that needs")
    add("--llama-bench", type=_program, metavar="PATH", help="the limit of one stream")
    add("--llama-batched-bench", type=_program, metavar="PATH", help="the limit of many; without both: the bare engine")
    add("--paddock-args", default="", metavar="FLAGS", help="further flags of paddock serve, as one argument")
    add("--llama-server-args", default="", metavar="FLAGS", help="further flags of llama-server, as one argument")
    add("--no-limits", action="store_true", help="leave the limits out")

    bounds = parser.add_argument_group("bounds")
    add = bounds.add_argument
    add("--minutes", type=_positive, default=60, help="after which no round begins (default: %(default)s)")
    add("--run-seconds", type=_positive, default=600, help="that one server's turn may take (default: %(default)s)")

    arrivals = parser.add_argument_group("the load `arrivals` (default: measured on the first peer)")
    add = arrivals.add_argument
    add("--rate", type=_positive, default=0.0, metavar="R", help="requests per second")
    add("--ttft", type=_positive, default=0.0, metavar="SECONDS", help="to the first token, for a request to count")
    add("--gap", type=_positive, default=0.0, metavar="SECONDS", help="between tokens on average, likewise")
    return parser


# --- what options may be: wrong ones are refused before anything is started ---


def _loads(text: str) -> list[str]:
    names = list(LOADS) if text == "all" else text.split(",")
    for name in names:
        if name not in LOADS:
            raise argparse.ArgumentTypeError(f"unknown load {name!r}; there are {', '.join(LOADS)}")
    return names


def _model(text: str) -> str:
    if text not in SHAPES and text != DEMO and not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"no such file: {text!r}; made here: {', '.join(SHAPES)}, {DEMO}")
    return text


def _program(text: str) -> Path:
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"no such program: {text!r}")
    return Path(found)


def existing_file(text: str) -> Path:
    """A `type` of argparse."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"no such file: {text!r}")
    return Path(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return number
