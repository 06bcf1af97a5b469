"""The settings of `paddock serve`: one file per group, where they come from, and all of them together."""

from .setting import Setting
from .settings import GROUPS, SETTINGS, Settings

__all__ = ["GROUPS", "SETTINGS", "Setting", "Settings"]
