"""The tokenizer's process: right tokens, whatever the text; and what becomes of it when it dies."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from backends.base import BackendError, EngineUnavailable, ModelLoadError
from backends.llama_cpp import tokenizer
from backends.llama_cpp.tokenizer import TokenizerClient, _Job, _Jobs
from backends.llama_cpp.tokenizer_messages import Encode, Forget
from tests.models.vocab import BOS, EOS, IM_END
from tests.models.vocab_only import write_bpe, write_none, write_spm

from .engine_runs import until

PRE_TOKENIZERS = (
    "bloom",
    "chameleon",
    "deepseek-coder",
    "deepseek-llm",
    "deepseek-v3",
    "default",
    "falcon",
    "gpt-2",
    "gpt-4o",
    "llama-bpe",
    "qwen2",
    "tekken",
)
"""The ways in which llama.cpp splits text: by its own code for gpt-2, llama-bpe and qwen2, else by std::regex."""


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[TokenizerClient]:
    client = await TokenizerClient.start(str(path))
    try:
        yield client
    finally:
        await client.stop()


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bpe(tmp_path_factory.mktemp("bpe") / "bpe.gguf", "qwen2")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its regular expressions take seconds for millions of characters."""
    return write_bpe(tmp_path_factory.mktemp("slow") / "slow.gguf", "deepseek-llm")


async def encode(client: TokenizerClient, text: str, *, special: bool = False) -> list[int]:
    return await client.encode(text, add_special=special, parse_special=special)


async def test_the_vocabulary(bpe: Path) -> None:
    async with running(bpe) as client:
        info = client.info
        assert info.bos is not None
        assert info.eos is not None
        assert info.eot is not None
        assert (info.pieces[info.bos], info.pieces[info.eot]) == (BOS.encode(), IM_END.encode())
        assert info.bos in info.control_tokens
        assert {info.eos, info.eot} <= info.eog_tokens
        assert info.add_bos
        assert not info.add_eos
        assert info.pieces[info.fim_prefix or 0] == b"<|fim_prefix|>"
        assert b" the" in info.pieces


async def test_tokens_spell_the_text(bpe: Path, tmp_path: Path) -> None:
    async with running(bpe) as client, running(write_spm(tmp_path / "spm.gguf")) as spm:
        for text in ("", "Hello, the world!", "é日本🙂", "nul\0inside", "a\r\n\tb", " two  spaces "):
            tokens = await encode(client, text)
            assert b"".join(client.info.pieces[t] for t in tokens) == text.encode()
            tokens = await encode(spm, text)
            assert b"".join(spm.info.pieces[t] for t in tokens).decode().lstrip(" ") == text.lstrip(" ")


async def test_half_a_surrogate_pair_is_a_replacement_character(bpe: Path) -> None:
    async with running(bpe) as client:
        assert await encode(client, "a\ud83d") == await encode(client, "a\ufffd")
        assert await encode(client, "\ud83d\ude42") == await encode(client, "🙂")


async def test_bos_exactly_once(bpe: Path) -> None:
    async with running(bpe) as client:
        bos = client.info.bos
        hi = await encode(client, "hi")
        assert await encode(client, "hi", special=True) == [bos, *hi]
        assert await encode(client, BOS + "hi", special=True) == [bos, *hi]
        assert await encode(client, "", special=True) == [bos]
        assert await client.encode(BOS + "hi", add_special=False, parse_special=True) == [bos, *hi]
        plain = await client.encode(BOS + "hi", add_special=True, parse_special=False)
        assert plain[0] == bos
        assert bos not in plain[1:]


async def test_markup_is_read_only_when_asked_for(bpe: Path) -> None:
    async with running(bpe) as client:
        assert await client.encode(EOS, add_special=False, parse_special=True) == [client.info.eos]
        assert client.info.eos not in await client.encode(EOS, add_special=False, parse_special=False)


@pytest.mark.parametrize("pre", [*PRE_TOKENIZERS, "spm"])
async def test_a_long_run_of_one_character_harms_nobody(pre: str, tmp_path: Path) -> None:
    path = tmp_path / "vocab.gguf"
    async with running(write_spm(path) if pre == "spm" else write_bpe(path, pre)) as client:
        pid = client.pid
        for character in "a 1\né":
            text = character * 200_000
            tokens = await encode(client, text)
            assert b"".join(client.info.pieces[t] for t in tokens).decode().removeprefix(" ") in (text, text[1:])
        assert client.pid == pid


