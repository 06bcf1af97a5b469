"""`paddock run`: flags and standard input; the answer is `server/terminal/one_shot.py`'s."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from server.command_line import UsageError
from server.commands.command import Command, CommandError
from server.terminal.target import add_target, connected


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("WORDS", nargs="*", metavar="MODEL", help=argparse.SUPPRESS)
    group = parser.add_argument_group("Request")
    group.add_argument("-p", "--prompt", metavar="TEXT", help="what to ask, without naming a model")
    group.add_argument("-sys", "--system-prompt", "--system", metavar="TEXT", default="", help="the system message")
    group.add_argument("--raw", action="store_true", help="continue the text as it is, without a chat template")
    group.add_argument(
        "-j", "--json-schema", metavar="FILE|JSON", help="the answer is JSON that this schema describes"
    )  # fmt: skip
    group.add_argument("--json", action="store_true", help="print the server's whole answer, at its end, as JSON")
    add_target(parser)


def run(args: argparse.Namespace) -> int:
    model, asked = _model_and_prompt(args)
    prompt = "\n\n".join(part for part in (asked, _standard_input()) if part)
    if not prompt:
        raise UsageError("nothing is asked: give a prompt, or text on standard input")
    if args.raw and args.system_prompt:
        raise UsageError("--raw continues a text: there is no system message in it")
    schema = None if args.json_schema is None else _schema(args.json_schema)
    with connected(args, model) as connection:
        from server.terminal.client import ServerError
        from server.terminal.one_shot import Request, answer, whole_answer
        from server.terminal.visible import take_any_text, visible

        take_any_text()
        request = Request(prompt, args.system_prompt, raw=args.raw, schema=schema, options=connection.options)
        try:
            if args.json:
                text = json.dumps(whole_answer(connection.client, request), ensure_ascii=False, indent=2)
                print(visible(text) if sys.stdout.isatty() else text)
            else:
                answer(connection.client, request)
        except ServerError as error:
            connection.check()
            raise CommandError(str(error)) from None
    return 0


def _model_and_prompt(args: argparse.Namespace) -> tuple[str | None, str]:
    """The first word is the model, unless -m, -p or --url say that it isn't."""
    words = list(args.WORDS)
    model = None
    if words and args.model is None and args.url is None and args.prompt is None:
        model = words.pop(0)
    if args.prompt is not None and len(words) > 0:
        raise UsageError("the prompt is there twice: as -p, and after it")
    return model, args.prompt if args.prompt is not None else " ".join(words)


def _standard_input() -> str:
    """Empty on a terminal: nobody is asked to type."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    try:
        return sys.stdin.buffer.read().decode().strip("\n")
    except UnicodeDecodeError:
        raise CommandError("what comes on standard input is no text in UTF-8") from None


def _schema(given: str) -> Any:
    try:
        text = given if given.lstrip().startswith("{") else Path(given).expanduser().read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read the schema {given}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the schema is no JSON: {error}") from None


COMMAND = Command(
    usage="[MODEL] [PROMPT] [flags]",
    summary="ask a model once, for pipes",
    description="MODEL: its file; PROMPT: the words after it. After -m or --url all words are the prompt. What comes "
    "on standard input is put below the prompt. The answer goes to standard output as it comes, and nothing else does. "
    "The model is served for this answer alone, with the flags and the environment of `paddock serve`.",
    configure=configure,
    run=run,
)
