"""A model that is ready to answer, and what stays known of it when it is no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from backends.base import Backend, ModelInfo, TokenizerInfo
from server.chat.dialect import Dialect
from server.chat.template import ChatTemplate
from server.errors import unsupported
from server.hosting.catalog import ModelSpec

TEMPLATE_FOR_TOOLS = "tokenizer.chat_template.tool_use"
"""The GGUF key of what Transformers calls a named template."""


@dataclass(frozen=True)
class Opened:
    backend: Backend
    chat_template: ChatTemplate | None
    """None: the model has none, and none was named."""
    _dialects: dict[str, Dialect] = field(init=False, default_factory=dict)
    """By their templates' sources."""

    def dialect(self, *, tools: bool) -> Dialect:
        """How it talks. `tools`: in a conversation with tools, for which some models have a template apart. Raises a
        400 if it has no chat template."""
        template, backend = self.chat_template, self.backend
        if template is None:
            message = "This model's file has no chat template: start the server with --chat-template NAME or FILE."
            raise unsupported(message, "messages")
        if tools and template.source == backend.model.chat_template:
            source = backend.model.metadata.get(TEMPLATE_FOR_TOOLS, template.source)
            template = ChatTemplate(source, template.special_tokens)
        if template.source not in self._dialects:
            self._dialects[template.source] = Dialect(template, backend.tokenizer.info)
        return self._dialects[template.source]


Opener = Callable[[ModelSpec], Awaitable[Opened]]
"""Loads a model. Raises ModelLoadError."""


@dataclass(frozen=True)
class Known:
    """What is known of a model that has been loaded, whether it still is or not."""

    info: ModelInfo
    bos: str
    eos: str
    dialect: Dialect | None
    """Without the vocabulary, which is large: for what its template says."""

    @classmethod
    def of(cls, opened: Opened) -> Known:
        vocabulary, template = opened.backend.tokenizer.info, opened.chat_template
        bos, eos = (_text(vocabulary, token) for token in (vocabulary.bos, vocabulary.eos))
        without = msgspec.structs.replace(vocabulary, pieces=[])
        return cls(opened.backend.model, bos, eos, None if template is None else Dialect(template, without))


def _text(vocabulary: TokenizerInfo, token: int | None) -> str:
    return "" if token is None else vocabulary.pieces[token].decode("utf-8", "replace")
