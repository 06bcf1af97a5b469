"""What a user calls a model of the Hub: `REPO[@REVISION][:QUANT]`, and how the Hub is asked for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

PREFIX = "hf://"
"""Before a name that is a repository's even if there is a file or folder of that name."""

_WORD = r"\w(?:[\w.-]{,94}\w)?"
_NAME = re.compile(
    rf"(?P<repo>(?![^:@]*(?:--|\.\.)){_WORD}/{_WORD})(?:@(?P<revision>[\w./-]+))?(?::(?P<quant>[\w.-]+))?", re.ASCII
)


class HubError(Exception):
    """The model can't be had; the message is one line."""


@dataclass(frozen=True)
class HubName:
    """Which model of which repository."""

    repo: str
    quant: str | None = None
    """As `Q4_K_M`, in any case; None: the repository's default."""
    revision: str | None = None
    """A branch, tag or commit; None: the main branch."""
    file: str | None = None
    """The path of the file in the repository, which then counts instead of `quant`."""

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """None: that isn't the name of a repository's model."""
        found = _NAME.fullmatch(text.removeprefix(PREFIX))
        if found is None or found["repo"].endswith(".git"):
            return None
        revision: str | None = found["revision"]
        if revision is not None and {"", ".", ".."} & set(revision.split("/")):  # it names a file of the cache
            return None
        return cls(found["repo"], found["quant"], revision)

    def __str__(self) -> str:
        return self.repo + (f"@{self.revision}" if self.revision else "") + (f":{self.quant}" if self.quant else "")


def token(text: str) -> str:
    """A token as it may stand in a header. Raises ValueError, which doesn't repeat it."""
    if not re.fullmatch(r"[!-~]+", text.strip()):
        raise ValueError("it is no token")
    return text.strip()


@dataclass(frozen=True)
class HubAccess:
    """How the Hub is asked."""

    token: str | None = field(default=None, repr=False)
    """None: huggingface_hub's own: $HF_TOKEN, or that of `hf auth login`."""
    offline: bool = False
    """Whether only the cache is asked, as with $HF_HUB_OFFLINE."""
