"""A client of OpenAI's API that waits for what it asked for, so that Ctrl-C ends the wait and cancels the request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2

from server.terminal.visible import visible

CONNECT_SECONDS = 10.0
FULL_CONTEXT = "maximum context length"

JSON = dict[str, Any]


class ServerError(Exception):
    """The server refused, failed, or can't be reached; the message is one line."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(" ".join(visible(message).split()))
        self.code = code

    @property
    def context_is_full(self) -> bool:
        """In OpenAI's words, llama-server's, or vLLM's."""
        return self.code in ("context_length_exceeded", "exceed_context_size_error") or FULL_CONTEXT in str(self)


@dataclass
class Answer:
    """An answer as far as it has come."""

    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    """None as long as more may come."""
    usage: JSON = field(default_factory=dict)
    timings: JSON = field(default_factory=dict)
    """llama-server's and Paddock's."""
    started: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    last_token: float = 0.0

    def speed(self) -> str:
        """How many tokens it took, and how fast they came, in words; empty if the server doesn't count them."""
        n = self.usage.get("completion_tokens")
        if self.first_token is None or not isinstance(n, int):
            return ""
        seconds = self.last_token - self.first_token
        per_second = self.timings.get("predicted_per_second") or (n / seconds if seconds > 0 else 0)
        n_prompt = self.usage.get("prompt_tokens", 0)
        cached = _object(self.usage.get("prompt_tokens_details")).get("cached_tokens") or 0
        waited = self.first_token - self.started
        prompt = f"{n_prompt} of prompt, {cached} of them cached"
        return f"{n} tokens, {per_second:.1f} tok/s; first after {waited:.2f} s ({prompt})"


@dataclass(frozen=True)
class Piece:
    """The next part of an answer."""

    content: str = ""
    reasoning: str = ""


class Client:
    """Of one server. Each method raises ServerError."""

    def __init__(self, url: str, api_key: str | None = None, model: str | None = None) -> None:
        """`url` ends with /v1, as OpenAI's SDK has it. `model`: the first of the server's, if left out."""
        if not _is_url(url):
            raise ServerError(f"{url!r} is no server's URL, as http://127.0.0.1:8000/v1 is")
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise ServerError("the API key can't be sent: it is not of visible ASCII characters")
        self.url = url.rstrip("/")
        self.api_key = api_key
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            # How long an answer may take is for whoever waits for it to say.
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            trust_env=not is_here(url),  # proxies are for what is elsewhere
        )
        self.model = model or ""
        if model is None:
            self.model = self.models()[0]

    def close(self) -> None:
        self._http.close()

    def models(self) -> list[str]:
        """The ids of the server's models; at least one."""
        found = self._json("GET", "/models")
        data = found.get("data")
        entries = data if isinstance(data, list) else []
        names = [entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
        if not names:
            raise ServerError(f"{self.url} has no models")
        return names

    def props(self) -> JSON:
        """llama-server's properties of the model; empty where there are none."""
        try:
            return self._json("GET", "/props", at=self._root, params={"model": self.model})
        except ServerError:
            return {}

    def generation_settings(self) -> JSON:
        """Of the properties: the context's length, and what a request has that doesn't say otherwise."""
        return _object(self.props().get("default_generation_settings"))

    def count_tokens(self, text: str) -> int | None:
        """None where the server can't tell."""
        try:
            found = self._json("POST", "/tokenize", {"model": self.model, "content": text}, at=self._root)
        except ServerError:
            return None
        tokens = found.get("tokens")
        return len(tokens) if isinstance(tokens, list) else None

    def ask(self, path: str, body: JSON) -> JSON:
        """The whole answer to a request, as /chat/completions and /completions give it."""
        return self._json("POST", path, {"model": self.model, **body})

    def chat(self, body: JSON, answer: Answer) -> Generator[Piece, None, None]:
        """The answer to a chat request as it comes; `answer` grows with it."""
        return self._stream("/chat/completions", body, answer, _chat_piece)

    def complete(self, body: JSON, answer: Answer) -> Generator[Piece, None, None]:
        """The same for a text completion."""
        return self._stream("/completions", body, answer, _text_piece)

    def _stream(
        self, path: str, body: JSON, answer: Answer, read: Callable[[JSON], Piece]
    ) -> Generator[Piece, None, None]:
        request = {"model": self.model, **body, "stream": True, "stream_options": {"include_usage": True}}
        with self._told_plainly(), self._http.stream("POST", self.url + path, json=request) as response:
            if not response.is_success:  # a redirection too
                response.read()
                raise _refusal(response)
            for event in httpx2.EventSource(response):
                if event.data == "[DONE]":
                    break
                chunk = json.loads(event.data)
                if not isinstance(chunk, dict) or "error" in chunk:
                    raise _error(chunk, "the answer was broken off")
                try:
                    pieces = list(_take(chunk, answer, read))
                except (AttributeError, TypeError):
                    raise ServerError(f"{self.url} streams something else than OpenAI's API does") from None
                yield from pieces
        if answer.finish_reason is None:
            raise ServerError("the answer was broken off: the server ended it in the middle")

    def _json(
        self, method: str, path: str, body: JSON | None = None, *, at: str = "", params: Mapping[str, str] | None = None
    ) -> JSON:
        with self._told_plainly():
            response = self._http.request(method, (at or self.url) + path, json=body, params=params)
            if not response.is_success:
                raise _refusal(response)
            found = response.json()
        if not isinstance(found, dict):
            raise ServerError(f"{self.url} gave an answer that is no JSON object: is it an OpenAI-compatible server?")
        return found

    @property
    def _root(self) -> str:
        return self.url.removesuffix("/v1")

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ServerError(f"cannot reach {self.url}: {error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ServerError(f"{self.url}: {error or type(error).__name__}") from None
        except (ValueError, RecursionError):
            message = f"{self.url} gave an answer that is no JSON: is it an OpenAI-compatible server's URL, with /v1?"
            raise ServerError(message) from None


def _take(chunk: JSON, answer: Answer, read: Callable[[JSON], Piece]) -> Iterator[Piece]:
    answer.usage = _object(chunk.get("usage")) or answer.usage
    answer.timings = _object(chunk.get("timings")) or answer.timings
    for choice in chunk.get("choices") or ():
        piece = read(choice)
        if piece.content or piece.reasoning:
            answer.last_token = time.monotonic()
            answer.first_token = answer.first_token or answer.last_token
            answer.content += piece.content
            answer.reasoning += piece.reasoning
            yield piece
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason


def _object(found: Any) -> JSON:
    return found if isinstance(found, dict) else {}


def _chat_piece(choice: JSON) -> Piece:
    delta = choice.get("delta") or {}
    return Piece(delta.get("content") or "", delta.get("reasoning_content") or delta.get("reasoning") or "")


def _text_piece(choice: JSON) -> Piece:
    return Piece(choice.get("text") or "")


def _refusal(response: httpx2.Response) -> ServerError:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    try:
        return _error(response.json(), status)
    except (ValueError, RecursionError):
        return ServerError(f"{response.url} answered {status}")


def _error(body: Any, otherwise: str) -> ServerError:
    """OpenAI's error object, or what comes instead of it."""
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        code = error.get("code")
        if not isinstance(code, str):
            code = error.get("type")  # llama-server's codes are numbers
        return ServerError(str(error.get("message") or otherwise), code)
    return ServerError(str(error or otherwise))


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port too
        return False


def is_here(url: str) -> bool:
    """Whether it is this machine's."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
