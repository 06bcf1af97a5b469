"""A backend that says what a test tells it to: for the framing of the wire format, never for end-to-end tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from backends.base import (
    AdapterLoadError,
    EngineStats,
    GenerateRequest,
    GenerationEvent,
    ModelInfo,
    PromptProgress,
    SamplingParams,
    TokenChunk,
    TokenizerInfo,
    TokenLogprob,
)
from server.chat.template import ChatTemplate, special_tokens
from server.config import Settings
from server.hosting.catalog import ModelSpec
from server.hosting.host import Host
from server.hosting.hosted_model import HostedModel
from server.hosting.opened import Opened
from server.state import AppState

BOS, EOS, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE = range(256, 261)
N_VOCAB = 261
N_CTX = 64

INFO = TokenizerInfo(
    pieces=[*(bytes([value]) for value in range(256)), b"<s>", b"</s>", b"<pre>", b"<suf>", b"<mid>"],
    control_tokens=frozenset(range(256, N_VOCAB)),
    eog_tokens=frozenset({EOS}),
    bos=BOS,
    eos=EOS,
    eot=None,
    add_bos=True,
    add_eos=False,
    fim_prefix=FIM_PREFIX,
    fim_suffix=FIM_SUFFIX,
    fim_middle=FIM_MIDDLE,
    fim_pad=None,
    fim_repo=None,
    fim_separator=None,
)

MODEL = ModelInfo(
    engine="scripted",
    path="scripted.gguf",
    description="scripted",
    n_vocab=N_VOCAB,
    n_ctx=N_CTX,
    n_ctx_train=N_CTX,
    n_embd=8,
    n_params=1000,
    size_bytes=2000,
    n_parallel=4,
    metadata={},
    chat_template=None,
    sampling_defaults=SamplingParams(),
    load_seconds=0.0,
)


class ByteTokenizer:
    """A token per byte, and one for each `<s>`."""

    info = INFO

    async def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        bos = [BOS] if add_special else []
        before, *after = text.split("<s>") if parse_special else [text]
        return [*bos, *before.encode(), *(token for part in after for token in (BOS, *part.encode()))]


TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message.role }}:{{ message.content }};{% endfor %}"


Script = Callable[[int], str | Sequence[int]]
"""What a choice says, as text or as tokens, by its index; a limit cuts it."""


class ScriptedBackend:
    """Sequences are interleaved token by token, each with a log-probability of -(its place + 1) / 2."""

    def __init__(self, script: Script) -> None:
        self.model = MODEL
        self.tokenizer = ByteTokenizer()
        self.stats = EngineStats()
        self.ready = True
        self.ended = 0
        self.requests: list[GenerateRequest] = []
        self.cancelled: list[str] = []
        self.n_adapters = 0
        """Loaded so far."""
        self.unloaded: list[int] = []
        self.delay = 0.0
        """Seconds before the first event."""
        self.pace = 0.0
        """Seconds between steps."""
        self.burst = 1
        """Tokens per step: more than one where drafts come true."""
        self.fail_after: int | None = None
        """Steps until `failure` is raised."""
        self.failure: Exception = RuntimeError("scripted")
        self._script = script

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerationEvent, None]:
        self.requests.append(request)
        ended = False
        try:
            await asyncio.sleep(self.delay)
            yield self._progress(request)
            texts = {index: self._says(index) for index in range(request.n)}
            step = 0
            while texts:
                if step == self.fail_after:
                    raise self.failure
                await asyncio.sleep(self.pace)
                for index in list(texts):
                    yield self._step(request, texts, index, step)
                step += 1
            ended = True
        finally:
            if not ended:
                self.cancelled.append(request.id)

    def cancel(self, request_id: str, index: int) -> None:
        pass

    async def load_adapter(self, path: str) -> int:
        if await asyncio.to_thread(Path(path).read_bytes) != b"an adapter":
            raise AdapterLoadError(f"cannot load the LoRA adapter {path}: it is no adapter")
        self.n_adapters += 1
        return self.n_adapters - 1

    def unload_adapter(self, adapter: int) -> None:
        self.unloaded.append(adapter)

    async def stop(self) -> None:
        pass

    def _says(self, index: int) -> Sequence[int]:
        said = self._script(index)
        return said.encode() if isinstance(said, str) else said

    def _progress(self, request: GenerateRequest) -> PromptProgress:
        scored = request.prompt[1:] if request.prompt_logprobs is not None else []
        return PromptProgress(
            id=request.id,
            processed=len(request.prompt),
            cached=1,
            queued=0.0,
            done=True,
            logprobs=[TokenLogprob(-float(place), [(token, -float(place))]) for place, token in enumerate(scored, 1)],
        )

    def _step(self, request: GenerateRequest, texts: dict[int, Sequence[int]], index: int, step: int) -> TokenChunk:
        text, start = texts[index], step * self.burst
        places = range(start, min(start + self.burst, request.max_tokens, len(text)))
        if not places:
            del texts[index]
            reason = "length" if start >= request.max_tokens else "stop"
            return TokenChunk(id=request.id, index=index, tokens=[], logprobs=[], finish_reason=reason)  # type: ignore[arg-type]
        tokens = [text[place] for place in places]
        scored = None
        if request.logprobs is not None:
            values = [-(place + 1) / 2 - index for place in places]
            scored = [
                TokenLogprob(value, [(token, value), (ord("z"), value - 1)][: request.logprobs])
                for token, value in zip(tokens, values, strict=True)
            ]
        came_true = [text[place] == p for place, p in zip(places, request.prediction[start:], strict=False)]
        return TokenChunk(
            id=request.id,
            index=index,
            tokens=tokens,
            logprobs=scored,
            came_true=came_true if request.prediction else None,
            n_drafted=self.burst - 1,
            n_accepted=len(tokens) - 1,
        )


def scripted_state(
    script: Script = lambda index: "hello",
    *,
    loaded: bool = True,
    n_predict: int = -1,
    max_queue: int | None = None,
    **fields: Any,
) -> tuple[AppState, ScriptedBackend]:
    """A server with one model, which is there already if it is `loaded`. `fields` are further ones of `AppState`."""
    backend = ScriptedBackend(script)
    settings = Settings(n_predict=n_predict, parallel=MODEL.n_parallel)
    model = HostedModel(ModelSpec(("m", "org/m:q4"), Path(MODEL.path), settings), never, max_queue=max_queue)
    if loaded:
        model.put_in_place(Opened(backend, ChatTemplate(TEMPLATE, special_tokens(INFO))))
    return AppState(host=Host([model]), **fields), backend


def set_template(state: AppState, template: ChatTemplate | None) -> None:
    """Of the only model."""
    model = state.host.models[0]
    model.put_in_place(Opened(model.backend, template))


async def never(spec: ModelSpec) -> Opened:
    """Loads for ever."""
    return await asyncio.get_running_loop().create_future()
