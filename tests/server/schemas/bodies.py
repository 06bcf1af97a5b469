"""The smallest bodies of the two endpoints, and what a body becomes."""

from __future__ import annotations

from typing import Any

from server.schemas.chat import ChatCompletionRequest
from server.schemas.completion import CompletionRequest
from server.schemas.rules import check_chat, check_completion
from server.schemas.validation import validate


def chat(**fields: Any) -> ChatCompletionRequest:
    request = validate(ChatCompletionRequest, {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})
    check_chat(request)
    return request


def completion(**fields: Any) -> CompletionRequest:
    request = validate(CompletionRequest, {"model": "m", "prompt": "hi", **fields})
    check_completion(request)
    return request
