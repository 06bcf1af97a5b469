"""`paddock list` and `paddock rm`, on a cache that huggingface_hub has filled."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import huggingface_hub
import pytest

from server.cli import main

from .hub import Hub, Repo, digest

REPO, OTHER = "org/model-GGUF", "other/model"
OLD, NEW = "1" * 40, "2" * 40
A, B, C = b"a" * 1000, b"b" * 20_000, b"c" * 300_000


@pytest.fixture
def filled(hub: Hub, cache: Path) -> Path:
    """Two quantizations, one of them in two revisions of which a part is the same file; a split one; other files."""
    split = {f"m-Q8_0-0000{part}-of-00002.gguf": C + bytes([part]) for part in (1, 2)}
    hub.repos[REPO] = Repo(
        {
            OLD: {"m-Q4_K_M.gguf": A, "m-Q2_K.gguf": B},
            NEW: {"m-Q4_K_M.gguf": B, "m-Q2_K.gguf": B, "README.md": b"#", **split},
        },
        {"main": NEW, "v1": OLD},
    )
    hub.repos[OTHER] = Repo.of({"model.safetensors": A, "demo.gguf": B})
    pulls = [(REPO, "v1", "m-Q4_K_M.gguf"), (REPO, "v1", "m-Q2_K.gguf"), (OTHER, "main", "model.safetensors")]
    pulls += [(REPO, "main", file) for file in hub.repos[REPO].commits[NEW]] + [(OTHER, "main", "demo.gguf")]
    for repo, revision, file in pulls:
        huggingface_hub.hf_hub_download(repo, file, revision=revision, cache_dir=cache, endpoint=hub.url)
    return cache


def names(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["list", "--json"]) == 0
    return [model["name"] for model in json.loads(capsys.readouterr().out)["models"]]


@pytest.mark.usefixtures("filled")
def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:-2] for row in table[1:]] == [
        [f"{REPO}:Q2_K", "m-Q2_K.gguf", "20", "kB"],
        [f"{REPO}:Q4_K_M", "m-Q4_K_M.gguf", "20", "kB"],
        [f"{REPO}:Q8_0", "m-Q8_0-00001-of-00002.gguf", "and", "1", "more", "600", "kB"],
        [f"{REPO}@v1:Q2_K", "m-Q2_K.gguf", "20", "kB"],
        [f"{REPO}@v1:Q4_K_M", "m-Q4_K_M.gguf", "1", "kB"],
        [OTHER, "demo.gguf", "20", "kB"],
    ]


def test_list_as_json(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cache"] == str(filled)
    model = next(model for model in found["models"] if model["quant"] == "Q8_0")
    assert (model["name"], model["repo"], model["commit"], model["size"]) == (f"{REPO}:Q8_0", REPO, NEW, 600_002)
    assert [Path(file).read_bytes() for file in model["files"]] == [C + b"\1", C + b"\2"]


def test_an_empty_cache(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().err == f"no models in {cache}: paddock pull gets one\n"
    assert names(capsys) == []
    assert main(["rm", "--yes", REPO]) == 1
    assert capsys.readouterr().err == f"paddock rm: the cache has nothing of {REPO}\n"


def test_a_cache_that_is_none(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.touch()
    for arguments in (["list"], ["rm", "org/model", "--yes"]):
        assert main(arguments) == 1
        assert capsys.readouterr() == ("", f"paddock {arguments[0]}: {cache}: Not a directory\n")


def test_one_quantization_goes(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blobs = filled / "models--org--model-GGUF" / "blobs"
    assert main(["rm", "--yes", f"{REPO}:q8_0"]) == 0
    assert capsys.readouterr().err.endswith(f"removed {REPO}:q8_0: 600 kB freed\n")
    assert names(capsys) == [f"{REPO}:Q2_K", f"{REPO}:Q4_K_M", f"{REPO}@v1:Q2_K", f"{REPO}@v1:Q4_K_M", OTHER]
    assert {path.name for path in blobs.iterdir()} == {digest(A), digest(B), digest(b"#")}


def test_what_another_model_has_too_stays(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rm", "--yes", f"{REPO}:Q2_K"]) == 0  # of both revisions; main's Q4_K_M is the same file
    assert capsys.readouterr().err.endswith(f"removed {REPO}:Q2_K: 0 B freed\n")
    assert main(["rm", "--yes", f"{REPO}@v1"]) == 0
    assert capsys.readouterr().err.endswith(f"removed {REPO}@v1: 1 kB freed\n")
    assert names(capsys) == [f"{REPO}:Q4_K_M", f"{REPO}:Q8_0", OTHER]
    assert (filled / "models--org--model-GGUF" / "snapshots" / NEW / "m-Q4_K_M.gguf").read_bytes() == B
    assert not (filled / "models--org--model-GGUF" / "refs" / "v1").exists()


def test_a_repository_goes(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rm", "--yes", OTHER]) == 0
    assert capsys.readouterr().err.splitlines()[:2] == ["demo.gguf", "model.safetensors"]
    assert not (filled / "models--other--model").exists()
    assert main(["rm", "--yes", REPO]) == 0
    assert names(capsys) == []


def test_what_is_not_there(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (f"{REPO}:Q3_K_M", f"{REPO}@v9", "org/none"):
        assert main(["rm", "--yes", name]) == 1
        assert capsys.readouterr().err == f"paddock rm: the cache has nothing of {name}\n"


def test_interrupted_downloads(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    partial = filled / "models--org--model-GGUF" / "blobs" / ("0" * 64 + ".incomplete")
    partial.write_bytes(A)
    assert main(["list"]) == 0
    assert "1 kB of interrupted downloads" in capsys.readouterr().err
    assert main(["rm", "--yes", f"{REPO}:Q8_0"]) == 0
    assert partial.exists()
    assert main(["rm", "--yes", REPO]) == 0
    assert not partial.exists()


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("\n", 1), ("n\n", 1), ("", 1)])
def test_it_asks_at_a_terminal(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, status: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["rm", OTHER]) == status
    assert f"remove {OTHER}, freeing 21 kB? [y/N] " in capsys.readouterr().err
    assert (OTHER in names(capsys)) == bool(status)


@pytest.mark.usefixtures("filled")
def test_without_a_terminal_it_wants_yes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["rm", OTHER]) == 2
    assert "--yes removes without asking" in capsys.readouterr().err
    assert OTHER in names(capsys)
