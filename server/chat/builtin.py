"""Which chat template a model gets: one that the operator names, the model's own, or none."""

from __future__ import annotations

import errno
from importlib import resources
from pathlib import Path

from backends.base import TokenizerInfo
from server.chat.template import ChatTemplate, ChatTemplateError, special_tokens

_FOLDER = resources.files(__package__) / "templates"

BUILTIN = ("alpaca", "chatml", "llama2", "llama3", "mistral", "vicuna")
"""For model files of the days when they carried no template."""


def builtin(name: str) -> str:
    """The source of a built-in template."""
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def chosen(name_or_file: str) -> str:
    """The source behind `--chat-template`: a built-in name, a file, or (as llama-server takes it) the template itself.

    Raises ValueError with a message for the command line.
    """
    if name_or_file in BUILTIN:
        return builtin(name_or_file)
    if "{{" in name_or_file or "{%" in name_or_file:
        return name_or_file
    try:
        return Path(name_or_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOENT:
            raise ValueError(
                f"no chat template '{name_or_file}': it is neither a file nor one of {', '.join(BUILTIN)}"
            ) from None
        raise ValueError(f"cannot read the chat template {name_or_file}: {error}") from None


def load(name_or_file: str | None, own: str | None, info: TokenizerInfo) -> ChatTemplate | None:
    """The template that was asked for, else the model's `own`, else None.

    Raises ValueError if what was asked for isn't there or isn't a template. The model's own is compiled at the first
    chat: if it is broken, chat answers 400 with the reason, and everything else works.
    """
    if name_or_file is None:
        return ChatTemplate(own, special_tokens(info)) if own else None
    template = ChatTemplate(chosen(name_or_file), special_tokens(info))
    try:
        template.check()
    except ChatTemplateError as error:
        raise ValueError(f"{name_or_file}: {error.message}") from None
    return template