async def test_a_short_text_does_not_wait_for_a_long_one(slow: Path) -> None:
    async with running(slow) as client:
        long = asyncio.create_task(encode(client, "a" * 3_000_000))
        middle = asyncio.create_task(encode(client, "b" * 100_000))
        await encode(client, "short")
        assert not middle.done()
        await middle
        assert not long.done()
        long.cancel()


async def test_many_at_once_are_not_mixed_up(bpe: Path) -> None:
    async with running(bpe) as client:
        texts = [f"number {i} " * (i % 7) * (1000 if i % 50 == 0 else 1) for i in range(300)]
        results = await asyncio.gather(*(encode(client, text) for text in texts))
        assert [b"".join(client.info.pieces[t] for t in r).decode() for r in results] == texts


async def test_a_killed_process_is_replaced_and_nothing_is_lost(slow: Path) -> None:
    async with running(slow) as client:
        first, pid = await encode(client, "hello"), client.pid
        long = asyncio.create_task(encode(client, "a" * 1_000_000))
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        assert await encode(client, "hello") == first
        assert len(await long) > 0
        assert client.pid != pid
        assert await encode(client, "hello") == first


async def test_a_text_that_kills_twice_fails_and_the_others_do_not(slow: Path) -> None:
    async with running(slow) as client:
        guilty = asyncio.create_task(encode(client, "a" * 2_000_000))
        innocent = asyncio.create_task(encode(client, "b" * 100_000))
        pids: list[int] = []
        await asyncio.sleep(0)
        while not guilty.done():
            if client.pid not in pids and (not pids or innocent.done()):
                pids.append(client.pid)
                os.kill(client.pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        with pytest.raises(BackendError, match="crashed"):
            await guilty
        assert len(pids) == 2
        assert len(await innocent) > 0
        assert len(await encode(client, "hello")) > 0


async def test_a_text_that_takes_too_long_fails_and_the_others_do_not(tmp_path: Path) -> None:
    client = await TokenizerClient.start(str(write_spm(tmp_path / "spm.gguf")), time_limit=0.5)
    try:
        pid = client.pid
        endless = asyncio.create_task(encode(client, "🦙" * 400_000))
        while not endless.done():  # the limit holds under traffic, too
            assert len(await encode(client, "short")) > 0
        with pytest.raises(BackendError, match=r"more than 0\.5 seconds"):
            await endless
        assert len(await encode(client, "short")) > 0
        assert client.pid != pid
    finally:
        await client.stop()


async def test_cancelling_leaves_the_others_alone(slow: Path) -> None:
    async with running(slow) as client:
        waits = [asyncio.create_task(encode(client, "a" * 1_100_000)) for _ in range(4)]
        await asyncio.sleep(0.05)
        for wait in waits[1:]:
            wait.cancel()
        results = await asyncio.gather(*waits, return_exceptions=True)
        assert isinstance(results[0], list)
        assert all(isinstance(result, asyncio.CancelledError) for result in results[1:])
        # The cancelled ones were not worked on: a new one in their lane is answered soon.
        assert len(await asyncio.wait_for(encode(client, "c" * 1_100_000), 30)) > 0


async def test_stopping_fails_what_waits(slow: Path) -> None:
    client = await TokenizerClient.start(str(slow))
    wait = asyncio.create_task(encode(client, "a" * 2_000_000))
    await asyncio.sleep(0.05)
    await client.stop()
    with pytest.raises(EngineUnavailable):
        await wait
    with pytest.raises(EngineUnavailable):
        await encode(client, "a")


async def test_a_file_that_is_no_gguf_is_told_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelLoadError) as raised:
        await TokenizerClient.start(str(path))
    assert "\n" not in str(raised.value)


async def test_a_model_without_a_vocabulary_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="it has no vocabulary, so it can neither read nor write text"):
        await TokenizerClient.start(str(write_none(tmp_path / "none.gguf")))


def no_room(fd: int) -> subprocess.Popen[bytes]:
    raise BlockingIOError(errno.EAGAIN, "no room for another process")


def of_another_version(fd: int) -> subprocess.Popen[bytes]:
    """A process that begins with a message that nobody knows."""
    program = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).sendall(bytes([1, 0, 0, 0, 0xC0]))"
    return subprocess.Popen([sys.executable, "-c", program, str(fd)], pass_fds=[fd])


