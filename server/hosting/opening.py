"""From a model's file to a model that answers: its engine, its sampling defaults, its chat template."""

from __future__ import annotations

import logging

import msgspec

from backends.backend_of import backend_of
from backends.base import LoadableBackend, ModelLoadError
from server.chat.builtin import load as load_chat_template
from server.hosting.catalog import ModelSpec
from server.hosting.opened import Opened, Opener
from server.progress import LoadingBar

log = logging.getLogger("paddock")


async def open_model(spec: ModelSpec, launched: LoadableBackend | None = None) -> Opened:
    """`launched`: the model's backend, if somebody was ahead with starting it. Raises ModelLoadError."""
    settings = spec.settings
    backend = launched or backend_of(spec.engine_options())
    bar = LoadingBar(spec.path.name)
    try:
        await backend.start(bar)
    finally:
        bar.close()
    for note in backend.model.notes:
        log.info("%s", note)
    defaults = settings.sampling_defaults(backend.model.sampling_defaults)
    backend.model = msgspec.structs.replace(backend.model, sampling_defaults=defaults)
    template = settings.chat_template_file or settings.chat_template
    try:
        return Opened(backend, load_chat_template(template, backend.model.chat_template, backend.tokenizer.info))
    except ValueError as error:
        await backend.stop()
        raise ModelLoadError(str(error)) from None


def ahead(launched: LoadableBackend) -> Opener:
    """Takes a backend that has been launched already, at the first time."""
    first = [launched]

    async def opened(spec: ModelSpec) -> Opened:
        return await open_model(spec, first.pop() if first else None)

    return opened
