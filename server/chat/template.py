"""A model's chat template: a conversation in, the prompt that the model was trained on out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from jinja2 import Template, TemplateSyntaxError

from backends.base import TokenizerInfo
from server.chat.messages import Message, Style, for_template
from server.chat.probe import probe
from server.chat.sandbox import Environment, Refused
from server.errors import APIError

RENDER_SECONDS = 10.0

_environment = Environment()


class ChatTemplateError(APIError):
    """A 400: the template refuses the conversation, fails on it, or can't be compiled."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="messages", code="chat_template_error")


class ChatTemplate:
    """Compiled at its first use and kept. `render` may be called from several threads at once."""

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        """`special_tokens`: variables such as `bos_token`; one that the model lacks is left undefined."""
        self.source = source
        self.special_tokens = dict(special_tokens or {})

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt. `variables` (the request's `chat_template_kwargs`) override all but the messages.

        Everything must be plain JSON data. Takes a tenth of a millisecond for a short conversation and may take
        RENDER_SECONDS for a hostile one, so call it off the event loop. Raises ChatTemplateError.
        """
        context = {
            **self.special_tokens,
            "tools": [] if tools is None and self.style.tools_as_list else tools,
            "documents": documents,
            "add_generation_prompt": add_generation_prompt,
            **(variables or {}),
            "messages": for_template(messages, self.style),
        }
        return self._run(context)

    def check(self) -> None:
        """Raises ChatTemplateError if the source isn't a template."""
        _ = self._compiled

    @cached_property
    def _compiled(self) -> Template:
        try:
            return _environment.from_string(self.source)
        except TemplateSyntaxError as error:
            raise ChatTemplateError(
                f"The chat template has an error in line {error.lineno}: {error.message}"
            ) from error
        except Exception as error:
            raise ChatTemplateError(f"The chat template can't be compiled: {_describe(error)}") from error

    @cached_property
    def style(self) -> Style:
        """What it handles, found out at the first use, in RENDER_SECONDS at most: call it off the event loop. Raises
        ChatTemplateError."""
        self.check()
        end = time.monotonic() + RENDER_SECONDS
        return probe(self.source, lambda context: self._run({**self.special_tokens, **context}, end))

    def _run(self, context: dict[str, Any], end: float | None = None) -> str:
        """`end`: when it must be done, on the monotonic clock."""
        template = self._compiled
        _environment.begin(time.monotonic() + RENDER_SECONDS if end is None else end, context)
        try:
            return template.render(context)
        except Refused as error:
            raise ChatTemplateError(str(error)) from error
        except Exception as error:
            raise ChatTemplateError(f"The chat template failed on these messages: {_describe(error)}") from error


def special_tokens(info: TokenizerInfo) -> dict[str, str]:
    """The variables `bos_token` and `eos_token`."""
    tokens = {"bos_token": info.bos, "eos_token": info.eos}
    return {name: info.pieces[t].decode("utf-8", "replace") for name, t in tokens.items() if t is not None}


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__
