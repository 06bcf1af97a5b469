"""What a setting is: how it is given, read, checked and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

Positive = Meta(ge=1)
Natural = Meta(ge=0)
Threads = Annotated[int, Meta(ge=-1)]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting. It stands in the annotation of the field that holds its value."""

    flags: tuple[str, ...]
    group: str
    help: str
    metavar: str = "N"
    shorthands: Mapping[str, str] = field(default_factory=dict)
    """Flags without a value, and the value that each stands for."""
    prefixed: Mapping[str, str] = field(default_factory=dict)
    """Flags whose value stands for one that begins with this."""
    parse: Callable[[str], Any] | None = None
    """Reads the text of a flag or of the environment, where msgspec's own reading isn't it. Raises ValueError."""
    expects: str = ""
    """What `parse` takes, for messages."""
    separator: str = ""
    """Between the parts of a list."""
    repeatable: bool = False
    secret: bool = False
    """Whether messages must not repeat what was given."""
    default_text: str = ""
    """The default in words, where the value doesn't tell."""

    name: str = ""
    type: Any = None
    """With its bounds, as msgspec checks it."""
    default: Any = None

    @property
    def env(self) -> str:
        return f"PADDOCK_{self.key.replace('-', '_').upper()}"

    @property
    def key(self) -> str:
        """Its name in a configuration file: the long flag's."""
        long = [flag for flag in (*self.flags, *self.shorthands) if flag.startswith("--")]
        return long[0].removeprefix("--")


def flag(flags: str, group: str, text: str, **rest: Any) -> Setting:
    """A setting given by these flags, separated by spaces; `rest` as Setting has it."""
    return Setting(flags=tuple(flags.split()), group=group, help=text, **rest)


def layers(text: str) -> int:
    """Reads a number of layers; auto is -1 and all is -2, as in llama-server."""
    return {"auto": -1, "all": -2}.get(text) or int(text)
