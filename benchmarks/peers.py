"""The servers that are compared: how each is started, and what it needs said differently."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .client import HOST

MODEL_NAME = "bench"
"""What every server calls its model."""

Body = dict[str, Any]
Ends = tuple[int, ...]
"""Tokens that end an answer, where the model may choose them: forbidden, so that all answers are equally long."""


@dataclass(frozen=True)
class Setup:
    """The same for all servers of a comparison."""

    model: Path
    threads: int
    parallel: int
    """Sequences computed together."""
    ctx: int
    """Tokens of context in all, over `parallel` sequences."""
    ends: Ends = ()


class Peer(Protocol):
    """A server by its command line."""

    @property
    def name(self) -> str: ...

    @property
    def ready_path(self) -> str:
        """What answers 200 once requests are served."""
        ...

    def command(self, setup: Setup, port: int, folder: Path) -> list[str]:
        """`folder`: a temporary one for a configuration file."""
        ...

    def body(self, request: Body, ends: Ends) -> Body:
        """OpenAI's request in this server's dialect. `ends` are forbidden."""
        ...


@dataclass(frozen=True)
class Paddock:
    """This checkout, run by the interpreter that runs the benchmark."""

    extra: Sequence[str] = ()
    name: str = "paddock"
    ready_path: str = "/health"

    def command(self, setup: Setup, port: int, folder: Path) -> list[str]:
        return [sys.executable, "-m", "server", "serve", *_flags(setup, port), *self.extra]

    def body(self, request: Body, ends: Ends) -> Body:
        return {**request, "ignore_eos": True} if ends else request


@dataclass(frozen=True)
class LlamaServer:
    """llama.cpp's own server."""

    program: Path
    extra: Sequence[str] = ()
    name: str = "llama-server"
    ready_path: str = "/health"

    def command(self, setup: Setup, port: int, folder: Path) -> list[str]:
        return [str(self.program), *_flags(setup, port), *self.extra]

    def body(self, request: Body, ends: Ends) -> Body:
        # A model that can think does so here unless told not to; elsewhere only if told to.
        request = {**_without_prediction(request), "chat_template_kwargs": {"enable_thinking": False}}
        return {**request, "ignore_eos": True} if ends else request


@dataclass(frozen=True)
class LlamaCppServer:
    """`python -m llama_cpp.server`, which answers one request at a time."""

    python: Path
    name: str = "llama_cpp.server"
    ready_path: str = "/v1/models"

    def command(self, setup: Setup, port: int, folder: Path) -> list[str]:
        options = {
            "model": setup.model,
            "model_alias": MODEL_NAME,
            "host": HOST,
            "port": port,
            "n_ctx": setup.ctx,
            "n_threads": setup.threads,
            "n_threads_batch": setup.threads,
            "n_batch": 2048,
            "flash_attn": True,
            # Else it keeps the logits of the whole context: gigabytes.
            "logits_all": False,
            # Else a second request cuts the first one's stream off.
            "interrupt_requests": False,
            "verbose": False,
        }
        flags = [text for key, value in options.items() for text in (f"--{key}", str(value))]
        return [str(self.python), "-m", "llama_cpp.server", *flags]

    def body(self, request: Body, ends: Ends) -> Body:
        changed = _without_ends(_without_prediction(request), ends)
        if "response_format" in changed:
            schema = changed["response_format"]["json_schema"]["schema"]
            changed["response_format"] = {"type": "json_object", "schema": schema}
        return changed


@dataclass(frozen=True)
class ExampleServer:
    """`examples/server/server.py` of llama-cpp-python."""

    python: Path
    program: Path
    name: str = "examples/server"
    ready_path: str = "/v1/models"

    def command(self, setup: Setup, port: int, folder: Path) -> list[str]:
        model = {
            "path": str(setup.model),
            "alias": MODEL_NAME,
            "n_ctx": setup.ctx,
            "n_seq_max": setup.parallel,
            "n_batch": 2048,
            "n_ubatch": 512,
            "threads": setup.threads,
            "threads_batch": setup.threads,
            "kv_unified": True,
        }
        file = folder / "server.json"
        file.write_text(json.dumps({"server": {"host": HOST, "port": port}, "model": model}))
        return [str(self.python), str(self.program), "-C", str(file)]

    def body(self, request: Body, ends: Ends) -> Body:
        return _without_ends(_without_prediction(request), ends)


def _flags(setup: Setup, port: int) -> list[str]:
    """The flags that Paddock and llama-server share."""
    flags: Mapping[str, object] = {
        "--model": setup.model,
        "--alias": MODEL_NAME,
        "--host": HOST,
        "--port": port,
        "--ctx-size": setup.ctx,
        "--parallel": setup.parallel,
        "--threads": setup.threads,
        "--threads-batch": setup.threads,
    }
    return [text for flag, value in flags.items() for text in (flag, str(value))]


def _without_prediction(request: Body) -> Body:
    return {key: value for key, value in request.items() if key != "prediction"}


def _without_ends(request: Body, ends: Ends) -> Body:
    return {**request, "logit_bias": {str(token): -100.0 for token in ends}} if ends else request
