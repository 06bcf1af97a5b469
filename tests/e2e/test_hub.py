"""A model from the Hub, from its name to its answer."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import httpx
import pytest

from server.model_source import find_model
from tests.server.hub.hub import TOKEN, Repo, hub

from .serving import serving, spawn

REPO = "org/demo-GGUF"
LISTENING = re.compile(r"listening at (http://\S+)/v1, loading org/demo-GGUF:q8_0")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """The demo model in a gated repository, and a cache that is empty."""
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    demo = find_model(None).read_bytes()
    return Repo.of({"demo-Q8_0.gguf": demo, "demo-BF16.gguf": b"GGUF?"}, gated=True)


def test_served_by_its_name(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        found.repos[REPO] = repo
        with serving(f"{REPO}:q8_0") as server:
            client = server.client()
            assert [model.id for model in client.models.list()] == [f"{REPO}:q8_0"]
            answer = client.completions.create(model=f"{REPO}:q8_0", prompt="Once upon a time", max_tokens=4)
            assert answer.choices[0].text
            assert any("downloading demo-Q8_0.gguf" in line for line in server.log)
            assert not any("HTTP Request" in line for line in server.log)  # addresses are signed
    # The Hub is gone.
    with serving("-hf", REPO, "--hf-file", "demo-Q8_0.gguf", "--offline", "--alias", "demo") as server:
        answer = server.client().completions.create(model="demo", prompt="Once upon a time", max_tokens=4)
        assert answer.choices[0].text


def test_probes_are_answered_while_it_downloads(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        found.repos[REPO] = repo
        found.hold = 1000
        process = spawn(f"{REPO}:q8_0")
        try:
            assert process.stderr is not None
            listening = next(filter(None, map(LISTENING.search, process.stderr)))
            drained = threading.Thread(target=process.stderr.read, daemon=True)
            drained.start()
            assert found.held.wait(30)
            root = listening[1]
            assert httpx.get(f"{root}/livez").status_code == 200
            assert httpx.get(f"{root}/health").status_code == 503
            (model,) = httpx.get(f"{root}/v1/models").json()["data"]
            assert (model["id"], model["status"]["value"]) == (f"{REPO}:q8_0", "loading")
            asked = httpx.post(f"{root}/v1/completions", json={"model": f"{REPO}:q8_0", "prompt": "Hi"})
            assert asked.status_code == 503
            process.terminate()  # nobody waits for the download
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
        found.hold = None
        with serving("-m", f"{REPO}:q8_0", "-m", str(find_model(None)), "--models-max", "1") as server:
            assert len(found.transfers) == 1  # several models are got when they are needed
            answer = server.client().completions.create(model=f"{REPO}:q8_0", prompt="Once", max_tokens=4)
            assert answer.choices[0].text


def test_a_model_that_cannot_be_had_is_1(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with hub() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        found.repos[REPO] = repo
        process = spawn(REPO)
        _out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(f"paddock serve: {REPO} is gated: ask for access at {found.url}/{REPO}, ")
