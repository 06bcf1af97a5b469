"""Several models in one server: real engines, loaded when they are needed, and gone when others need their place."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI

from server.model_source import local_model
from tests.models.families import write_model

from .serving import DEMO, Server, serving

PROMPT = "The time is"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, two small ones, and one whose data is cut off."""
    folder = tmp_path_factory.mktemp("models")
    (folder / f"{DEMO}.gguf").symlink_to(local_model(None))
    write_model(folder / "one.gguf", "llama")
    (folder / "two").mkdir()
    whole = write_model(folder / "two" / "model.gguf", "qwen2")
    (folder / "broken.gguf").write_bytes(whole.read_bytes()[:-5000])
    return folder


@pytest.fixture(scope="module")
def several(folder: Path) -> Iterator[Server]:
    """Room for one model at a time."""
    with serving("--models-dir", str(folder), "--models-max", "1", "-c", "2048") as server:
        yield server


def engines(server: Server) -> list[int]:
    """Process ids."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    found = []
    for child in children:
        with suppress(OSError):
            if b"engine_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def text(client: OpenAI, model: str, **fields: Any) -> str:
    return client.completions.create(model=model, prompt=PROMPT, temperature=0, max_tokens=12, **fields).choices[0].text


def statuses(server: Server) -> dict[str, str]:
    return {model["id"]: model["status"]["value"] for model in server.get("/v1/models").json()["data"]}


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Meanwhile the process does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_models_take_turns(several: Server) -> None:
    """Clients of three models, for one of which there is room: everybody is answered as if alone."""
    client = several.client()
    models = (DEMO, "one", "two")
    assert several.get("/health").status_code == 200
    alone = {}
    for model in models:
        alone[model] = text(client, model)
        assert statuses(several) == dict.fromkeys((*models, "broken"), "unloaded") | {model: "loaded"}
        assert len(engines(several)) == 1
    assert len(set(alone.values())) == 3

    def ask(k: int) -> None:
        for i in range(3):
            model = models[(k + i) % 3]
            if i % 2:
                stream = client.completions.create(
                    model=model, prompt=PROMPT, temperature=0, max_tokens=12, stream=True
                )
                said = "".join(chunk.choices[0].text for chunk in stream)
            else:
                said = text(client, model)
            assert said == alone[model]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    until(lambda: len(engines(several)) == 1)


def test_a_broken_one_touches_no_other(several: Server) -> None:
    client = several.client()
    text(client, "one")
    before = engines(several)
    for _ in range(2):
        with pytest.raises(APIStatusError, match="truncated") as caught:
            text(client, "broken")
        assert (caught.value.status_code, caught.value.code) == (500, "model_load_failed")
    assert several.get("/v1/models/broken").json()["status"]["failed"] is True
    assert engines(several) == before and statuses(several)["one"] == "loaded"


def test_a_stream_is_kept_open_while_its_model_loads(several: Server) -> None:
    text(several.client(), "one")
    lines: list[str] = []
    body = {"model": DEMO, "prompt": PROMPT, "max_tokens": 3, "stream": True, "sse_ping_interval": 1}

    def read() -> None:
        with httpx.stream("POST", several.url + "/completions", json=body, timeout=60) as response:
            lines.append(str(response.status_code))
            lines.extend(response.iter_lines())

    before = engines(several)
    reading = threading.Thread(target=read)
    reading.start()
    until(lambda: len(engines(several)) == 1 and engines(several) != before)
    with frozen(engines(several)[0]):
        until(lambda: lines.count(": ping") >= 2)
        assert several.get("/v1/models/" + DEMO).json()["status"]["value"] == "loading"
        assert several.get("/health").status_code == 200
    reading.join(60)
    assert lines[0] == "200" and [line for line in lines if line][-1] == "data: [DONE]"


def test_loading_and_unloading_by_hand(several: Server) -> None:
    text(several.client(), "one")
    assert several.post("/models/load", {"model": "two"}).json() == {"success": True}
    until(lambda: statuses(several)["two"] == "loaded")
    assert several.post("/models/unload", {"model": "two"}).json() == {"success": True}
    assert engines(several) == [] and set(statuses(several).values()) == {"unloaded"}
    props = several.get("/props?model=two").json()
    assert props["model_path"].endswith("two/model.gguf"), "what is known is still told"
    assert several.post("/tokenize", {"model": "one", "content": "the time"}).json()["tokens"]
    assert statuses(several)["one"] == "loaded"


def test_an_engine_that_dies_is_replaced_while_others_go_on(folder: Path) -> None:
    """And the signal ends them all."""
    with serving("--models-dir", str(folder), "-c", "2048") as server:
        client = server.client()
        texts = {model: text(client, model) for model in ("one", "two")}
        first, second = engines(server)
        os.kill(first, signal.SIGKILL)
        assert {model: text(client, model) for model in ("one", "two")} == texts
        assert second in engines(server) and first not in engines(server)
        pids = engines(server)
        assert server.metric("paddock_engine_restarts_total") == 1
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_sleep_and_wake(tmp_path: Path) -> None:
    """A server with a single model, and what is the model's own in a file of presets."""
    with serving("--sleep-idle-seconds", "1") as server:
        client = server.client()
        said = text(client, DEMO)
        until(lambda: statuses(server)[DEMO] == "sleeping")
        assert engines(server) == []
        assert server.get("/health").status_code == 200
        assert server.get("/props").json()["is_sleeping"] is True
        assert server.metric("paddock_model_loaded") == 0
        assert engines(server) == []
        assert text(client, DEMO) == said
        assert server.get("/props").json()["is_sleeping"] is False


def test_presets(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.ini"
    file.write_text(
        f"[*]\nctx-size = 1024\n[one]\nalias = uno\nctx-size = 512\nload-on-startup = true\n"
        f"[tiny]\nmodel = {folder}/two/model.gguf\ntop-k = 1\nchat-template = vicuna\n"
    )
    with serving("--models-preset", str(file), "-m", str(folder / "one.gguf")) as server:
        assert statuses(server) == {"one": "loaded", "uno": "loaded", "tiny": "unloaded"}
        props = {name: server.get(f"/props?model={name}").json() for name in ("uno", "tiny")}
        assert [told["default_generation_settings"]["n_ctx"] for told in props.values()] == [512, 1024]
        assert props["tiny"]["default_generation_settings"]["params"]["top_k"] == 1
        assert ["USER:" in told["chat_template"] for told in props.values()] == [False, True]
        assert len(engines(server)) == 2
