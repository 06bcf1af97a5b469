"""Workers that compute a part of a model: the same text as without them, and what is said of those that can't."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from backends.base import ModelLoadError
from backends.llama_cpp import library, rpc
from backends.llama_cpp.client import LlamaCppBackend
from server.model_source import find_model

from .engine_runs import engine, request, run
from .rpc_workers import free_port, with_rpc, workers

PROMPTS = (
    "Once upon a time",
    "The weather in the mountains",
    "<|im_start|>user\nTell me a story about a horse.<|im_end|>\n<|im_start|>assistant\n",
    "Dear Tom, thank you for",
)


async def answers(backend: LlamaCppBackend) -> list[list[int]]:
    found = []
    for text in PROMPTS:
        prompt = await backend.tokenizer.encode(text, add_special=True, parse_special=True)
        found += (await run(backend, request(prompt, 40))).tokens
    return found


@with_rpc
async def test_two_workers_write_the_same_text() -> None:
    async with engine(find_model(None)) as alone:
        expected = await answers(alone)
    assert sum(map(len, expected)) > 60
    with workers(2) as lent:
        async with engine(find_model(None), rpc=tuple(worker.name for worker in lent)) as together:
            (note,) = (note for note in together.model.notes if "RPC0" in note)
            assert "RPC1" in note
            assert await answers(together) == expected


@pytest.fixture
def stranger() -> Iterator[tuple[socket.socket, str]]:
    """Something that listens and is no worker."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, f"127.0.0.1:{listener.getsockname()[1]}"


def refusal(server: str) -> str:
    library.start()
    library.load_backends()
    with pytest.raises(ModelLoadError) as caught:
        rpc.register([server])
    return str(caught.value)


@with_rpc
def test_nobody_there() -> None:
    server = f"127.0.0.1:{free_port()}"
    assert refusal(server) == f"no RPC worker can be reached at {server}: Connection refused"
    assert refusal("no-such-host.invalid:50052").startswith(
        "no RPC worker can be reached at no-such-host.invalid:50052"
    )


@with_rpc
def test_a_worker_that_works_for_another(stranger: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "SECONDS", 0.1)
    assert "works for one server at a time" in refusal(stranger[1])


@with_rpc
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "is no RPC worker"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "is no RPC worker"),
        (rpc.ANSWER.pack(28, 8, 0, 0), "speaks version 8.0 of the protocol, this llama.cpp 7.0"),
        (rpc.ANSWER.pack(28, 6, 9, 0), "speaks version 6.9"),
    ],
)
def test_what_is_no_worker_for_us(stranger: tuple[socket.socket, str], answer: bytes, message: str) -> None:
    listener, server = stranger

    def reply() -> None:
        connection, _address = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(answer)

    threading.Thread(target=reply, daemon=True).start()
    assert message in refusal(server)


def test_a_build_without_rpc_names_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "BACKEND", b"another")
    assert refusal("127.0.0.1:1") == "this build of llama.cpp has no RPC: make setup RPC=1 makes one that has"
