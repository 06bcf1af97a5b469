"""The model of the Hub that a command's argument names."""

from __future__ import annotations

from server.command_line import UsageError
from server.hub.name import HubName


def hub_name(text: str) -> HubName:
    """Raises UsageError."""
    name = HubName.parse(text)
    if name is None:
        raise UsageError(f"a model of the Hub is ORG/NAME[@REVISION][:QUANT], not {text!r}")
    return name
