"""Fill-in-the-middle prompts: what stands between a prefix and a suffix is to be generated.

The repository-level form is Qwen2.5-Coder's (https://arxiv.org/abs/2409.12186), as llama-server builds it:

    [repo]myproject [separator]NAME text … [separator]filename [prefix]… [suffix]… [middle]

Where the vocabulary has no file separator, other files' texts stand before the prefix, with a mark between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.base import Tokenizer, TokenizerInfo
from server.errors import unsupported

REPOSITORY = "myproject\n"
FILE = "filename\n"
SNIPPET = "\n\n--- snippet ---\n\n"
"""Between texts, for a vocabulary without a file separator."""


@dataclass(frozen=True)
class ExtraFile:
    """Another file's text, for context."""

    text: str
    filename: str = "tmp"


@dataclass(frozen=True)
class Markers:
    """The three tokens that a model must have been trained with."""

    prefix: int
    suffix: int
    middle: int


def markers(info: TokenizerInfo, param: str) -> Markers:
    """Raises a 400 on the field `param` for a vocabulary that lacks one."""
    if info.fim_prefix is None or info.fim_suffix is None or info.fim_middle is None:
        tokens = {"prefix": info.fim_prefix, "suffix": info.fim_suffix, "middle": info.fim_middle}
        missing = ", ".join(name for name, token in tokens.items() if token is None)
        message = f"Infill is not supported by this model: its vocabulary has no token for the {missing}."
        raise unsupported(message, param)
    return Markers(info.fim_prefix, info.fim_suffix, info.fim_middle)


def fim_prompt(
    info: TokenizerInfo, marks: Markers, prefix: Sequence[int], suffix: Sequence[int], extra: Sequence[int] = ()
) -> list[int]:
    """The whole prompt. `prefix` and `suffix` are plain text's tokens, without BOS; `extra` is `extra_tokens`'."""
    bos = [info.bos] if info.add_bos and info.bos is not None else []
    return [*bos, *extra, marks.prefix, *prefix, marks.suffix, *suffix, marks.middle]


async def extra_tokens(tokenizer: Tokenizer, files: Sequence[ExtraFile]) -> list[int]:
    """What goes before the prefix: the other files, then the name of this one."""
    info = tokenizer.info
    tokens: list[int] = []
    if info.fim_repo is not None:
        tokens += [info.fim_repo, *await _plain(tokenizer, REPOSITORY)]
    for file in files:
        if info.fim_separator is not None:
            tokens += [info.fim_separator, *await _plain(tokenizer, file.filename + "\n")]
        else:
            tokens += await _plain(tokenizer, SNIPPET)
        tokens += await _plain(tokenizer, file.text)
    if info.fim_separator is not None:
        tokens += [info.fim_separator, *await _plain(tokenizer, FILE)]
    return tokens


def fit(
    prefix: Sequence[int], suffix: Sequence[int], extra: Sequence[int], room: int
) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Cut all three to `room` tokens together, keeping what is nearest to the middle.

    The prefix's end may have three quarters of the room, the suffix's beginning the rest; what one doesn't use, the
    other may. The other files get what is left.
    """
    room = max(room, 0)
    for_suffix = min(len(suffix), max(room // 4, room - len(prefix)))
    for_prefix = min(len(prefix), room - for_suffix)
    for_extra = room - for_prefix - for_suffix
    return _end(prefix, for_prefix), suffix[:for_suffix], _end(extra, for_extra)


def _end(tokens: Sequence[int], count: int) -> Sequence[int]:
    return tokens[max(0, len(tokens) - count) :]


async def _plain(tokenizer: Tokenizer, text: str) -> list[int]:
    return await tokenizer.encode(text, add_special=False, parse_special=False)
