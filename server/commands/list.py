"""`paddock list`: the models that have been got from the Hugging Face Hub."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from server.commands.command import Command
from server.sizes import shown

if TYPE_CHECKING:
    from server.hub.cache import CachedModel


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="with all there is to say of each, in JSON")


def run(args: argparse.Namespace) -> int:
    from huggingface_hub import constants  # huggingface_hub takes half a second

    from server.hub.cache import cached_models, scan

    info = scan()
    models = cached_models(info)
    if args.json:
        found = [_as_json(model) for model in models]
        unfinished = info.incomplete_size_on_disk
        print(json.dumps({"cache": constants.HF_HUB_CACHE, "models": found, "unfinished_size": unfinished}, indent=2))
        return 0
    if not models:
        print(f"no models in {constants.HF_HUB_CACHE}: paddock pull gets one", file=sys.stderr)
    else:
        _print_table([("NAME", "FILE", "SIZE", "GOT"), *(_row(model) for model in models)])
    if info.incomplete_size_on_disk:
        print(f"{shown(info.incomplete_size_on_disk)} of interrupted downloads, which go on there", file=sys.stderr)
    return 0


def _row(model: CachedModel) -> tuple[str, str, str, str]:
    first, *others = model.files
    file = first.file_name + (f" and {len(others)} more" if others else "")
    return str(model.name), file, shown(model.size), f"{datetime.fromtimestamp(model.modified):%Y-%m-%d %H:%M}"


def _as_json(model: CachedModel) -> dict[str, object]:
    return {
        "name": str(model.name), "repo": model.name.repo, "commit": model.commit, "quant": model.name.quant,
        "files": [str(file.file_path) for file in model.files], "size": model.size,
        "got": datetime.fromtimestamp(model.modified, UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    name, file, size, _got = (max(map(len, column)) for column in zip(*rows, strict=True))
    for row in rows:
        print(f"{row[0]:{name}}  {row[1]:{file}}  {row[2]:>{size}}  {row[3]}")


COMMAND = Command(
    usage="[flags]",
    summary="list the models got from the Hugging Face Hub",
    description="They are in huggingface_hub's cache ($HF_HUB_CACHE, or hub/ in $HF_HOME).",
    configure=configure,
    run=run,
)
