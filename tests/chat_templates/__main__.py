"""`python -m tests.chat_templates`: check llama.cpp's chat templates, and write docs/chat-template-check.md."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

from tests.chat_templates.comparison import Comparison, compare
from tests.chat_templates.report import page, summary
from tests.chat_templates.source import templates, version

PAGE = Path(__file__).parents[2] / "docs" / "chat-template-check.md"


def main() -> int:
    options = _options()
    try:
        sources = templates(options.unpacked)
    except (OSError, tarfile.TarError, subprocess.CalledProcessError) as error:
        print(f"No templates: {error}", file=sys.stderr)
        return 2
    if not sources:
        print("There are no templates.", file=sys.stderr)
        return 2
    if options.show:
        sources = {name: source for name, source in sources.items() if options.show in name}
    comparisons = [compare(name, source) for name, source in sources.items()]
    if options.show:
        for comparison in comparisons:
            _show(comparison)
    else:
        options.output.write_text(page(comparisons, version(), metadata.version("transformers")), encoding="utf-8")
        print(summary(comparisons))
    return 0 if all(comparison.same for comparison in comparisons) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chat_templates", description=__doc__)
    parser.add_argument(
        "--from",
        dest="unpacked",
        type=Path,
        metavar="PATH",
        help="instead of a download: a source distribution, packed or not, or a folder of templates",
    )
    parser.add_argument("--output", type=Path, default=PAGE, metavar="FILE", help="where to write the page")
    parser.add_argument("--show", metavar="NAME", help="print the prompts of templates with NAME in their name instead")
    return parser.parse_args()


def _show(found: Comparison) -> None:
    for rendering in found.renderings:
        print(f"=== {found.name}, {rendering.conversation}: {'the same' if rendering.same else 'different'}")
        print(rendering.ours)
        if not rendering.same:
            print(f"--- Transformers:\n{rendering.theirs}")


if __name__ == "__main__":
    sys.exit(main())
