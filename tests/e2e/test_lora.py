"""LoRA adapters by name, by scale and over HTTP, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from tests.models.adapters import merge, write_adapter
from tests.models.families import write_model

from .serving import Server, serving

EXACT = ("-fa", "off", "-ctk", "f32", "-ctv", "f32")
"""Nearly no kernel noise: a text is the same alone and in company."""
PROMPTS = ["the time of day", "people said that", "how long did it look", "no way to go down"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, adapters for it, and the model with one of them merged."""
    folder = tmp_path_factory.mktemp("lora")
    base = write_model(folder / "base.gguf", "llama")
    (folder / "adapters").mkdir()
    for seed, name in enumerate(("one", "two", "three"), 1):
        write_adapter(folder / "adapters" / f"{name}.gguf", base, seed=seed)
    merge(folder / "merged.gguf", base, [(folder / "adapters" / "one.gguf", 1.0)])
    return folder


@pytest.fixture(scope="module")
def server(files: Path) -> Iterator[Server]:
    adapters = files / "adapters"
    modules = f"one={adapters}/one.gguf,two={adapters}/two.gguf"
    with serving("-m", str(files / "base.gguf"), "--lora-modules", modules, "--lora-dir", str(adapters), *EXACT) as it:
        yield it


def text(server: Server, model: str, prompt: str = PROMPTS[0], **body: object) -> str:
    """What a model makes of a prompt, greedily."""
    client = server.client()
    answer = client.completions.create(model=model, prompt=prompt, max_tokens=40, temperature=0, extra_body=body)
    assert answer.model == model
    return answer.choices[0].text


def test_names(server: Server, files: Path) -> None:
    texts = {name: text(server, name) for name in ("base", "one", "two")}
    assert len(set(texts.values())) == 3
    with serving("-m", str(files / "merged.gguf"), *EXACT) as merged:
        assert text(merged, "merged") == texts["one"]
    client = server.client()
    listed = {model.id: model for model in client.models.list()}
    assert list(listed) == ["base", "one", "two"]
    assert (listed["one"].parent, Path(listed["one"].root).name) == ("base", "one.gguf")  # type: ignore[attr-defined]
    assert client.models.retrieve("two") == listed["two"]
    with pytest.raises(NotFoundError, match="'base', 'one', 'two'"):
        text(server, "three")
    chat = client.chat.completions.create(model="one", messages=[{"role": "user", "content": "hi"}], max_tokens=5)
    assert chat.model == "one" and chat.choices[0].message.content


def test_scales(server: Server) -> None:
    base, one, two = (text(server, name) for name in ("base", "one", "two"))
    assert text(server, "base", lora=[{"id": 0, "scale": 1}]) == one
    assert text(server, "one", lora=[{"id": 1, "scale": 1.0}]) == two
    assert text(server, "one", lora=[{"id": 0, "scale": 0}]) == base
    assert text(server, "one", lora=[]) == one
    both = text(server, "base", lora=[{"id": 0, "scale": 0.5}, {"id": 1, "scale": 1}])
    assert both not in (base, one, two)
    with pytest.raises(BadRequestError, match="no LoRA adapter 7"):
        text(server, "base", lora=[{"id": 7, "scale": 1}])
    native = server.post(
        "/completion", {"prompt": PROMPTS[0], "n_predict": 40, "temperature": 0, "lora": [{"id": 0, "scale": 1}]}
    )
    assert native.json()["content"] == one
    assert native.json()["generation_settings"]["lora"] == [{"id": 0, "scale": 1.0}]

    assert [(each["id"], each["scale"], each["name"]) for each in server.get("/lora-adapters").json()] == [
        (0, 0.0, "one"),
        (1, 0.0, "two"),
    ]
    assert server.post("/lora-adapters", [{"id": 0, "scale": 0.5}]).json() == {"success": True}
    try:
        assert [each["scale"] for each in server.get("/lora-adapters").json()] == [0.5, 0.0]
        assert text(server, "base") == text(server, "base", lora=[{"id": 0, "scale": 0.5}]) != base
        assert text(server, "two") == text(server, "base", lora=[{"id": 0, "scale": 0.5}, {"id": 1, "scale": 1}])
        assert text(server, "one") == one
    finally:
        server.post("/lora-adapters", [])
    assert text(server, "base") == base
    assert server.post("/lora-adapters", [{"id": 7, "scale": 0.5}]).status_code == 400
    assert server.post("/lora-adapters", {"id": 0}).status_code == 400


