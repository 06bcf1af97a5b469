"""Settings as `paddock serve` would have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.commands.serve import COMMAND
from server.config import Settings
from server.config.sources import settings_of


def load_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Raises UsageError."""
    return settings_of(vars(COMMAND.parser("serve").parse(arguments)), environment)
