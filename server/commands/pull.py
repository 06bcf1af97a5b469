"""`paddock pull`: a model of the Hugging Face Hub, into the cache from which it is served."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

from server.command_line import UsageError
from server.commands.command import Command, CommandError
from server.commands.hub_name import hub_name
from server.hub.name import HubAccess, HubError, HubName, token
from server.terminal.visible import visible


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="REPO[@REVISION][:QUANT]", help="as Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q8_0")
    parser.add_argument("--revision", help="the branch, tag or commit (default: main)")
    parser.add_argument(
        "-hff", "--hf-file", "--file", dest="file", metavar="FILE", help="this GGUF, by its path in the repository"
    )
    parser.add_argument(
        "-hft", "--hf-token", metavar="TOKEN",
        help="for gated and private repositories; others can see it: rather use $HF_TOKEN",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="say in JSON what has been got")


def run(args: argparse.Namespace) -> int:
    name = hub_name(args.name)
    if args.revision is not None:
        if name.revision is not None:
            raise UsageError("@REVISION and --revision both name one: give one")
        named = HubName.parse(f"{name.repo}@{args.revision}")
        if named is None:
            raise UsageError(f"--revision can't be {args.revision!r}")
        name = replace(name, revision=named.revision)
    try:
        access = HubAccess(None if args.hf_token is None else token(args.hf_token))
    except ValueError:
        raise UsageError("--hf-token must be visible ASCII characters") from None
    from server.hub.fetch import fetch  # huggingface_hub takes half a second

    try:
        model = fetch(replace(name, file=args.file), access, _say)
    except HubError as error:
        raise CommandError(str(error)) from None
    if not args.json:
        print(model.path)
        return 0
    found = {
        "name": str(model.name), "repo": model.name.repo, "commit": model.commit, "quant": model.name.quant,
        "path": str(model.path), "files": [str(path) for path in model.paths], "size": model.size,
    }  # fmt: skip
    print(json.dumps(found, indent=2))
    return 0


def _say(line: str) -> None:
    print(visible(line), file=sys.stderr)  # the Hub has a say in it


COMMAND = Command(
    usage="REPO[@REVISION][:QUANT] [flags]",
    summary="get a model from the Hugging Face Hub",
    description="QUANT left out: Q4_K_M, else Q8_0, else the first. An interrupted download goes on where it stopped. "
    "Prints the file's path.",
    configure=configure,
    run=run,
)
