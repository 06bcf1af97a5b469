"""Writes docs/cli.md from the settings: `python -m server.cli_reference > docs/cli.md` (`make docs`)."""

from __future__ import annotations

from server.config import GROUPS, SETTINGS, Setting
from server.config.sources import CONFIG_ENV, CONFIG_FLAG, NOT_OURS, default_text

INTRODUCTION = f"""\
# The command line

<!-- Written by `make docs` from server/config/; edit that. -->

```
paddock                        what there is
paddock serve [MODEL] [flags]  serve a model
paddock --version              Paddock's version, llama-cpp-python's, and llama.cpp's commit
```

`MODEL` is a GGUF file. Left out, it is the small demo model that comes with Paddock.

Exit status: 0 after SIGINT or SIGTERM, 1 if the server can't start (the port is taken, the model can't be loaded),
2 if a flag, variable or key is wrong. The reason is one line on stderr.

## Where settings come from

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


def reference() -> str:
    """docs/cli.md's text."""
    parts = [INTRODUCTION]
    for title in GROUPS:
        rows = "".join(_row(setting) for setting in SETTINGS if setting.group == title)
        parts.append(f"## {title}\n\n| flag | environment | meaning | default |\n| --- | --- | --- | --- |\n{rows}")
    parts.append(
        "## Flags of llama-server that Paddock has no use for\n\n| flag | because |\n| --- | --- |\n" + _not_ours()
    )
    return "\n".join(parts)


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
    else:
        flags = f"`{', '.join(setting.shorthands)}`"
    default = default_text(setting)
    in_words = " " in default and default[0].isalpha()
    cells = (flags, f"`{setting.env}`", setting.help, default if in_words else f"`{default}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    print(reference(), end="")
