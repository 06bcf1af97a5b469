"""`paddock rm`: a model out of the Hugging Face Hub's cache on this machine."""

from __future__ import annotations

import argparse
import sys

from server.command_line import UsageError
from server.commands.command import Command, CommandError
from server.commands.hub_name import hub_name
from server.hub.name import HubError
from server.sizes import shown


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="REPO[@REVISION][:QUANT]", help="as paddock list shows it")
    parser.add_argument("-y", "--yes", action="store_true", help="don't ask")


def run(args: argparse.Namespace) -> int:
    name = hub_name(args.name)
    if not args.yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at: --yes removes without asking")
    from server.hub.remove import plan  # huggingface_hub takes half a second

    try:
        removal = plan(name)
        print("\n".join(removal.files) or "(an interrupted download)", file=sys.stderr)
        if not args.yes and not _confirmed(f"remove {name}, freeing {shown(removal.size)}? [y/N] "):
            return 1
        removal.execute()
    except HubError as error:
        raise CommandError(str(error)) from None
    print(f"removed {name}: {shown(removal.size)} freed", file=sys.stderr)
    return 0


def _confirmed(question: str) -> bool:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMAND = Command(
    usage="REPO[@REVISION][:QUANT] [flags]",
    summary="remove a model got from the Hugging Face Hub",
    description="QUANT left out: all that the cache has of the repository (of the revision, if one is named), what "
    "other programs have put there included.",
    configure=configure,
    run=run,
)
