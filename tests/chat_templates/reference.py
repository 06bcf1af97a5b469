"""What Transformers makes of a conversation."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from jinja2.sandbox import SandboxedEnvironment

from tests.chat_templates.conversations import Message

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class Refusal(str):
    """Instead of a prompt: why there is none."""


@functools.cache
def transformers_tokenizer() -> Any:
    """One that knows nothing but the special tokens."""
    import tokenizers
    import transformers

    vocabulary = tokenizers.models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizers.Tokenizer(vocabulary), **TOKENS)


def apply_chat_template(
    source: str,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]] | None,
    *,
    add_generation_prompt: bool = True,
    variables: dict[str, Any] | None = None,
) -> str:
    try:
        prompt: str = transformers_tokenizer().apply_chat_template(
            messages,
            tools=tools,
            chat_template=source,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **variables or {},
        )
    except Exception as error:  # whatever a template does
        return Refusal(f"{type(error).__name__}: {error}")
    return prompt


def changing_lists(source: str, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> str:
    """The same where templates may change lists: Jinja's other sandbox in the place of the immutable one."""
    from transformers.utils import chat_template_utils

    compiled = chat_template_utils._compile_jinja_template
    compiled.cache_clear()
    try:
        with patch.object(chat_template_utils, "ImmutableSandboxedEnvironment", SandboxedEnvironment):
            return apply_chat_template(source, messages, tools)
    finally:
        compiled.cache_clear()


def as_documented(messages: Sequence[Message]) -> list[Message]:
    """The conversation as Transformers' documentation has it: the arguments of calls are objects."""
    return [
        {**message, "tool_calls": [_with_object(call) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else dict(message)
        for message in messages
    ]


def _with_object(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}
