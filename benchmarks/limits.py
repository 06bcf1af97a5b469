"""What the kernels allow: the same work without a server, by llama.cpp's own programs or by Paddock's bare engine."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, Protocol

from backends.base import BackendError, GenerateRequest, SamplingParams, TokenChunk
from backends.engine_options import EngineOptions
from backends.llama_cpp.client import LlamaCppBackend

from .loads.base import Limit
from .peers import Setup

SHORT_PROMPT = 32
"""Tokens, where the prompt's time doesn't count."""


class LimitFailed(Exception):
    """The program failed; the message says how."""


class LimitProgram(Protocol):
    @property
    def name(self) -> str: ...

    def can(self, limit: Limit) -> bool:
        """Whether it does such work."""
        ...

    async def speed(self, limit: Limit, setup: Setup) -> float:
        """Generated tokens per second. Raises LimitFailed."""
        ...


@dataclass(frozen=True)
class LlamaBench:
    """Decoding alone, without sampling."""

    program: Path
    name: str = "llama-bench"

    def can(self, limit: Limit) -> bool:
        return limit.n_parallel == 1 and not limit.n_prompt

    async def speed(self, limit: Limit, setup: Setup) -> float:
        result = await _json_line(
            self.program, "-m", setup.model, "-t", setup.threads,
            "-p", 0, "-n", limit.n_generate, "-r", 1, "-o", "jsonl",
        )  # fmt: skip
        return float(result["avg_ts"])


@dataclass(frozen=True)
class LlamaBatchedBench:
    """Prompts, then decoding of all sequences together, without sampling."""

    program: Path
    name: str = "llama-batched-bench"

    def can(self, limit: Limit) -> bool:
        return bool(limit.n_prompt)

    async def speed(self, limit: Limit, setup: Setup) -> float:
        n_steps = limit.n_generate - 1  # an answer's first token comes of its prompt
        result = await _json_line(
            self.program, "-m", setup.model, "-c", setup.ctx, "-t", setup.threads, "-tb", setup.threads,
            "-npp", limit.n_prompt, "-ntg", n_steps, "-npl", limit.n_parallel, "--output-format", "jsonl",
        )  # fmt: skip
        return limit.n_parallel * limit.n_generate / float(result["t"])


@dataclass(frozen=True)
class BareEngine:
    """Paddock's engine process, sampling included, without tokenizer and HTTP."""

    name: str = "engine without HTTP"

    def can(self, limit: Limit) -> bool:
        return True

    async def speed(self, limit: Limit, setup: Setup) -> float:
        backend = LlamaCppBackend(
            EngineOptions(
                model_path=str(setup.model), n_ctx=setup.ctx, n_parallel=setup.parallel, n_threads=setup.threads
            )
        )
        try:
            await backend.start()
            started = perf_counter()
            runs = await asyncio.gather(*(self._generate(backend, limit, i) for i in range(limit.n_parallel)))
        except BackendError as error:
            raise LimitFailed(str(error)) from None
        finally:
            await backend.stop()
        end = max(last for _, last in runs)
        if limit.n_prompt:
            return limit.n_parallel * limit.n_generate / (end - started)
        return limit.n_parallel * (limit.n_generate - 1) / (end - min(first for first, _ in runs))

    async def _generate(self, backend: LlamaCppBackend, limit: Limit, index: int) -> tuple[float, float]:
        """When the first and the last token came."""
        n_prompt = limit.n_prompt or SHORT_PROMPT
        random = Random(index)
        tokens = [random.randrange(backend.model.n_vocab // 2) for _ in range(n_prompt)]
        sampling = SamplingParams(ignore_eos=True)
        request = GenerateRequest(
            id=f"limit-{index}", prompt=tokens, max_tokens=limit.n_generate, sampling=sampling, cache_prompt=False
        )
        times = [perf_counter() async for event in backend.generate(request) if isinstance(event, TokenChunk)]
        return times[0], times[-1]


async def _json_line(*command: object) -> dict[str, Any]:
    """Run a program; the JSON object that it prints. Raises LimitFailed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        raise LimitFailed(f"{command[0]}: exit status {process.returncode}: {errors.decode(errors='replace')[-300:]}")
    lines = [line for line in output.splitlines() if line.startswith(b"{")]
    if len(lines) != 1:
        raise LimitFailed(f"{command[0]} printed {len(lines)} results instead of one")
    return dict(json.loads(lines[0]))
