"""The contract between the server and an inference engine.

Plain structs that travel between the two processes, and the small protocols that the server programs
against. Nothing here knows HTTP or OpenAI, nor calls an engine's code. Samplers, drafters and a model's
description have llama.cpp's names, though, and grammars are llguidance's: another engine is to know them.

Units: token ids are vocabulary indices; log-probabilities are natural logarithms; times are seconds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Literal, Protocol

import msgspec

SAMPLER_ORDER: tuple[str, ...] = (
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "tfs_z",
    "typ_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
)
"""llama.cpp's default sampler chain, with tfs_z between top_k and typical_p, where it stood when llama.cpp had it."""

SAMPLERS: tuple[str, ...] = (*SAMPLER_ORDER, "infill", "adaptive_p")
"""Every name that `SamplingParams.samplers` may hold; adaptive_p draws the token, so its place doesn't matter."""

RANDOM_SEED = 0xFFFF_FFFF
"""llama.cpp's seed for "choose one": what clients may say for it, and what answers say. Never `SamplingParams.seed`."""

SAMPLER_NAMES: dict[str, str] = {
    **{spelling: name for name in SAMPLERS for spelling in (name, name.replace("_", "-"), name.replace("_", ""))},
    "nucleus": "top_p",
    "temp": "temperature",
    "typ": "typ_p",
    "typical_p": "typ_p",
}
"""Every spelling of a sampler's name that llama.cpp takes, and the one that we use."""

FinishReason = Literal["stop", "length"]
Drafter = Literal["draft-simple", "ngram-simple"]
"""llama.cpp's names: a draft model; what the sequence's own tokens repeat."""
DRAFTERS: tuple[Drafter, ...] = ("draft-simple", "ngram-simple")


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How to choose the next token. Defaults are llama.cpp's; `docs/samplers.md` explains each.

    Values arrive validated: the server answers out-of-range ones with a 400 before they get here.
    """

    temperature: float = 0.8
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    tfs_z: float = 1.0
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    logit_bias: dict[int, float] = {}
    """Added to the raw logit of each token id; -inf bans the token."""
    seed: int | None = None
    """None: a random one. Sequence i of a request with n > 1 uses seed + i."""
    min_keep: int = 0
    ignore_eos: bool = False
    min_tokens: int = 0
    """End-of-generation tokens are banned until this many tokens have been generated."""
    samplers: tuple[str, ...] = SAMPLER_ORDER


AdapterSet = tuple[tuple[int, float], ...]
"""LoRA adapters that are applied together: each one's id (see `Backend.load_adapter`) and scale; empty: none."""


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True, tag="generate"):
    """One prompt to be continued `n` times. `prompt` holds every token, BOS included."""

    id: str
    prompt: list[int]
    max_tokens: int
    sampling: SamplingParams
    n: int = 1
    logprobs: int | None = None
    """None: no log-probabilities; k >= 0: the chosen token's, and the k most likely alternatives."""
    prompt_logprobs: int | None = None
    """The same for the prompt's own tokens (from its second token on): switches the prefix cache off."""
    cache_prompt: bool = True
    grammar: str | None = None
    """What the generated text must match, in llguidance's variant of Lark; None: anything. One that can't be compiled
    is an InvalidGrammar, before anything is generated."""
    prediction: list[int] = []
    """What the client expects to be generated: drafts for speculative decoding. Whatever it is, only speed depends on
    it."""
    adapters: AdapterSet = ()
    """By ascending id, none of them twice, and none with the scale 0."""


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """Log-softmax of the raw logits over the full vocabulary: the chosen token's, and the most likely tokens'."""

    logprob: float
    top: list[tuple[int, float]]


class PromptProgress(msgspec.Struct, frozen=True, tag="progress"):
    """Prefill of sequence 0 has come this far. Sent once when it is complete, and while a long one goes on."""

    id: str
    processed: int
    """Prompt tokens whose cells are in the KV cache, the cached ones included."""
    cached: int
    """How many of them were reused from the prefix cache."""
    queued: float
    """Seconds it waited before its first batch."""
    done: bool = False
    logprobs: list[TokenLogprob] = []
    """With `prompt_logprobs`: those of the tokens since the last progress message; the first is the prompt's second."""


