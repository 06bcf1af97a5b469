"""What the routes work with: the loaded model and the server's settings."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from backends.base import Backend, ModelInfo
from server.access.caller import Caller
from server.access.key_store import KeyStore
from server.admission import Admission
from server.chat.dialect import Dialect
from server.chat.template import ChatTemplate
from server.draining import Drain
from server.errors import unavailable, unknown_model, unsupported
from server.limits import Limits
from server.metrics import Metrics
from server.observed_backend import ObservedBackend
from server.request_record import current

if TYPE_CHECKING:  # not imported unless requests are traced
    from server.spans import Spans

TEMPLATE_FOR_TOOLS = "tokenizer.chat_template.tool_use"
"""The GGUF key of what Transformers calls a named template."""


@dataclass(kw_only=True)
class AppState:
    """One per application."""

    model_names: list[str]
    """The model's ids; all name the same model."""
    backend: Backend | None = None
    """None while the model loads."""
    chat_template: ChatTemplate | None = None
    """None: the model has none, and none was named."""
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
    default_max_tokens: int | None = None
    """Of chat requests that don't say; None: to the context's end."""
    sse_ping_interval: float = 5.0
    """Seconds between comments that keep a stream's connection open; 0: none."""
    max_queue: int | None = None
    """Sequences that may wait for a place among those that are computed; None: any number."""
    log_prompts: bool = False
    spans: Spans | None = None
    drain: Drain = field(init=False, default_factory=Drain)
    admission: Admission = field(init=False)
    metrics: Metrics = field(init=False)
    _dialects: dict[str, Dialect] = field(init=False, default_factory=dict)
    """By their templates' sources."""

    def __post_init__(self) -> None:
        self.admission = Admission(self.max_queue)
        self.metrics = Metrics(self.model_names[0], lambda: self.backend)

    def loaded(self) -> Backend:
        """The backend, measured. Raises a 503 while there is none. While its engine is started again, requests wait."""
        if self.backend is None:
            raise unavailable("The model is still loading.")
        return ObservedBackend(self.backend, self.metrics, self.admission)

    def dialect(self, *, tools: bool = False) -> Dialect:
        """Of the loaded model. `tools`: for a conversation with tools, for which some models have a template apart.

        Raises a 400 if the model has no chat template.
        """
        if self.chat_template is None:
            message = "This model's file has no chat template: start the server with --chat-template NAME or FILE."
            raise unsupported(message, "messages")
        template, backend = self.chat_template, self.loaded()
        if tools and template.source == backend.model.chat_template:
            source = backend.model.metadata.get(TEMPLATE_FOR_TOOLS, template.source)
            template = ChatTemplate(source, template.special_tokens)
        if template.source not in self._dialects:
            self._dialects[template.source] = Dialect(template, backend.tokenizer.info)
        return self._dialects[template.source]

    def check_model(self, name: str | None, caller: Caller) -> None:
        """Raises a 404 for a model that isn't here, or not for this caller. None: the model that is here."""
        names = caller.may_use(self.model_names)
        if name not in names and (name is not None or not names):
            raise unknown_model(name, names)
        if name is not None and (record := current()) is not None:
            record.model = name

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
