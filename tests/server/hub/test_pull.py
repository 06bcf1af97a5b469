"""`paddock pull`, as a process of its own: what its signals, streams and exit status say."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from server.cli import main

from .hub import TOKEN, Hub, Repo, hub

REPO = "org/model-GGUF"
CHUNK = 10 * 1024 * 1024
"""What huggingface_hub writes at once."""
LARGE = b"GGUF" + bytes(range(256)) * 100_000


def environment(found: Hub, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PADDOCK_"))}
    return kept | {"HF_ENDPOINT": found.url, "HF_HOME": str(home)}


def pull(found: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "pull", *arguments]
    return subprocess.run(
        command, env=environment(found, home), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_gone_on_with(tmp_path: Path, stop: signal.Signals) -> None:
    with hub() as found:
        found.repos[REPO] = Repo.of({"m-Q4_K_M.gguf": LARGE})
        found.hold = CHUNK + 1_000_000
        running = subprocess.Popen(
            [sys.executable, "-m", "server", "pull", REPO], env=environment(found, tmp_path),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert found.held.wait(30)
        partial = _partial(tmp_path)
        running.send_signal(stop)
        out, err = running.communicate(timeout=30)
        assert running.returncode == (-9 if stop == signal.SIGKILL else 130)
        assert out == "" and "Traceback" not in err
        assert partial.read_bytes() == LARGE[:CHUNK]
        done = pull(found, tmp_path, REPO, "--json")
        assert done.returncode == 0, done.stderr
        assert Path(json.loads(done.stdout)["path"]).read_bytes() == LARGE
        assert not partial.exists()
        assert (found.transfers[-1].start, found.transfers[-1].sent) == (CHUNK, len(LARGE) - CHUNK)


def _partial(home: Path) -> Path:
    """The unfinished file, when its first chunk is there."""
    for _ in range(300):
        for path in home.rglob("*.incomplete"):
            if path.stat().st_size >= CHUNK:
                return path
        time.sleep(0.1)
    raise AssertionError("nothing was written")


def test_what_it_says(tmp_path: Path) -> None:
    with hub() as found:
        found.repos[REPO] = Repo.of({"m-Q4_K_M.gguf": LARGE[:1000], "m-Q8_0.gguf": LARGE[:2000]})
        (commit,) = found.repos[REPO].commits
        done = pull(found, tmp_path, f"{REPO}:q8_0")
        assert done.returncode == 0
        path = tmp_path / "hub" / "models--org--model-GGUF" / "snapshots" / commit / "m-Q8_0.gguf"
        assert done.stdout == f"{path}\n"
        assert done.stderr == f"downloading m-Q8_0.gguf (2 kB) from {REPO} at {commit[:12]}\n"  # and no bar
        done = pull(found, tmp_path, REPO, "--file", "m-Q8_0.gguf", "--revision", commit, "--json")
        assert done.stderr == ""
        assert json.loads(done.stdout) == {
            "name": f"{REPO}@{commit}:Q8_0", "repo": REPO, "commit": commit, "quant": "Q8_0",
            "path": str(path), "files": [str(path)], "size": 2000,
        }  # fmt: skip
        done = pull(found, tmp_path, f"{REPO}:Q2_K")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"paddock pull: {REPO} has no Q2_K; it has Q4_K_M, Q8_0\n"


def test_a_bar_at_a_terminal(tmp_path: Path) -> None:
    with hub() as found:
        found.repos[REPO] = Repo.of({"m-Q4_K_M.gguf": LARGE})
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        command = [sys.executable, "-m", "server", "pull", REPO]
        done = subprocess.run(
            command, env=environment(found, tmp_path), stderr=theirs, stdout=subprocess.PIPE, check=False
        )
        os.close(theirs)
        shown = os.read(ours, 100_000).decode()
        os.close(ours)
    assert done.returncode == 0
    assert "m-Q4_K_M.gguf: 100%" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: REPO[@REVISION][:QUANT]"),
        (["model.gguf"], "a model of the Hub is ORG/NAME[@REVISION][:QUANT], not 'model.gguf'"),
        (["org/model@v1", "--revision", "v2"], "@REVISION and --revision both name one: give one"),
        (["org/model", "-hft", "hf_\nx"], "--hf-token must be visible ASCII characters"),
        (["org/model", "--revision", "../v2"], "--revision can't be '../v2'"),
    ],
)
def test_used_wrongly(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["pull", *arguments]) == 2
    assert capsys.readouterr().err == f"paddock pull: {message}; see paddock pull --help\n"


def test_a_token_as_a_flag(tmp_path: Path) -> None:
    with hub() as found:
        found.repos[REPO] = Repo.of({"m-Q4_K_M.gguf": LARGE[:1000]}, gated=True)
        assert "ask for access at" in pull(found, tmp_path, REPO).stderr
        assert pull(found, tmp_path, REPO, "-hft", TOKEN).returncode == 0
