"""The loads by name."""

from __future__ import annotations

from .arrivals import Arrivals
from .base import Load
from .chat import Chat
from .edits import Edits
from .json_schema import JsonSchema
from .long_prompt import LongPrompt
from .prediction import Prediction
from .shared_prompt import SharedPrompt
from .single_stream import SingleStream
from .start import Start
from .unique_prompts import UniquePrompts

LOADS: dict[str, Load] = {
    load.name: load
    for load in (
        Start(),
        SingleStream(),
        UniquePrompts(n_clients=1),
        UniquePrompts(n_clients=8),
        UniquePrompts(n_clients=16),
        UniquePrompts(n_clients=32),
        SharedPrompt(n_shared=512),
        SharedPrompt(n_shared=2048),
        LongPrompt(),
        JsonSchema(),
        Chat(),
        Edits(),
        Prediction(),
        Arrivals(),
    )
}

DEFAULT = ("start", "single", "unique-8", "unique-16", "shared-512", "long-prompt", "prediction", "json-schema")
"""Those that have a target."""
