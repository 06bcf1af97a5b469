"""The file of a model that a command's argument names."""

from __future__ import annotations

from pathlib import Path

from server.commands.command import CommandError
from server.hub.name import HubAccess
from server.model_source import DEFAULT_ACCESS, ModelNotFound, find_model


def model_file(name: str | None, access: HubAccess = DEFAULT_ACCESS) -> Path:
    """As `find_model`. Raises CommandError."""
    try:
        return find_model(name, access)
    except ModelNotFound as error:
        raise CommandError(str(error)) from None