class TokenChunk(msgspec.Struct, frozen=True, tag="tokens"):
    """Tokens that sequence `index` of a request has generated since its last chunk.

    An end-of-generation token is never among `tokens`: it shows as `finish_reason` "stop" and `stop_token`.
    """

    id: str
    index: int
    tokens: list[int]
    logprobs: list[TokenLogprob] | None = None
    finish_reason: FinishReason | None = None
    stop_token: int | None = None
    came_true: list[bool] | None = None
    """If the request has a prediction: with which of `tokens` a token of it came true, each of its tokens only once."""
    n_drafted: int = 0
    """Draft tokens that were computed along with the last token before these."""
    n_accepted: int = 0
    """How many of them came true. They lead `tokens`."""


class SlotState(msgspec.Struct, frozen=True, kw_only=True):
    """One running sequence, for `/slots`."""

    slot: int
    request_id: str
    index: int
    prompt_tokens: int
    processed_tokens: int
    generated_tokens: int
    max_tokens: int


class EngineStats(msgspec.Struct, frozen=True, kw_only=True, tag="stats"):
    """Gauges as of now, and counters since the backend was started. Reported when they change, a few times a second."""

    running: int = 0
    waiting: int = 0
    cells_total: int = 0
    cells_used: int = 0
    """Cells held by live sequences or by the prefix cache."""
    cells_cached: int = 0
    """Those held by the prefix cache alone: evicting it would leave cells_used - cells_cached."""
    cached_sequences: int = 0
    spilled_bytes: int = 0
    spilled_sequences: int = 0
    prompt_tokens: int = 0
    """Prompt tokens computed (cached ones are not)."""
    generation_tokens: int = 0
    preemptions: int = 0
    prefix_cache_queries: int = 0
    """Prompt tokens looked up in the prefix cache."""
    prefix_cache_hits: int = 0
    """Prompt tokens found there."""
    spills: int = 0
    restores: int = 0
    evictions: int = 0
    drafts: int = 0
    """Drafts verified (speculative decoding): a sequence's in one step is one."""
    draft_tokens: int = 0
    draft_tokens_accepted: int = 0
    steps: int = 0
    restarts: int = 0
    """Times that the engine was started again, after it had died."""
    running_adapters: list[int] = []
    """LoRA adapters that sequences are being computed with,"""
    waiting_adapters: list[int] = []
    """and those that only waiting ones are to have."""
    slots: list[SlotState] = []

    def after(self, earlier: EngineStats) -> EngineStats:
        """The same, its counters going on from an earlier engine's."""
        counters = {name: getattr(self, name) + getattr(earlier, name) for name in COUNTERS}
        return msgspec.structs.replace(self, **counters)


COUNTERS = (
    "prompt_tokens",
    "generation_tokens",
    "preemptions",
    "prefix_cache_queries",
    "prefix_cache_hits",
    "spills",
    "restores",
    "evictions",
    "drafts",
    "draft_tokens",
    "draft_tokens_accepted",
    "steps",
    "restarts",
)
"""Those of `EngineStats`; the others are gauges."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """What the server needs to know of the loaded model; sent once, when the engine is ready."""

    path: str
    engine: str
    """What computes, and its version."""
    description: str
    """llama.cpp's one-line description, as `llama 8B Q4_K - Medium`."""
    n_vocab: int
    n_ctx: int
    """Cells of the shared KV pool = the longest sequence there can be."""
    n_ctx_train: int
    n_embd: int
    n_params: int
    size_bytes: int
    n_parallel: int
    metadata: dict[str, str]
    """The GGUF's scalar key-value pairs, as text."""
    chat_template: str | None
    sampling_defaults: SamplingParams
    """llama.cpp's defaults overridden by the GGUF's `general.sampling.*`."""
    load_seconds: float
    drafters: tuple[Drafter, ...] = ()
    """What sequences are drafted from (speculative decoding)."""
    notes: list[str] = []
    """What was chosen or reduced while loading, a line each."""


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    message: str


