"""What the routes work with: the models and the server's settings."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from backends.base import Backend, ModelInfo
from server.access.caller import caller_of
from server.access.key_store import KeyStore
from server.draining import Drain
from server.errors import invalid, unavailable
from server.hosting.host import Host
from server.hosting.hosted_model import HostedModel
from server.hosting.in_use import hold
from server.hosting.served import Served
from server.limits import Limits
from server.metrics import Metrics
from server.observed_backend import ObservedBackend
from server.request_record import current
from server.schemas.lora import LoraScale

if TYPE_CHECKING:  # not imported unless requests are traced
    from server.spans import Spans


@dataclass(kw_only=True)
class AppState:
    """One per application."""

    host: Host
    created: int = field(default_factory=lambda: int(time.time()))
    keys: KeyStore | None = None
    """Without: anyone is let in."""
    admin_apart: bool = False
    """Metrics and the like are served elsewhere (`create_admin_app`)."""
    cors_origins: tuple[str, ...] = ()
    """Sites whose pages may call."""
    limits: Limits = field(default_factory=Limits)
    request_timeout: float | None = None
    """Seconds that a request may take from its arrival; None: for ever."""
    sse_ping_interval: float = 5.0
    """Seconds between comments that keep a stream's connection open; 0: none."""
    log_prompts: bool = False
    models_now: Callable[[], list[HostedModel]] | None = None
    """Those that there are if the catalog is read again, which may take a while. Raises CatalogError."""
    spans: Spans | None = None
    drain: Drain = field(init=False, default_factory=Drain)
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.host)

    def resolve(self, name: str | None, request: Request) -> Served:
        """What a request means by `name`; None: the first model. Raises a 404 for what isn't here, or not for whoever
        asks."""
        served = self.host.resolve(name, caller_of(request))
        if (record := current()) is not None:
            record.model, record.served = name, served.model.name
        return served

    async def backend(self, request: Request, served: Served, adapters: Sequence[LoraScale] | None = None) -> Backend:
        """The model's backend, measured, which the request keeps until its answer is sent. Waits for the model to be
        loaded. While its engine is started again, requests wait too, but later. `adapters`: those that the request
        asks for instead of the ones that its model's name means.

        Raises ModelLoadError, a 429 if too many wait already, a 503 while the server starts, a 400 for an adapter that
        isn't there or a key that may not choose, and a 404 if the name was that of one that is gone.
        """
        model = served.model
        if adapters and served.adapter is not None and not caller_of(request).may_use(model.spec.names):
            raise invalid("Your API key may use the model only with the LoRA adapter that is named.", "lora")
        if not (self.host.on_demand or model.ever_loaded):
            raise unavailable("The model is still loading.")
        use = hold(request, model)
        if not model.loaded:
            with model.admission.waiting(model.spec.settings.parallel):
                await model.admit(use, autoload=_autoload(request, self.host.autoload))
        backend = await model.admit(use)
        chosen = model.adapters.chosen(served.adapter, adapters or (), caller_of(request))
        return ObservedBackend(backend, self.metrics.of_model(model.name), model.admission, chosen)

    def deadline(self) -> float | None:
        """When a request that arrives now must be done, on the running loop's clock."""
        if self.request_timeout is None:
            return None
        return asyncio.get_running_loop().time() + self.request_timeout


def state_of(request: Request) -> AppState:
    """The application's state."""
    state = request.app.state.paddock
    assert isinstance(state, AppState)
    return state


def fingerprint(model: ModelInfo) -> str:
    """OpenAI's `system_fingerprint`: the same as long as the same model runs in the same way."""
    identity = f"{model.path}|{model.description}|{model.size_bytes}|{model.n_params}|{model.n_ctx}"
    return "fp_" + hashlib.sha256(identity.encode()).hexdigest()[:10]


def _autoload(request: Request, default: bool) -> bool:
    """llama-server's `?autoload=true|false`."""
    asked = request.query_params.get("autoload")
    return default if asked is None else asked in ("true", "1")
