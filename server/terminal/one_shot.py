"""One question, one answer: nothing but the answer on standard output."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from server.terminal.client import JSON, Answer, Client, Piece
from server.terminal.visible import visible


@dataclass(frozen=True)
class Request:
    prompt: str
    system: str = ""
    raw: bool = False
    """Continue the prompt, without a chat template."""
    schema: Any = None
    """Of the JSON that the answer is."""
    options: JSON = field(default_factory=dict)


def answer(client: Client, request: Request) -> None:
    """Write it as it comes. Raises ServerError."""
    on_terminal = sys.stdout.isatty()
    said = Answer()
    with closing(_pieces(client, request, said)) as pieces:
        for piece in pieces:
            sys.stdout.write(visible(piece.content) if on_terminal else piece.content)
            sys.stdout.flush()
    if on_terminal and not said.content.endswith("\n"):
        sys.stdout.write("\n")
    if said.finish_reason == "length" and "max_tokens" not in request.options:
        sys.stderr.write("cut: the answer has reached its limit, or the context's end\n")


def whole_answer(client: Client, request: Request) -> JSON:
    """The server's answer object. Raises ServerError."""
    if _continues(client, request):
        return client.ask("/completions", _completion(request))
    return client.ask("/chat/completions", _chat(request))


def _pieces(client: Client, request: Request, said: Answer) -> Generator[Piece, None, None]:
    if _continues(client, request):
        return client.complete(_completion(request), said)
    return client.chat(_chat(request), said)


def _continues(client: Client, request: Request) -> bool:
    """Whether the prompt is to be continued: as was asked, or because the model knows no chats."""
    if request.raw:
        return True
    if client.props().get("chat_template", "some") or request.system:
        return False
    hint = "--chat-template NAME gives it one"
    sys.stderr.write(f"{visible(client.model)} has no chat template: it continues the text ({hint})\n")
    return True


def _chat(request: Request) -> JSON:
    messages = [{"role": "system", "content": request.system}] if request.system else []
    messages.append({"role": "user", "content": request.prompt})
    body = {"messages": messages, **request.options}
    if request.schema is not None:
        form = {"name": "answer", "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def _completion(request: Request) -> JSON:
    body = {"prompt": request.prompt, **request.options}
    if request.schema is not None:
        body["json_schema"] = request.schema
    if "max_tokens" not in body:
        body["n_predict"] = -1  # llama-server's word for no limit; OpenAI's is 16 tokens
    return body