@pytest.mark.parametrize("popen", [no_room, of_another_version])
async def test_a_process_that_cannot_be_started_again(
    popen: Callable[[int], subprocess.Popen[bytes]], slow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts fail at once, and are taken again when it can."""
    monkeypatch.setattr(tokenizer, "RESTART_DELAYS", (0.0, 0.05))
    async with running(slow) as client:
        tokens = await encode(client, "hello")
        waiting = asyncio.create_task(encode(client, "a" * 2_000_000))
        await asyncio.sleep(0.05)
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(client, "_popen", popen)
            os.kill(client.pid, signal.SIGKILL)
            for text in (waiting, encode(client, "hello")):
                with pytest.raises(EngineUnavailable, match="cannot be started again"):
                    await asyncio.wait_for(text, 10)
            assert not client.ready
        await until(lambda: client.ready)
        assert await encode(client, "hello") == tokens


async def test_a_process_of_another_version_is_told_in_a_line(bpe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TokenizerClient, "_popen", lambda _client, fd: of_another_version(fd))
    with pytest.raises(ModelLoadError, match="another version"):
        await TokenizerClient.start(str(bpe))


async def test_nobody_waits_long_for_a_process_to_be_started_again(bpe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(bpe) as client:
        monkeypatch.setattr(tokenizer, "PATIENCE", 0.0)
        os.kill(client.pid, signal.SIGKILL)
        await until(lambda: not client.ready)
        with pytest.raises(EngineUnavailable, match="being started again"):
            await encode(client, "hello")
        await until(lambda: client.ready)
        assert len(await encode(client, "hello")) > 0


async def test_without_its_supervisor_nobody_waits_for_ever(
    slow: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def mistaken() -> None:
        raise ZeroDivisionError

    async with running(slow) as client:
        waiting = asyncio.create_task(encode(client, "a" * 2_000_000))
        await asyncio.sleep(0.05)
        monkeypatch.setattr(client._jobs, "crashed", mistaken)
        os.kill(client.pid, signal.SIGKILL)
        for text in (waiting, encode(client, "hello")):
            with pytest.raises(EngineUnavailable, match="restart the server"):
                await asyncio.wait_for(text, 10)
        assert not client.ready and "no longer supervised" in caplog.text


class Wire:
    """Records what `_Jobs` sends."""

    def __init__(self) -> None:
        self.sent: list[msgspec.Struct] = []
        self.jobs = _Jobs(self.sent.append)
        self.jobs.up = True

    def add(self, job_id: int, length: int) -> _Job:
        job = _Job(Encode(job_id, b"x" * length, False, False))
        self.jobs.add(job)
        return job

    def restart(self) -> None:
        self.jobs.crashed()
        self.sent.clear()
        self.jobs.up = True
        self.jobs.advance()

    def ids(self) -> list[int]:
        return [message.id for message in self.sent if isinstance(message, Encode)]


async def test_after_a_crash_texts_are_retried_one_by_one_shortest_first() -> None:
    wire = Wire()
    wire.add(1, 30), wire.add(2, 10)
    assert wire.ids() == [1, 2]
    wire.restart()
    late = wire.add(3, 20)
    assert wire.ids() == [2]
    wire.jobs.answered(2, [7])
    assert wire.ids() == [2, 1]
    wire.jobs.answered(1, [7])
    assert wire.ids() == [2, 1, 3]
    wire.jobs.answered(3, [9])
    assert late.answer.result() == [9]
    wire.add(4, 1), wire.add(5, 1)
    assert wire.ids() == [2, 1, 3, 4, 5]


async def test_only_the_text_that_was_there_at_both_crashes_fails() -> None:
    wire = Wire()
    small, guilty = wire.add(1, 10), wire.add(2, 30)
    wire.restart()
    wire.jobs.answered(1, [1])
    wire.restart()
    assert small.answer.result() == [1]
    with pytest.raises(BackendError):
        guilty.answer.result()
    assert wire.ids() == []
    wire.add(3, 1)
    assert wire.ids() == [3]


async def test_a_cancelled_text_is_not_retried() -> None:
    wire = Wire()
    job = wire.add(1, 10)
    job.answer.cancel()
    wire.jobs.forget(job)
    assert wire.sent[-1] == Forget(1)
    wire.restart()
    assert wire.ids() == []
