"""The loop: drain messages → schedule → decode → sample → emit."""

from __future__ import annotations

import time
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher

from backends.base import (
    Drafter,
    GenerateRequest,
    PromptProgress,
    TokenChunk,
    TokenLogprob,
)

from .adapters import Adapters
from .channel import Channel
from .constraint import PATIENCE, BrokenConstraint, CompileQueue, Grammars, Masks
from .context import Context, Span
from .engine_messages import (
    Begun,
    Cancel,
    EngineCommand,
    FailureCode,
    LoadAdapter,
    RequestFailed,
    Resume,
    StepEvents,
    UnloadAdapter,
)
from .engine_stats import Counts, engine_stats
from .intake import Intake
from .kv_pool import KVPool
from .next_tokens import next_tokens
from .sampling import SamplingVocab, log_probabilities
from .scheduler import Scheduler, Work
from .sequence import Sequence
from .speculation import DraftModel, Speculation

STATS_INTERVAL = 0.2
"""Seconds between reports while busy."""
POLL_INTERVAL = 0.002
"""Seconds between looks at other threads' work, while there is nothing else to do."""
QUIET = 1.0
"""Seconds without work after which it is time for what isn't needed yet. Right after the start it would hold up the
first request: 0.8 s to the first token instead of 0.4 (0.5B, 2 cores)."""

Logits = npt.NDArray[np.float32]