GenerationEvent = TokenChunk | PromptProgress


class BackendError(Exception):
    """The engine could not do what was asked; the message is fit for a client."""


class ModelLoadError(BackendError):
    """The model cannot be loaded; the message is one clear line."""


class EngineUnavailable(BackendError):
    """There is no engine, and there won't be one soon: try again later."""


class InvalidRequest(BackendError):
    """The request itself can't be run, by any engine at any time; the message says why."""


class UnknownAdapter(InvalidRequest):
    """One of the request's LoRA adapters isn't loaded, or no longer."""


class AdapterLoadError(BackendError):
    """The LoRA adapter cannot be loaded; the message is one clear line."""


class InvalidGrammar(InvalidRequest):
    """The request's grammar can't be compiled, or be followed any further."""


class ContextLengthExceeded(InvalidRequest):
    """The request cannot fit the context, even alone."""


class TokenizerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The vocabulary, loaded once. `pieces` is indexed by token id."""

    pieces: list[bytes]
    """Each token's text as bytes (possibly a part of a character), special tokens included."""
    control_tokens: frozenset[int]
    """Tokens that are markup, not text: rendered only when asked for."""
    eog_tokens: frozenset[int]
    bos: int | None
    eos: int | None
    eot: int | None
    add_bos: bool
    add_eos: bool
    fim_prefix: int | None
    fim_suffix: int | None
    fim_middle: int | None
    fim_pad: int | None
    fim_repo: int | None
    fim_separator: int | None


class Tokenizer(Protocol):
    """Text to tokens, off the event loop. Whatever the text, nothing but this call can fail."""

    @property
    def info(self) -> TokenizerInfo: ...

    async def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Tokenize `text`. `add_special` adds BOS/EOS where the vocabulary asks for it, never a second BOS;
        `parse_special` reads markup such as `<|im_end|>` as the special token. Raises BackendError."""
        ...


class Backend(Protocol):
    """One loaded model."""

    @property
    def model(self) -> ModelInfo: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def stats(self) -> EngineStats:
        """The engine's latest."""
        ...

    @property
    def ended(self) -> int:
        """Sequences of running requests that the engine is done with, whether their end has been taken or not."""
        ...

    def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Run a request. Each of its n sequences ends with a chunk that has a finish_reason, then the iterator ends.
        Closing the iterator early cancels what is left. It outlives the engine, and goes on in the next one. Raises
        BackendError or a subclass."""
        ...

    def cancel(self, request_id: str, index: int) -> None:
        """Stop one sequence of a running request (a stop string was met). What still comes for it doesn't matter."""
        ...

    async def load_adapter(self, path: str) -> int:
        """Load a LoRA adapter from a GGUF file; its id, which no other one ever has. It outlives the engine. Raises
        AdapterLoadError, and EngineUnavailable."""
        ...

    def unload_adapter(self, adapter: int) -> None:
        """From now on, no request can have it; those that run with it go on. Does nothing for an unknown one."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a request sent now would be run at once. While the engine is being started again, it would wait."""
        ...

    async def stop(self) -> None:
        """End the engine in good order."""
        ...


class LoadableBackend(Backend, Protocol):
    """One whose model is yet to be loaded; `backend_of` makes it. Until `start` is done it has but these methods."""

    model: ModelInfo
    """Whoever has it loaded may change what it says, before anybody else reads it."""

    def launch(self) -> None:
        """Begin to load, if `start` is to be awaited later: what loads is another process."""
        ...

    async def start(self, on_progress: Callable[[float], None]) -> None:
        """Load the model; `on_progress` is told the share that is done. Raises ModelLoadError; nothing is left running
        then."""
        ...
