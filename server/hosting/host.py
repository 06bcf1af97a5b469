"""All models of the server: which name means which, who is loaded, and who has to make room."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from contextvars import Context
from time import monotonic
from typing import Any

from backends.base import ModelLoadError
from server.access.caller import Caller
from server.errors import APIError, retired, unavailable, unknown_model
from server.hosting.catalog import CatalogError
from server.hosting.hosted_model import HostedModel
from server.hosting.policy import NO_LIMITS, Limits, plan
from server.hosting.served import Served

log = logging.getLogger("paddock.models")


class Host:
    """One per application."""

    def __init__(
        self,
        models: Sequence[HostedModel],
        *,
        on_demand: bool = False,
        autoload: bool = True,
        limits: Limits = NO_LIMITS,
    ) -> None:
        """`on_demand`: models are loaded when they are first needed; else there is one, loaded at the start.
        `autoload`: whether by any request, or only if an operator says so."""
        self._host(models)
        self.on_demand = on_demand
        self.autoload = autoload
        self.limits = limits
        self._work: dict[HostedModel, asyncio.Task[None]] = {}
        """Who is being loaded or unloaded."""
        self._loads = 0
        self._errands: set[asyncio.Task[None]] = set()
        """Who waits for a model on an operator's behalf."""
        self._again: asyncio.TimerHandle | None = None
        self._renewing = asyncio.Lock()
        self._stopped = False

    # --- names ---

    def served(self) -> Iterator[Served]:
        """Everything that a request may name."""
        for model in self.models:
            for name in model.spec.names:
                yield Served(name, model)
            for name in model.adapters.names:
                yield Served(name, model, adapter=name)

    def names(self, caller: Caller | None = None) -> list[str]:
        """Those that the caller may use."""
        names = [served.name for served in self.served()]
        return names if caller is None else caller.may_use(names)

    def resolve(self, name: str | None, caller: Caller) -> Served:
        """What `name` means. None: the first that this caller may use. Raises a 404 for what isn't here, or not for
        this caller."""
        served = {each.name: each for each in self.served()}
        names = caller.may_use([*served])
        wanted = names[0] if name is None and names else name
        if wanted not in names:
            raise unknown_model(name, names)
        return served[wanted]

    # --- who is loaded ---

    @property
    def started(self) -> bool:
        """Whether the models that are loaded at the start have been, or can't be."""
        first = [model for model in self.models if model.spec.load_on_startup or not self.on_demand]
        return all(model.ever_loaded or model.failure is not None for model in first)

    @property
    def ready(self) -> bool:
        """Whether requests are to be sent here."""
        return self.on_demand or all(model.to_be_had for model in self.models)

    async def load(self, model: HostedModel) -> None:
        """As soon as there is room. Raises ModelLoadError."""
        model.retry()
        with model.use() as use:
            await model.admit(use)

    def begin_loading(self, model: HostedModel) -> None:
        """The same, while the caller does something else: the model tells of a failure."""
        task = asyncio.create_task(self._load_quietly(model), context=Context())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _load_quietly(self, model: HostedModel) -> None:
        with suppress(ModelLoadError, APIError):
            await self.load(model)

    async def unload(self, model: HostedModel) -> None:
        """What it answers has the time of its settings to end."""
        model.refuse_waiting(unavailable("The model was unloaded while this request waited for it."))
        if model.state == "loading":
            _call_off(self._work[model])
        if model.state == "loaded":
            model.dismissed = True
            self.review()
            try:
                async with asyncio.timeout(model.spec.stop_timeout):
                    await model.gone.wait()
            except TimeoutError:
                if model.state == "loaded":
                    self._start(model, model.stop())
            else:
                return  # who was woken before may have begun to load it again
        await model.gone.wait()

    async def renew(self, models: Sequence[HostedModel]) -> None:
        """Have these from now on. Of one that is as before the old one stays as it is; one that is to be run otherwise,
        or is there no more, is unloaded. One renewal after the other: each goes by what the last one has left.
        Raises CatalogError, if a model is called like an adapter that was loaded meanwhile."""
        async with self._renewing:
            await self._renew(models)

    async def _renew(self, models: Sequence[HostedModel]) -> None:
        before = {model.name: model for model in self.models}
        kept = {model.name for model in models if model.name in before and before[model.name].given == model.given}
        staying = [before[model.name] if model.name in kept else model for model in models]
        _check_names(staying)
        leaving = [model for name, model in before.items() if name not in kept]
        for model in leaving:
            model.retired = True
        await asyncio.gather(*(self.unload(model) for model in leaving))
        for model in leaving:
            model.refuse_waiting(retired())
        self._host(staying)

    def _host(self, models: Sequence[HostedModel]) -> None:
        self.models = list(models)
        for model in self.models:
            model.on_change = self.review

    def review(self) -> None:
        """Decide who is loaded and who leaves."""
        if self._stopped:
            return
        now = monotonic()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        decided = plan([model.standing() for model in self.models], self.limits, now)
        for i in decided.load:
            self._start(self.models[i], self.models[i].load())
        for i, model in enumerate(self.models):
            if model.state == "loaded":
                model.close(i in decided.close)
                if model.closed and not model.standing().running:
                    log.info("unloading %s", model.name)
                    self._start(model, model.stop())
        for i in decided.sleep:
            log.info("%s sleeps until it is needed", self.models[i].name)
            self._start(self.models[i], self.models[i].stop(sleeps=True))
        if decided.again is not None:
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(decided.again - now, self.review, context=Context())

    async def stop(self) -> None:
        """Unload everything, for good."""
        self._stopped = True
        if self._again is not None:
            self._again.cancel()
        for errand in self._errands:
            errand.cancel()
        for model, work in self._work.items():
            if model.state == "loading":
                _call_off(work)
        await asyncio.gather(*self._work.values(), return_exceptions=True)
        await asyncio.gather(*(model.stop() for model in self.models if model.state == "loaded"))

    def _start(self, model: HostedModel, work: Coroutine[Any, Any, None]) -> None:
        """Load or unload it, beside everything else."""
        # Whoever happens to have caused it, what it logs and leaves running is not that request's.
        task = self._work[model] = asyncio.create_task(work, context=Context())
        task.add_done_callback(lambda task: self._done(model, task))

    def _done(self, model: HostedModel, task: asyncio.Task[None]) -> None:
        if self._work[model] is task:  # else whoever woke first has begun to unload what it has loaded
            del self._work[model]
        if task.cancelled():
            model.given_up()
        elif (error := task.exception()) is not None:
            log.critical("%s: %s", model.name, error, exc_info=error)
            model.given_up()
        elif model.state == "loaded":
            _settle_memory(first=self._loads == 0)
            self._loads += 1
        self.review()


def _check_names(models: Sequence[HostedModel]) -> None:
    """Raises CatalogError if one means two things: the catalog doesn't know adapters that came over HTTP."""
    known: set[str] = set()
    for model in models:
        names = {*model.spec.names, *model.adapters.names, *model.adapters.coming}
        if twice := sorted(names & known):
            raise CatalogError(f"a model and a LoRA adapter are both called {twice[0]}")
        known |= names


def _call_off(work: asyncio.Task[None]) -> None:
    """Once: a second time would interrupt the first one's clearing up, and leave processes behind."""
    if not work.cancelling():
        work.cancel()


def _settle_memory(*, first: bool) -> None:
    """What is here now stays: looking through it for garbage would stop all streams for 20 ms. What an earlier model
    has left behind doesn't, and is looked for now."""
    if not first:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