def test_loading_and_unloading(server: Server, files: Path) -> None:
    def load(name: str, path: str, **rest: object) -> tuple[int, str]:
        answer = server.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path, **rest})
        return answer.status_code, answer.text

    assert load("three", "three.gguf") == (200, "Success: LoRA adapter 'three' added successfully.")
    three = text(server, "three")
    assert three not in (text(server, "base"), text(server, "one"))
    assert "three" in [model.id for model in server.client().models.list()]
    for name in ("three", "base", "one"):
        assert load(name, "three.gguf")[0] == 400
    assert load("three", "one.gguf", load_inplace=True)[0] == 200
    assert text(server, "three") == text(server, "one")
    assert load("x", "../base.gguf")[0] == load("x", "none.gguf")[0] == load("x", "/etc/passwd")[0] == 404
    (files / "adapters" / "link.gguf").symlink_to(files / "base.gguf")
    (files / "adapters" / "model.gguf").write_bytes((files / "base.gguf").read_bytes())
    assert load("x", "link.gguf")[0] == 404
    status, message = load("x", "model.gguf")
    assert status == 400 and "it is no adapter" in message

    def unload(name: str) -> tuple[int, str]:
        answer = server.post("/v1/unload_lora_adapter", {"lora_name": name})
        return answer.status_code, answer.text

    assert unload("three") == (200, "Success: LoRA adapter 'three' removed successfully.")
    assert unload("three")[0] == 404 and unload("base")[0] == 400
    with pytest.raises(NotFoundError):
        text(server, "three")
    assert server.engine_pid is not None


async def test_many_clients_with_different_adapters(server: Server) -> None:
    """Streams side by side, some of them cut off, are what each is alone."""
    names = ("base", "one", "two")
    alone = {(name, prompt): text(server, name, prompt) for name in names for prompt in PROMPTS}

    async def stream(client: AsyncOpenAI, name: str, prompt: str, patience: int | None) -> None:
        chunks = await client.completions.create(
            model=name, prompt=prompt, max_tokens=40, temperature=0, stream=True, extra_body={"cache_prompt": False}
        )
        said = ""
        async for chunk in chunks:
            said += chunk.choices[0].text
            if patience is not None and len(said) > patience:
                await chunks.close()
                break
        assert alone[name, prompt].startswith(said) if patience else alone[name, prompt] == said

    async with server.async_client() as client:
        jobs = [(name, prompt) for prompt in PROMPTS for name in names]
        await asyncio.gather(*(stream(client, *job, 10 if i % 5 == 4 else None) for i, job in enumerate(2 * jobs)))
    server.settled()


def test_for_every_request(files: Path) -> None:
    one = files / "adapters" / "one.gguf"
    flags = ("-m", str(files / "base.gguf"), "--lora-scaled", f"{one}:0.5", *EXACT)
    with serving(*flags) as server:
        half = text(server, "base")
        assert text(server, "base", lora=[{"id": 0, "scale": 0.5}]) == half
        assert text(server, "base", lora=[{"id": 0, "scale": 0}]) != half
        assert [each["scale"] for each in server.get("/lora-adapters").json()] == [0.5]
        answer = server.post("/v1/load_lora_adapter", {"lora_name": "one", "lora_path": str(one)})
        assert answer.status_code == 403 and "--lora-dir" in answer.json()["error"]["message"]
