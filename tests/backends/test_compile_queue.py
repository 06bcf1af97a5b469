"""Requests that wait for their grammars, without a compiler."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from backends.base import GenerateRequest, SamplingParams
from backends.llama_cpp.constraint import CompileQueue
from backends.llama_cpp.engine_messages import Resume


class Compiler:
    """Grammars are done when the test says so."""

    def __init__(self) -> None:
        self.jobs: dict[str, Future[Any]] = {}
        self.abandoned: list[str] = []

    def compile(self, grammar: str, *, tried: bool) -> Future[Any]:
        return self.jobs.setdefault(grammar, Future())

    def abandon(self, grammar: str) -> None:
        self.abandoned.append(grammar)


def queue_of(*asked: tuple[str, str]) -> tuple[CompileQueue, Compiler]:
    compiler = Compiler()
    queue = CompileQueue(compiler)  # type: ignore[arg-type]  # what it calls of Grammars
    for request_id, grammar in asked:
        request = GenerateRequest(
            id=request_id, prompt=[1], max_tokens=1, sampling=SamplingParams(), n=2, grammar=grammar
        )
        queue.add(Resume(request, {0: [], 1: []}))
    return queue, compiler


def taken(queue: CompileQueue) -> list[tuple[str, Any, str]]:
    return [(done.job.request.id, done.grammar, done.reason) for done in queue.take()]


def test_they_leave_as_their_grammars_are_done() -> None:
    queue, compiler = queue_of(("a", "slow"), ("b", "quick"), ("c", "quick"), ("d", "wrong"))
    assert len(queue) == 8 and taken(queue) == []
    compiler.jobs["quick"].set_result("compiled")
    compiler.jobs["wrong"].set_exception(ValueError("no grammar"))
    assert taken(queue) == [("b", "compiled", ""), ("c", "compiled", ""), ("d", None, "no grammar")]
    assert len(queue) == 2 and taken(queue) == []


def test_only_what_nobody_waits_for_is_abandoned() -> None:
    queue, compiler = queue_of(("a", "shared"), ("b", "shared"), ("c", "own"))
    queue.cancel("a")
    assert compiler.abandoned == [] and len(queue) == 4
    queue.cancel("b")
    queue.cancel("unknown")
    assert compiler.abandoned == ["shared"]
    queue.cancel("c")
    assert compiler.abandoned == ["shared", "own"] and not queue
    compiler.jobs["shared"].set_result("compiled")
    assert taken(queue) == []
