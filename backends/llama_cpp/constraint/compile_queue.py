"""Requests whose grammars are being compiled."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from llguidance import LLMatcher

from backends.llama_cpp.engine_messages import Resume

from .grammars import Grammars


@dataclass(frozen=True)
class Compiled:
    job: Resume
    grammar: LLMatcher | None
    reason: str = ""
    """Why there is no grammar."""


class CompileQueue:
    """They leave as their grammars are done, which isn't always as they came."""

    def __init__(self, grammars: Grammars) -> None:
        self._grammars = grammars
        self._waiting: list[tuple[Resume, Future[LLMatcher]]] = []

    def __len__(self) -> int:
        """How many sequences wait."""
        return sum(len(job.generated) for job, _ in self._waiting)

    def prepare(self) -> None:
        """Do beforehand what the first grammar would have to wait for."""
        self._grammars.prepare()

    def add(self, job: Resume) -> None:
        """One whose request has a grammar."""
        tried = any(job.generated.values())
        self._waiting.append((job, self._grammars.compile(job.request.grammar or "", tried=tried)))

    def take(self) -> list[Compiled]:
        """Those that are done."""
        done: list[Compiled] = []
        waiting = []
        for job, compiling in self._waiting:
            if compiling.done():
                done.append(_compiled(job, compiling))
            else:
                waiting.append((job, compiling))
        self._waiting = waiting
        return done

    def cancel(self, request_id: str) -> None:
        """If nobody else waits for its grammar, work on that isn't begun any more."""
        for entry in self._waiting:
            request = entry[0].request
            if request.id == request_id:
                self._waiting.remove(entry)
                if all(other.request.grammar != request.grammar for other, _ in self._waiting):
                    self._grammars.abandon(request.grammar or "")
                return


def _compiled(job: Resume, compiling: Future[LLMatcher]) -> Compiled:
    if (error := compiling.exception()) is not None:
        return Compiled(job, None, str(error))
    return Compiled(job, compiling.result())
