"""What a name that a request gives stands for."""

from __future__ import annotations

from dataclasses import dataclass

from server.hosting.hosted_model import HostedModel


@dataclass(frozen=True)
class Served:
    name: str
    """As it was asked for."""
    model: HostedModel
    adapter: str | None = None
    """The LoRA adapter that is called so; None: the model itself is."""
