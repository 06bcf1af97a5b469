"""`paddock evaluate`: a model's answers against references."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from server.command_line import UsageError
from server.commands.command import Command, CommandError
from server.commands.new_file import new_file
from server.commands.progress_bar import progress_bar
from server.terminal.target import add_target, connected
from server.terminal.visible import visible

if TYPE_CHECKING:
    from server.evaluation.report import Evaluation
    from server.evaluation.rows import Answer, Row

SHOWN_ERRORS = 5
MAX_TOKENS = 512


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help=argparse.SUPPRESS)
    parser.add_argument("MODEL", nargs="?", help=argparse.SUPPRESS)
    add = parser.add_argument_group("Answers").add_argument
    add("--predictions", metavar="FILE", help="JSON lines that have them: prediction, and id if they aren't in order")
    add("-j", "--concurrency", type=int, default=8, metavar="N", help="requests at a time (default: 8)")
    add("-sys", "--system-prompt", "--system", metavar="TEXT", default="", help="the system message of every row")
    add("--raw", action="store_true", help="continue prompts as they are, without a chat template")
    add = parser.add_argument_group("Scores").add_argument
    add("--metrics", metavar="NAMES", help="of exact,rouge,bleu,chrf (default: all that are installed)")
    add("--normalize", action="store_true", help="exact match as SQuAD's: no case, punctuation, articles")
    add("--out", metavar="FILE", help="write each row's answer and scores, as JSON lines")
    add("--force", action="store_true", help="overwrite it")
    add("--json", action="store_true", help="print the result as JSON")
    add_target(parser)


def run(args: argparse.Namespace) -> int:
    from server.evaluation.metrics import metric
    from server.evaluation.report import Evaluation
    from server.evaluation.rows import BadData, read_predictions, read_rows

    if args.concurrency < 1:
        raise UsageError("--concurrency must be at least 1")
    if args.predictions is not None and (args.url is not None or args.MODEL is not None or args.model is not None):
        raise UsageError("--predictions has the answers already: no model is asked")
    metrics = [metric(name, normalize=args.normalize) for name in _metric_names(args.metrics)]
    try:
        rows = read_rows(args.data)
        predictions = read_predictions(args.predictions, rows) if args.predictions is not None else None
    except BadData as error:
        raise CommandError(str(error)) from None
    with new_file(Path(args.out), force=args.force) if args.out is not None else nullcontext() as out:
        evaluation = Evaluation(rows, _answers(args, rows, predictions), metrics)
        _tell_errors(evaluation)
        if out is not None:
            out.write_text("".join(line + "\n" for line in evaluation.lines()), encoding="utf-8")
        print(json.dumps(evaluation.document(), indent=2) if args.json else evaluation.table())
    return 0


def _metric_names(text: str | None) -> list[str]:
    from server.evaluation.metrics import EXTRA, METRICS, lacking

    if text is None:
        missing = lacking(METRICS)
        if missing:
            print(f"paddock evaluate: exact match only: {EXTRA} for ROUGE, BLEU and chrF", file=sys.stderr)
        return [name for name in METRICS if name not in missing]
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in METRICS:
            raise UsageError(f"there is no metric {name}; there are {', '.join(METRICS)}")
    if missing := lacking(names):
        raise CommandError(f"{', '.join(missing)}: {EXTRA}")
    return names


def _answers(args: argparse.Namespace, rows: list[Row], predictions: list[Answer] | None) -> list[Answer]:
    if predictions is not None:
        return predictions
    with connected(args, args.MODEL) as connection:
        from server.evaluation.answers import Asking

        asking = Asking(
            url=connection.client.url,
            api_key=connection.client.api_key,
            model=connection.client.model,
            concurrency=args.concurrency,
            fields=_fields(args) | connection.options,
            system=args.system_prompt,
            raw=args.raw,
        )
        with progress_bar("evaluate", " rows") as report:
            answers = asking.ask(rows, report)
        connection.check()
        return answers


def _fields(args: argparse.Namespace) -> dict[str, float]:
    """What requests say unless flags do: always the same answers, of a bounded length."""
    return {"max_tokens": MAX_TOKENS} | ({"temperature": 0.0} if args.temperature is None else {})


def _tell_errors(evaluation: Evaluation) -> None:
    """Raises CommandError if there is nothing but errors."""
    errors = evaluation.errors
    if len(errors) == len(evaluation.rows):
        raise CommandError(f"none of {len(errors)} rows was answered; row {errors[0][0].id}: {errors[0][1]}")
    for row, error in errors[:SHOWN_ERRORS]:
        print(visible(f"row {row.id}: {error}"), file=sys.stderr)
    if len(errors) > SHOWN_ERRORS:
        print(f"and {len(errors) - SHOWN_ERRORS} more rows that weren't answered", file=sys.stderr)


COMMAND = Command(
    usage="DATA [MODEL] [flags]",
    summary="compare answers with references: exact match, ROUGE, BLEU, chrF",
    description="DATA: JSON lines with prompt (or messages) and reference (text or a list), or - for standard input. "
    "MODEL: its file; left out: the demo model. It is served for this alone, unless --url or --predictions is given. "
    f"Answers are greedy and have at most {MAX_TOKENS} tokens, unless --temp and -n say otherwise.",
    epilog="ROUGE, BLEU and chrF: pip install 'paddock[evaluate]'.",
    configure=configure,
    run=run,
)
