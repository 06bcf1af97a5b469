"""Each load, small, against a real Paddock on the demo model; and a comparison from end to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
import pytest_asyncio

from backends.llama_cpp.vocab import Vocabulary
from benchmarks.answer import Answer, Refused
from benchmarks.client import HOST
from benchmarks.compare import Plan, compare
from benchmarks.limits import BareEngine
from benchmarks.loads.arrivals import Arrivals, LatencyTarget
from benchmarks.loads.base import Load, UnequalWork, ask, closed_loop
from benchmarks.loads.chat import Chat
from benchmarks.loads.edits import Edits
from benchmarks.loads.json_schema import JsonSchema, is_form
from benchmarks.loads.long_prompt import LongPrompt, gaps_between
from benchmarks.loads.prediction import Prediction
from benchmarks.loads.shared_prompt import SharedPrompt
from benchmarks.loads.single_stream import SingleStream
from benchmarks.loads.start import Start
from benchmarks.loads.unique_prompts import UniquePrompts
from benchmarks.models.files import DEMO, model_file
from benchmarks.peers import LlamaServer, Paddock, Setup
from benchmarks.processes import cpu_seconds, family, memory
from benchmarks.progress import Progress
from benchmarks.prompts import Prompts, user
from benchmarks.results import Results
from benchmarks.server_process import ServerProcess, StartFailed, running
from benchmarks.table import markdown

pytestmark = pytest.mark.asyncio(loop_scope="module")

SMALL: list[Load] = [
    Start(n_tokens=2, n_forms=1),
    # as long as it takes that the client, on a busy machine, doesn't read all of an answer at once
    SingleStream(n_requests=1, n_words=4, n_tokens=300),
    UniquePrompts(n_clients=4, n_words=10, n_tokens=100),
    SharedPrompt(n_shared=64, n_requests=4, n_words=4, n_tokens=4),
    LongPrompt(n_streams=2, n_words=60, n_tokens=2, n_before=4, n_stream_tokens=300),
    JsonSchema(n_requests=2, n_words=5),
    Chat(n_clients=2, n_turns=2, n_words=5, n_tokens=4),
    Edits(n_requests=1, n_words=8, most_tokens=32),
    Prediction(n_words=4, n_tokens=8, every=3),
    Arrivals(rate=50, target=LatencyTarget(10, 10), n_requests=4, n_words=5, n_tokens=4),
]
HELLO = [user("Hello")]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(str(model_file(DEMO)))


@pytest.fixture(scope="module")
def count(vocabulary: Vocabulary) -> Callable[[str], int]:
    return lambda text: len(vocabulary.tokenize(text.encode(), add_special=False, parse_special=False))


@pytest.fixture(scope="module")
def setup(vocabulary: Vocabulary) -> Setup:
    ends = tuple(sorted(vocabulary.info().eog_tokens))
    return Setup(model=model_file(DEMO), threads=1, parallel=4, ctx=2048, ends=ends)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(setup: Setup) -> AsyncIterator[ServerProcess]:
    async with running(Paddock(), setup) as process:
        yield process


@pytest.mark.parametrize("load", SMALL, ids=lambda load: load.name)
async def test_a_load_gives_its_figures(load: Load, server: ServerProcess, count: Callable[[str], int]) -> None:
    figures = await load.run(server, Prompts("test", count))
    assert set(figures) == {measure.name for measure in load.measures}
    assert all(figure > 0 for figure in figures.values())


@pytest.mark.parametrize(("finish_reason", "gaps"), [(None, [2.0, 3.0]), ("length", [2.0])])
async def test_only_a_stream_that_goes_on_waits(finish_reason: str | None, gaps: list[float]) -> None:
    """For a server that has ended it before, it was none to be disturbed."""
    stream = Answer(0.0, [1.0, 2.0, 4.0], "abc", 3, None, finish_reason)
    assert gaps_between(stream, 2.5, 7.0) == gaps


async def test_a_form_has_every_field() -> None:
    assert not is_form('{"product": "paper"}') and not is_form('{"product": ') and not is_form("[]")


async def test_arrivals_suit_themselves_to_the_machine(server: ServerProcess, count: Callable[[str], int]) -> None:
    load = await Arrivals(n_words=5, n_tokens=300).calibrated(server, Prompts("test", count))
    assert load.rate > 0 and load.target.first > 0 and load.target.gap > 0
    assert (await replace(load, rate=3.0).calibrated(server, Prompts("test", count))).rate == 3.0


async def test_an_answer_has_a_time_for_each_token(server: ServerProcess) -> None:
    answer = await ask(server, HELLO, 20, temperature=0)
    assert answer.n_tokens == 20 and answer.finish_reason == "length" and answer.n_prompt
    assert answer.sent < answer.times[0] and len(answer.times) <= 20
    assert sorted(answer.times) == answer.times and len(answer.gaps) == len(answer.times) - 1


async def test_an_answer_of_another_length_does_not_count(server: ServerProcess, setup: Setup) -> None:
    server.setup = replace(setup, ends=())  # the model may end its answer
    try:
        with pytest.raises(UnequalWork):
            await ask(server, HELLO, 500, temperature=0)
    finally:
        server.setup = setup


async def test_a_stream_that_breaks_off_is_no_answer(server: ServerProcess) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b'HTTP/1.1 200 OK\r\n\r\ndata: {"choices": [{"delta": {"content": "He"}}]}\n\n')
        writer.close()

    async with await asyncio.start_server(die, HOST, 0) as dying:
        port = dying.sockets[0].getsockname()[1]
        process = ServerProcess(server.peer, server.setup, server._process, port, server._log)
        with pytest.raises(Refused, match="broke off after 1 pieces"):
            await process.chat(HELLO, 20, may_end=True)


async def test_one_failure_ends_a_closed_loop(server: ServerProcess) -> None:
    async def refused() -> None:
        raise Refused(400, "no")

    with pytest.raises(Refused):
        await closed_loop((refused() for _ in range(5)), 2)


async def test_an_idle_server_settles(server: ServerProcess) -> None:
    assert await server.settled() < 0.05
    pid = server._process.pid
    assert len(family(pid)) >= 3  # API, engine and tokenizer
    assert cpu_seconds(pid) > 0
    held = memory(pid)
    assert held and held.megabytes > 50


async def test_a_program_that_ends_is_no_server(setup: Setup) -> None:
    with pytest.raises(StartFailed, match="ended at its start"):
        async with running(LlamaServer(Path("/bin/false")), setup):
            pass


async def test_a_comparison(setup: Setup, count: Callable[[str], int], tmp_path: Path) -> None:
    plan = Plan(
        servers=[Paddock(), LlamaServer(Path("/bin/false"))],
        limits=[BareEngine()],
        setup=setup,
        count=count,
        n_pairs=2,
        run_seconds=60,
        deadline=monotonic() + 120,
    )
    load = UniquePrompts(n_clients=2, n_words=5, n_tokens=8)
    comparison = await compare(load, plan, Progress(plan.n_turns(load)))
    assert [[run.contestant for run in runs] for runs in comparison.rounds] == [
        ["paddock", "engine without HTTP"],
        ["engine without HTTP", "paddock"],
    ]
    assert comparison.notes and "llama-server" in comparison.notes[0]
    found = comparison.against("engine without HTTP", "total")
    assert found and found.low <= found.value <= found.high

    file = tmp_path / "results.json"
    results = Results("demo", {"processor": "x"}, {load.name: comparison})
    results.save(file)
    assert Results.load(file) == results
    assert "| unique-2 | total ↑ |" in markdown(results)
