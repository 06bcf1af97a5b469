"""One of the server's models, from the first request that needs it to its unloading, and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

from backends.base import Backend, EngineStats, ModelLoadError
from server.admission import Admission
from server.chat.dialect import Dialect
from server.errors import model_not_loaded, retired, unavailable
from server.hosting.adapters import ModelAdapters
from server.hosting.catalog import ModelSpec
from server.hosting.fetching import Fetching
from server.hosting.opened import Known, Opened, Opener
from server.hosting.policy import Standing, State
from server.hosting.users import Use, Users

SHORTEST_TURN = 1.0
"""Seconds. A model keeps its place for at least as long as loading it took: else the server might do nothing else."""
RETRY_SECONDS = (5.0, 15.0, 60.0)
"""After a first failed load, a second and any further one: requests that come sooner are told of that one."""

Status = Literal["unloaded", "loading", "loaded", "sleeping"]
"""llama-server's words."""

log = logging.getLogger("paddock.models")


@dataclass(frozen=True)
class LoadFailure:
    reason: str
    n: int
    """How many there were in a row."""
    until: float
    """When it may be tried again."""


class HostedModel:
    """`on_change` is told whenever the host might have to decide anew."""

    def __init__(
        self,
        spec: ModelSpec,
        opener: Opener,
        *,
        fitted: Callable[[ModelSpec], ModelSpec] = lambda spec: spec,
        max_queue: int | None = None,
        at_start: bool = False,
    ) -> None:
        """`fitted` finds out what the model needs, each time before there is to be room for it. It may take a while.
        Raises ModelLoadError. `at_start`: the server begins with this model, and tells of its first load itself."""
        self.spec = self.given = spec
        """As the catalog has it (`given`), and with what has been found out since."""
        self.adapters = ModelAdapters(spec.adapters)
        self._fitted = fitted
        self._at_start = at_start
        self.admission = Admission(max_queue)
        self.state: State = "unloaded"
        self.closed = False
        """It takes no new requests: they wait until it is loaded again."""
        self.dismissed = False
        self.retired = False
        """It is no longer one of the server's, and is not to be loaded again."""
        self.failure: LoadFailure | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.gone = asyncio.Event()
        """Set while it takes no memory."""
        self.gone.set()
        self._open = opener
        self._opened: Opened | None = None
        self._known: Known | None = None
        self._sleeping = False
        self._fetching = Fetching()
        self._one_at_a_time = asyncio.Lock()
        """Whoever finds that the model is to be loaded."""
        self._users = Users()
        self._turn_ends = 0.0
        self._earlier = EngineStats()
        """Of its engines that have been unloaded."""

    @property
    def name(self) -> str:
        """The first of its names: what the log and metrics call it."""
        return self.spec.names[0]

    # --- what it is like ---

    @property
    def backend(self) -> Backend:
        """For those who use it. Raises a 503 if it has been taken away from them."""
        return self._in_place.backend

    @property
    def _in_place(self) -> Opened:
        if self._opened is None:
            raise unavailable("The model has been unloaded.")
        return self._opened

    @property
    def loaded(self) -> bool:
        """Whether a request that comes now needn't wait for it to be loaded."""
        return self.state == "loaded" and not self.closed

    @property
    def ready(self) -> bool:
        """Whether it would be run at once then: its engine may be about to be started again."""
        return self._opened is not None and self._opened.backend.ready

    @property
    def ever_loaded(self) -> bool:
        return self._opened is not None or self._known is not None

    @property
    def to_be_had(self) -> bool:
        """Whether such a request would be run, once the model is loaded again if it isn't now."""
        return self.ready if self._opened is not None else self.ever_loaded and self.failure is None

    @property
    def status(self) -> Status:
        if self.state == "unloaded":
            if self._users.waiting or self._fetching.busy:
                return "loading"
            return "sleeping" if self._sleeping else "unloaded"
        return "loading" if self.state == "loading" else "loaded"

    @property
    def known(self) -> Known | None:
        opened = self._opened  # once: other threads ask too
        return self._known if opened is None else Known.of(opened)

    @property
    def stats(self) -> EngineStats | None:
        """The engine's latest; counters go on where an earlier load's ended. None: it was never loaded."""
        if self._opened is not None:
            return self._opened.backend.stats.after(self._earlier)
        return self._earlier if self.ever_loaded else None

    @property
    def default_max_tokens(self) -> int | None:
        """Of chat requests that don't say; None: to the context's end."""
        limit = self.spec.settings.n_predict
        return None if limit < 0 else limit

    def dialect(self, *, tools: bool = False) -> Dialect:
        """How it talks, for those who use it. `tools`: in a conversation with tools. Raises a 400 if it doesn't."""
        return self._in_place.dialect(tools=tools)

    def standing(self) -> Standing:
        return Standing(
            self.state,
            self.spec.memory_needed,
            self._users.n_running,
            self._users.waiting_since,
            self._users.last,
            self._turn_ends,
            self.dismissed,
        )

    # --- who uses it ---

    @contextmanager
    def use(self) -> Iterator[Use]:
        use = Use()
        try:
            yield use
        finally:
            self._users.leave(use)
            self.on_change()

    async def admit(self, use: Use, *, autoload: bool = True) -> Backend:
        """The backend, once it is loaded and `use` runs on it. Without `autoload` only a model that sleeps is woken.
        Raises ModelLoadError, and a 400 for a model that isn't to be loaded for this."""
        users = self._users
        if not (use in users or self.loaded):
            with users.coming(use):
                async with self._one_at_a_time:
                    if use.refusal is None and not (users.waiting or self.state == "loading" or self.loaded):
                        await self._expect(autoload=autoload)
            if use.refusal is not None:
                raise use.refusal
            if not self.loaded:
                waiting = users.wait(use)
                self.on_change()
                await waiting
        users.run(use)
        return self.backend

    async def _expect(self, *, autoload: bool) -> None:
        """What is to be known before it is to be loaded."""
        if self.retired:
            raise retired()
        if not (autoload or self._sleeping):
            raise model_not_loaded(self.name)
        if self.failure is not None and monotonic() < self.failure.until:
            raise ModelLoadError(self.failure.reason)
        if self.state != "unloaded":
            return
        try:
            self.spec = await self._fetching.fetched(self.spec)
            self.spec = await asyncio.to_thread(self._fitted, self.spec)
        except ModelLoadError as error:
            self._failed(str(error))
            raise

    def refuse_waiting(self, error: Exception) -> None:
        self._users.refuse_waiting(error)

    # --- its life ---

    def close(self, closed: bool) -> None:
        """Whether new requests are to wait."""
        if self.closed and not closed:
            self.closed = False
            self._users.admit_waiting()
        self.closed = closed

    def load(self) -> Coroutine[Any, Any, None]:
        """Call it when there is room, and do what it returns: those who wait learn of a failure."""
        self._log(logging.INFO, "loading %s", self.name)
        self.state = "loading"
        self.gone.clear()
        return self._load()

    def put_in_place(self, opened: Opened, seconds: float = 0.0) -> None:
        """It is loaded, which took so long."""
        self._opened = opened
        self.state, self.failure, self._sleeping = "loaded", None, False
        self.gone.clear()
        self._users.last = monotonic()
        self._turn_ends = self._users.last + max(SHORTEST_TURN, seconds)
        self._users.admit_waiting()

    def stop(self, *, sleeps: bool = False) -> Coroutine[Any, Any, None]:
        """Unload it: do what this returns. What still runs on it fails."""
        opened = self._in_place
        self.state = "stopping"
        self._known = Known.of(opened)
        self._earlier = EngineStats().after(opened.backend.stats.after(self._earlier))
        self._opened = None
        return self._stop(opened.backend, sleeps=sleeps)

    def given_up(self) -> None:
        """Loading or unloading it has been cancelled."""
        self._is_gone()
        self.refuse_waiting(unavailable("The model was unloaded while this request waited for it."))

    def retry(self) -> None:
        """Forget that it could not be loaded."""
        self.failure = None

    async def _load(self) -> None:
        began = monotonic()
        try:
            opened = await self._with_adapters(await self._open(self.spec))
        except ModelLoadError as error:
            self._failed(str(error))
        except Exception as error:  # a mistake of ours, or a machine that can start no process
            log.error("%s cannot be loaded", self.name, exc_info=error)
            self._failed(f"cannot load {self.spec.path.name}: {type(error).__name__}")
        else:
            self.put_in_place(opened, monotonic() - began)

    async def _with_adapters(self, opened: Opened) -> Opened:
        try:
            await self.adapters.opened(opened.backend)
        except BaseException:
            await opened.backend.stop()
            raise
        return opened

    async def _stop(self, backend: Backend, *, sleeps: bool) -> None:
        await backend.stop()
        self._sleeping = sleeps
        self._is_gone()

    def _failed(self, reason: str) -> None:
        self._log(logging.ERROR, "%s: %s", self.name, reason)
        n = 1 if self.failure is None else self.failure.n + 1
        wait = RETRY_SECONDS[min(n, len(RETRY_SECONDS)) - 1]
        self.failure = LoadFailure(reason, n, monotonic() + wait)
        self._is_gone()
        self.refuse_waiting(ModelLoadError(reason))

    def _log(self, level: int, message: str, *details: object) -> None:
        if self.ever_loaded or not self._at_start:
            log.log(level, message, *details)

    def _is_gone(self) -> None:
        self.state, self.closed, self.dismissed = "unloaded", False, False
        self.gone.set()
