"""`paddock completion`: the script by which a shell completes `paddock`'s command lines."""

from __future__ import annotations

import argparse

from server.commands.command import Command

SHELLS = ("bash", "zsh", "fish", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("SHELL", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> int:
    from server.shell_completion import script

    print(script(args.SHELL))
    return 0


COMMAND = Command(
    usage="bash|zsh|fish|tcsh",
    summary="print the script that completes these commands in a shell",
    description='In ~/.bashrc: eval "$(paddock completion bash)". In ~/.zshrc, after compinit: '
    'eval "$(paddock completion zsh)". For fish: paddock completion fish > ~/.config/fish/completions/paddock.fish. '
    "For tcsh: paddock completion tcsh > ~/.paddock-completion.tcsh, and in ~/.tcshrc: source it.",
    configure=configure,
    run=run,
)
