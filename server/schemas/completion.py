"""The body of `POST /v1/completions`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from server import limits
from server.schemas.generation import GenerationFields
from server.schemas.json_types import INT32_MAX, Integer
from server.schemas.tools import ResponseFormat

DEFAULT_MAX_TOKENS = 16

TokenId = Annotated[int, Field(ge=0, le=INT32_MAX)]
Tokens = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]


def _prompt_form(value: Any) -> str | None:
    """One of OpenAI's four forms, told by the first item; the items are checked afterwards."""
    if isinstance(value, str):
        return "<text>"
    if not isinstance(value, list):
        return None
    first = value[0] if value else ""
    return "<token lists>" if isinstance(first, list) else "<texts>" if isinstance(first, str) else "<tokens>"


Prompt = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[list[str], Tag("<texts>"), Field(min_length=1, max_length=limits.SEQUENCES, fail_fast=True)]
    | Annotated[Tokens, Tag("<tokens>")]
    | Annotated[list[Tokens], Tag("<token lists>"), Field(min_length=1, max_length=limits.SEQUENCES, fail_fast=True)],
    Discriminator(
        _prompt_form,
        custom_error_type="prompt",
        custom_error_message="must be a string, a list of strings, a list of tokens or a list of token lists",
    ),
]


class CompletionRequest(GenerationFields):
    """OpenAI's CreateCompletionRequest, and llama-server's additions."""

    prompt: Prompt | None
    max_tokens: Annotated[Integer, Field(ge=-1)] | None = None
    """-1, which is llama-server's: to the context's end."""
    best_of: Annotated[Integer, Field(ge=0, le=20)] | None = None
    echo: bool | None = None
    logprobs: Annotated[Integer, Field(ge=0, le=5)] | None = None
    suffix: str | None = None
    response_format: ResponseFormat | None = None
    """A chat request's, which llama-server and vLLM take here too."""

    @property
    def prompts(self) -> list[str | list[int]]:
        """One entry per prompt, as text or as tokens. No prompt at all is a new document, as an empty text."""
        prompt = self.prompt
        if prompt is None or isinstance(prompt, str):
            return [prompt or ""]
        if isinstance(prompt[0], int):
            return [prompt]
        return list(prompt)

    @property
    def candidates(self) -> int:
        """Sequences to generate per prompt, of which `n` are returned."""
        return max(self.n or 1, self.best_of or 1)

    @property
    def completion_limit(self) -> int | None:
        """The most tokens to generate; None: to the context's end (-1)."""
        named = (self.max_tokens, self.n_predict, DEFAULT_MAX_TOKENS)
        limit = next(limit for limit in named if limit is not None)
        return None if limit == -1 else limit
