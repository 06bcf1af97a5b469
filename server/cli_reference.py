"""Writes docs/cli.md from the commands' parsers and the settings: `python -m server.cli_reference > docs/cli.md`
(`make docs`)."""

from __future__ import annotations

import argparse

from server.cli import NAMES, SECTIONS, command
from server.config import GROUPS, SETTINGS, Setting
from server.config.sources import CONFIG_ENV, CONFIG_FLAG, NOT_OURS, default_text

INTRODUCTION = """\
# The command line

<!-- Written by `make docs` from server/commands/ and server/config/; edit those. -->
"""

AFTER_OVERVIEW = """\
`paddock --version` says Paddock's version, llama-cpp-python's, and llama.cpp's commit; `paddock COMMAND --help` shows
what a command takes.

Exit status: 0 done, 1 failed, 2 a flag, variable or key is wrong, 130 interrupted. The reason is one line on stderr.
Results go to stdout, and everything else to stderr.
"""

SERVE = f"""\
`MODEL` is a GGUF file, or a repository of the Hugging Face Hub. Left out, it is the small demo model that comes with
Paddock.

Exit status: 0 after SIGINT or SIGTERM, 1 if the server can't start (the port is taken, the model can't be loaded).

### Where settings come from

A flag wins over the environment, the environment over the file that `{CONFIG_FLAG} FILE` (or `${CONFIG_ENV}`) names,
and the file over the default. The file is TOML; its keys are the long flags' names:

```toml
model = "models/qwen2.5-0.5b-instruct-q4_k_m.gguf"
ctx-size = 16384
parallel = 8
samplers = ["top_k", "top_p", "temperature"]
```

Where llama-server has a flag for the same thing, the spelling is the same. [docs/samplers.md](samplers.md) explains
the sampling settings.
"""

SETTING_NAMES = {setting.name: setting.group for setting in SETTINGS}


def reference() -> str:
    """docs/cli.md's text."""
    parts = [INTRODUCTION, _overview(), AFTER_OVERVIEW]
    for name in NAMES:
        parts.append(_head(name))
        parts += _serve() if name == "serve" else _flags(name)
    return "\n".join(parts)


def _overview() -> str:
    rows = []
    for title, names in SECTIONS.items():
        for name in names:
            rows.append(f"| {title} | [`paddock {name}`](#paddock-{name}) | {command(name).summary} |\n")
            title = ""
    return "| | command | what it does |\n| --- | --- | --- |\n" + "".join(rows)


def _head(name: str) -> str:
    """A command's usage and what it says of itself."""
    found = command(name)
    summary = f"{found.summary[0].upper()}{found.summary[1:]}."
    text = f"## paddock {name}\n\n```\n{f'paddock {name} {found.usage}'.rstrip()}\n```\n\n"
    if name == "serve":
        return text + f"{summary}\n"
    return text + "\n\n".join(part for part in (f"{summary} {found.description}".rstrip(), found.epilog) if part) + "\n"


def _serve() -> list[str]:
    parts = [SERVE]
    for title in GROUPS:
        rows = "".join(_row(setting) for setting in SETTINGS if setting.group == title)
        parts.append(f"### {title}\n\n| flag | environment | meaning | default |\n| --- | --- | --- | --- |\n{rows}")
    parts += ["### What is no setting\n", *_flags("serve")]
    parts.append(
        "### Flags of llama-server that Paddock has no use for\n\n| flag | because |\n| --- | --- |\n" + _not_ours()
    )
    return parts


def _flags(name: str) -> list[str]:
    """What a command takes besides what `serve` takes too."""
    parser = command(name).parser(name)
    rows, from_serve = "", []
    for group in parser._action_groups:
        for action in group._group_actions:
            if action.dest in SETTING_NAMES and SETTING_NAMES[action.dest] == group.title:
                from_serve.append(group.title)
            elif action.help != argparse.SUPPRESS and action.dest != "help":
                rows += _flag(parser, action)
    parts = [f"| takes | meaning |\n| --- | --- |\n{rows}"] if rows else []
    if from_serve and name != "serve":
        titles = ", ".join(f"*{title.partition(', ')[0]}*" for title in dict.fromkeys(from_serve))
        parts.append(f"Also the flags of [`paddock serve`](#paddock-serve) under {titles}.\n")
    return parts


def _flag(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    value = ""
    if action.nargs != 0:
        choices = "|".join(map(str, action.choices)) if action.choices is not None else ""
        name = choices if action.option_strings else action.dest
        value = action.metavar if isinstance(action.metavar, str) else name or action.dest.upper()
    flags = f"{', '.join(action.option_strings)} {value}".strip()
    return _cells(f"`{flags}`", (action.help or "") % {**vars(action), "prog": parser.prog})


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _not_ours() -> str:
    spellings: dict[str, list[str]] = {}
    for flag, reason in NOT_OURS.items():
        spellings.setdefault(reason, []).append(flag)
    return "".join(f"| `{', '.join(flags)}` | {reason} |\n" for reason, flags in spellings.items())


def _row(setting: Setting) -> str:
    if setting.flags:
        flags = f"`{', '.join(setting.flags)} {setting.metavar}`"
        for value in dict.fromkeys(setting.shorthands.values()):
            short = ", ".join(flag for flag, meaning in setting.shorthands.items() if meaning == value)
            flags += f"<br>`{short}` = `{value}`"
        for prefix in dict.fromkeys(setting.prefixed.values()):
            named = ", ".join(flag for flag, meaning in setting.prefixed.items() if meaning == prefix)
            flags += f"<br>`{named} {setting.metavar}` = `{prefix}{setting.metavar}`"
    else:
        flags = f"`{', '.join(setting.shorthands)}`"
    default = default_text(setting)
    in_words = " " in default and (default[0].isalpha() or "`" in default)
    cells = (flags, f"`{setting.env}`", setting.help, default if in_words else f"`{default}`")
    return _cells(*cells)


if __name__ == "__main__":
    print(reference(), end="")