class Engine:
    """One model's batch loop. Everything it says goes through `channel`; it ends when told, or when nobody listens."""

    def __init__(
        self,
        context: Context,
        pool: KVPool,
        vocab: SamplingVocab,
        channel: Channel[EngineCommand],
        step_budget: float,
        grammars: Grammars | None = None,
        drafters: Collection[Drafter] = (),
        draft_model: DraftModel | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        """`step_budget`: see `Scheduler`; `drafters` and `draft_model`: see `Speculation`. Without `grammars`, requests
        that have one are refused. Without `adapters`, none is ever asked for."""
        self._context = context
        self._adapters = adapters
        self._vocab = vocab
        self._ends = frozenset(vocab.eog.tolist())
        self._channel = channel
        self._pool = pool
        self._scheduler = Scheduler(
            pool, context.n_batch, context.n_ubatch, context.n_outputs, step_budget, mixes=not context.tiled
        )
        self._speculation = Speculation(self._scheduler.step_time, self._ends, drafters, draft_model)
        self._scheduler.speculation = self._speculation
        self._intake = Intake(context.n_ctx, vocab, self._speculation, grammars)
        self._masks = Masks()
        self._compiling = None if grammars is None else CompileQueue(grammars)
        self._held: dict[Sequence, tuple[Work, Logits]] = {}
        """Sequences whose masks took longer than the batch, with its logits for them."""
        self._requests: dict[str, list[Sequence]] = {}
        """Unfinished sequences by request id."""
        self._events: list[TokenChunk | PromptProgress | RequestFailed] = []
        self._counts = Counts()
        self._n_cramped = 0
        """Preemptions since a batch last found room: they end, even if the pool counts more room than there is."""
        self._reported = 0.0
        self._stopping = False

    def run(self) -> None:
        while self._drain():
            self._sample_held()
            batch = self._scheduler.schedule()
            for part in _apart(batch):
                self._compute([work for work in part if work.seq.slot is not None])
            if not batch and self._held:
                self._masks.wait(POLL_INTERVAL)
            self._emit()

    # --- messages in ---

    def _drain(self) -> bool:
        """Take in what has arrived, waiting for it if there is nothing to compute. False: time to end."""
        while not self._stopping:
            self._take_compiled()
            if not self._scheduler.idle:
                if not self._channel.ready():
                    break
            elif self._compiling:
                if not self._channel.ready(POLL_INTERVAL):
                    self._emit()
                    continue
            elif not self._channel.ready():
                self._report()
                if self._compiling is not None and not self._channel.ready(QUIET):
                    self._compiling.prepare()
            message = self._channel.receive()
            if isinstance(message, GenerateRequest):
                self._accept(Resume(message, {index: [] for index in range(message.n)}))
            elif isinstance(message, Resume):
                self._accept(message)
            elif isinstance(message, Cancel):
                self._cancel(message)
            elif isinstance(message, LoadAdapter) and self._adapters is not None:
                self._channel.send(self._adapters.load(message))
            elif isinstance(message, UnloadAdapter) and self._adapters is not None:
                self._pool.drop_adapter(message.id)
                self._adapters.unload(message.id)
            else:
                self._stopping = True
        return not self._stopping

    def _accept(self, job: Resume) -> None:
        if self._adapters is not None and not self._adapters.have(job.request.adapters):
            self._refuse(job.request, "a LoRA adapter of this request is not loaded", "unknown_adapter")
        elif job.request.grammar is None:
            self._begin(job, None)
        elif self._compiling is None:
            self._refuse(job.request, "this model can't follow grammars")
        else:
            self._compiling.add(job)

    def _take_compiled(self) -> None:
        """Begin with requests whose grammars are compiled by now."""
        for compiled in self._compiling.take() if self._compiling else ():
            if compiled.grammar is None:
                self._refuse(compiled.job.request, compiled.reason, "invalid_grammar")
            else:
                self._begin(compiled.job, compiled.grammar)

    def _begin(self, job: Resume, grammar: LLMatcher | None) -> None:
        try:
            sequences = self._intake.sequences(job, grammar)
        except ValueError as error:
            self._refuse(job.request, str(error))
            return
        except BrokenConstraint as error:
            self._refuse(job.request, str(error), "invalid_grammar")
            return
        self._requests[job.request.id] = sequences
        for seq in sequences:
            self._scheduler.add(seq)

    def _refuse(self, request: GenerateRequest, reason: str, code: FailureCode = "invalid_request") -> None:
        self._channel.send(StepEvents([RequestFailed(request.id, reason, code)]))

    def _cancel(self, cancel: Cancel) -> None:
        if self._compiling and cancel.index is None:
            self._compiling.cancel(cancel.id)
        for seq in list(self._requests.get(cancel.id, ())):
            if cancel.index is None or seq.index == cancel.index:
                self._retire(seq)

    # --- a step ---

    def _compute(self, batch: list[Work]) -> None:
        if not batch:
            return
        if new := {work.seq.request.id: None for work in batch if not work.seq.begun}:
            self._channel.send(Begun(list(new)))
            for work in batch:
                work.seq.begun = True
        spans = [_span(work) for work in batch]
        self._masks.begin(batch)
        started = time.monotonic()
        if self._adapters is not None:
            self._adapters.apply(batch[0].seq.adapters)
        result = self._context.decode(spans)
        if result != 0:
            self._recover(result, batch)
            return
        self._scheduler.computed(batch, time.monotonic() - started)
        self._counts.steps += 1
        self._n_cramped = 0
        # All of them first: a request that fails takes its other sequences along, which park what is computed so far.
        for work in batch:
            self._scheduler.advance(work)
        row = 0
        logits = self._context.logits()
        deadline = time.monotonic() + PATIENCE
        for work, span in zip(batch, spans, strict=True):
            rows = logits[row : row + span.n_outputs]
            row += span.n_outputs
            if work.seq.slot is None:  # retired, because its request has failed with another of its sequences
                continue
            if work.seq.n_computed - work.n < work.seq.n_prompt:
                self._after_prefill(work, rows)
            if work.seq.n_remaining == 0:
                self._after_last_token(work, rows[-1 - len(work.drafts) :], deadline)

    def _after_prefill(self, work: Work, rows: Logits) -> None:
        """Count and report prompt tokens; score them if asked to."""
        seq = work.seq
        self._counts.prompt_tokens += work.n
        scores: list[TokenLogprob] = []
        n_top = seq.request.prompt_logprobs
        if n_top is not None and seq.n_scored < seq.n_to_score:
            first = seq.n_computed - work.n
            tokens = seq.array(seq.n_prompt)
            for i in range(max(first, seq.n_scored), min(seq.n_computed, seq.n_prompt - 1)):
                scores.append(log_probabilities(rows[i - first], int(tokens[i + 1]), n_top))
            seq.n_scored += len(scores)
        if seq.index == 0 and not seq.prompt_done:  # done before, if it is computed again after preemption
            processed = min(seq.n_computed, seq.n_prompt)
            seq.prompt_done = processed == seq.n_prompt
            progress = PromptProgress(
                seq.request.id, processed, seq.n_cached, seq.queued, done=seq.prompt_done, logprobs=scores
            )
            self._events.append(progress)

    def _after_last_token(self, work: Work, rows: Logits, deadline: float = 0.0) -> None:
        """All tokens are computed, and perhaps drafts: choose the next ones; or end. `deadline`: until when masks are
        waited for, by the monotonic clock."""
        seq, request = work.seq, work.seq.request
        if seq.max_new == 0 or not len(rows):
            self._events.append(TokenChunk(request.id, seq.index, [], finish_reason="length"))
            self._retire(seq)
            return
        try:
            masks = None
            if seq.constraint is not None:
                masks = self._masks.take(seq.constraint, deadline - time.monotonic())
                if masks is None:
                    self._held[seq] = (work, rows.copy())
                    return
            chunk = next_tokens(seq, rows, work.drafts, masks, self._ends)
        except BrokenConstraint as error:
            self._fail(request.id, str(error), "invalid_grammar")
            return
        seq.n_failed = 0
        self._counts.generation_tokens += len(chunk.tokens) + (chunk.stop_token is not None)
        self._scheduler.verified(work, chunk.n_accepted)
        self._events.append(chunk)
        if chunk.finish_reason is not None:
            self._retire(seq)

    def _sample_held(self) -> None:
        """Go on with sequences whose masks took longer than their batch, unless they have lost their cells since."""
        held, self._held = self._held, {}
        for seq, (work, rows) in held.items():
            if seq.slot is not None and seq.n_remaining == 0:
                self._after_last_token(work, rows)

    def _recover(self, result: int, batch: list[Work]) -> None:
        """A batch wasn't computed. 1: there was no room, and nothing has changed; make some, and try again. Otherwise
        nothing that was computed of its sequences is trusted: they are computed again, each alone, and the request of
        one that fails then is given up."""
        if result == 1 and any(work.drafts for work in batch):
            self._compute([Work(work.seq, work.n) for work in batch])
            return
        if result == 1 and self._pool.evict():
            return
        if result == 1 and self._n_cramped < self._context.n_slots and self._scheduler.preempt_youngest():
            self._n_cramped += 1
            return
        self._n_cramped = 0
        for work in batch:
            work.seq.n_failed += 1
            work.seq.forget_cells()
        for work in batch:
            if work.seq.n_failed == 1:
                self._scheduler.requeue(work.seq)
            elif work.seq.request.id in self._requests:  # it was alone
                self._fail(work.seq.request.id, f"llama.cpp could not compute a batch (llama_decode: {result})")

    def _fail(self, request_id: str, reason: str, code: FailureCode = "engine_error") -> None:
        self._events.append(RequestFailed(request_id, reason, code))
        self._cancel(Cancel(request_id))

    def _retire(self, seq: Sequence) -> None:
        self._scheduler.finish(seq)
        self._held.pop(seq, None)
        if seq.constraint is not None:
            self._masks.drop(seq.constraint)
        seq.sampler.close()
        siblings = self._requests[seq.request.id]
        siblings.remove(seq)
        if not siblings:
            del self._requests[seq.request.id]

    # --- messages out ---

    def _emit(self) -> None:
        if self._events:
            self._channel.send(StepEvents(self._events))
            self._events = []
        if time.monotonic() - self._reported >= STATS_INTERVAL:
            self._report()

    def _report(self) -> None:
        self._reported = time.monotonic()
        self._channel.send(
            engine_stats(self._scheduler, self._speculation, self._counts, n_compiling=len(self._compiling or ()))
        )


def _apart(batch: list[Work]) -> list[list[Work]]:
    """The batches to compute: a sequence with which one has failed is alone, and without drafts."""
    if not any(work.seq.n_failed for work in batch):
        return [batch] if batch else []
    sound = [work for work in batch if not work.seq.n_failed]
    return [sound, *([Work(work.seq, work.n)] for work in batch if work.seq.n_failed)]


def _span(work: Work) -> Span:
    """The tokens to compute, and the logits they must give: the last token's and its drafts' if nothing remains; all
    to be scored."""
    seq = work.seq
    assert seq.slot is not None
    if seq.n_scored < seq.n_to_score:
        n_outputs = work.n
    else:
        n_outputs = 1 + len(work.drafts) if work.n == seq.n_remaining and seq.max_new else 0
    return Span(seq.slot, work.tokens, seq.n_computed, n_outputs)
