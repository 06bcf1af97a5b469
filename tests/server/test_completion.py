"""Shell completion, asked of the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from server.cli import NAMES
from server.commands.completion import SHELLS

ASK_BASH = """\
source "$1"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
function=$(complete -p paddock | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function paddock "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each shell's script."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        command = [sys.executable, "-m", "server", "completion", shell]
        (folder / shell).write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "model.gguf").touch()
    (tmp_path / "mottoes.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bash(scripts: Path, *words: str) -> list[str]:
    command = ["bash", "--norc", "-c", ASK_BASH, "bash", str(scripts / "bash"), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("ser",), ["serve"]),
        (("serve", "--ctx"), ["--ctx-size"]),
        (("serve", "-fa", ""), ["on", "off", "auto"]),
        (("serve", "--port", "1", "--cache-type-k", "q8"), ["q8_0"]),
        (("serve", "-m", "mo"), ["models", "model.gguf"]),
        (("serve", "mo"), ["models", "model.gguf"]),
        (("run", "mo"), ["models", "model.gguf"]),
        (("serve", "model.gguf", "--par"), ["--parallel"]),
        (("serve", "--config", "mo"), ["model.gguf", "models", "mottoes.txt"]),
        (("quantize", "--imat"), ["--imatrix"]),
        (("quantize", "mo"), ["models", "model.gguf"]),
        (("convert", "mo"), ["models", "model.gguf", "mottoes.txt"]),
        (("perplexity", "model.gguf", "mot"), ["mottoes.txt"]),
        (("chat", "--rev"), ["--reverse-prompt"]),
        (("chat", "-p", "mo"), []),
        (("completion", ""), ["bash", "zsh", "fish", "tcsh"]),
    ],
)
def test_bash(scripts: Path, folder: Path, words: tuple[str, ...], found: list[str]) -> None:
    assert sorted(bash(scripts, "paddock", *words)) == sorted(found)


def test_bash_knows_every_command(scripts: Path) -> None:
    assert set(NAMES) <= set(bash(scripts, "paddock", ""))


def test_a_key_press_in_bash(scripts: Path, folder: Path) -> None:
    environment = {"PS1": "ready> ", "TERM": "dumb"}
    shell = pexpect.spawn("bash", ["--norc", "-i"], encoding="utf-8", timeout=20, env=environment)
    try:
        shell.sendline(f"source {scripts / 'bash'}; bind 'set enable-bracketed-paste off'; echo sourced")
        shell.expect("sourced\r\n")
        shell.send("paddock ser\t--ctx\t4096 -m model.\t")
        shell.expect("paddock serve --ctx-size 4096 -m model.gguf")
    finally:
        shell.close(force=True)


@pytest.fixture
def zsh(scripts: Path, folder: Path) -> Iterator[pexpect.spawn]:
    path = shutil.which("zsh")
    if path is None:
        pytest.skip("needs zsh")
    environment = {"TERM": "xterm", "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    shell = pexpect.spawn(path, ["-f", "-i"], encoding="utf-8", timeout=20, env=environment, dimensions=(50, 200))
    shell.sendline("autoload -Uz compinit && compinit -u -D; unsetopt zle_bracketed_paste")
    shell.sendline(f'eval "$(cat {scripts / "zsh"})"; echo sour""ced')
    shell.expect("sourced")
    yield shell
    shell.close(force=True)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("paddock ser", "serve"),
        ("paddock serve --ctx", "--ctx-size"),
        ("paddock serve --flash-attn of", "off"),
        ("paddock serve -m model.g", "model.gguf"),
        ("paddock quantize --imat", "--imatrix"),
    ],
)
def test_a_key_press_in_zsh(zsh: pexpect.spawn, typed: str, found: str) -> None:
    # what the line is in the end, whatever zsh draws
    zsh.send(f"{typed}\t")
    zsh.send("\x01print -- '[\x05]'\r")
    assert zsh.expect([r"\[paddock [^\r\n]*" + found + r" ?\]\r", pexpect.TIMEOUT], timeout=15) == 0, zsh.before


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("paddock ser", {"serve"}),
        ("paddock serve --ctx", {"--ctx-size"}),
        ("paddock serve -fa ", {"on", "off", "auto"}),
        ("paddock serve -m mo", {"model.gguf", "models/"}),
        ("paddock quantize --imat", {"--imatrix"}),
    ],
)
def test_fish(scripts: Path, folder: Path, typed: str, found: set[str]) -> None:
    path = shutil.which("fish")
    if path is None:
        pytest.skip("needs fish")
    command = [path, "--no-config", "-c", f"source {scripts / 'fish'}; complete -C '{typed}'"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert found <= {line.split("\t")[0] for line in lines}


def test_tcsh_takes_the_script(scripts: Path) -> None:
    path = shutil.which("tcsh")
    if path is None:
        pytest.skip("needs tcsh")
    command = [path, "-f", "-c", f"source {scripts / 'tcsh'}; complete paddock"]
    assert "serve" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
