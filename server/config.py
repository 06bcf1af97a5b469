"""Every setting of `paddock serve`, defined once: name, type, default, flags, group, help.

Flags, environment, configuration file (server/config_sources.py), `--help` and docs/cli.md all read SETTINGS. Where
llama-server has a flag for the same thing, ours has the same spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from backends.base import DRAFTERS, Drafter, EngineOptions, SamplingParams
from server.config_sampling import SAMPLING_FLAGS

MODEL = "Model"
HTTP = "HTTP"
CONTEXT = "Context and batching"
GPU = "GPU"
SPECULATION = "Speculative decoding"
LOGGING = "Logging"
SAMPLING = "Sampling, where a request doesn't say (defaults are the GGUF's own, else those shown)"

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting: how it is given, read, checked and described."""

    flags: tuple[str, ...]
    group: str
    help: str
    metavar: str = "N"
    shorthands: Mapping[str, str] = field(default_factory=dict)
    """Flags without a value, and the value that each stands for."""
    parse: Callable[[str], Any] | None = None
    """Reads the text of a flag or of the environment, where msgspec's own reading isn't it. Raises ValueError."""
    expects: str = ""
    """What `parse` takes, for messages."""
    separator: str = ""
    """Between the parts of a list."""
    repeatable: bool = False
    default_text: str = ""
    """The default in words, where the value doesn't tell."""

    name: str = ""
    type: Any = None
    """With its bounds, as msgspec checks it."""
    default: Any = None

    @property
    def env(self) -> str:
        return f"PADDOCK_{self.key.replace('-', '_').upper()}"

    @property
    def key(self) -> str:
        """Its name in a configuration file: the long flag's."""
        long = [flag for flag in (*self.flags, *self.shorthands) if flag.startswith("--")]
        return long[0].removeprefix("--")


def _flag(flags: str, group: str, text: str, **rest: Any) -> Setting:
    return Setting(flags=tuple(flags.split()), group=group, help=text, **rest)


def _aliases(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _layers(text: str) -> int:
    return -1 if text in ("auto", "all") else int(text)


def _shares(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.replace("/", ",").split(","))


def _drafters(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if set(names) - {*DRAFTERS, "none"} or ("none" in names and len(names) > 1):
        raise ValueError(text)
    return () if names == ("none",) else names


Positive = Meta(ge=1)
Natural = Meta(ge=0)
Threads = Annotated[int, Meta(ge=-1)]

LOAD_MODE_SHORTHANDS = {"--mmap": "mmap", "--no-mmap": "none", "--mlock": "mmap+mlock"}
VERBOSE_SHORTHANDS = {"-v": "debug", "--verbose": "debug"}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `paddock serve` was told."""

    model: Annotated[
        str | None,
        _flag("-m --model", MODEL, "the GGUF to serve", metavar="FILE", default_text="the demo model"),
    ] = None
    alias: Annotated[
        tuple[str, ...],
        _flag(
            "-a --alias",
            MODEL,
            "the model's id in the API; several, separated by commas, all name it",
            metavar="NAMES",
            parse=_aliases,
            separator=",",
            expects="names separated by commas",
            default_text="the file's name without .gguf",
        ),
    ] = ()
    chat_template: Annotated[
        str | None,
        _flag(
            "--chat-template",
            MODEL,
            "a built-in chat template, or a file that holds one",
            metavar="NAME|FILE",
            default_text="the model's own",
        ),
    ] = None
    chat_template_file: Annotated[
        str | None,
        _flag("--chat-template-file", MODEL, "a file that holds one", metavar="FILE", default_text="the model's own"),
    ] = None
    load_mode: Annotated[
        Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"],
        _flag(
            "-lm --load-mode",
            MODEL,
            "map the file into memory (mmap), read it (none) or read it around the page cache (dio); "
            "mlock forbids swapping it out; auto: mmap, unless a device can't",
            metavar="MODE",
            shorthands=LOAD_MODE_SHORTHANDS,
        ),
    ] = "auto"

    host: Annotated[str, _flag("--host", HTTP, "the address to listen at; 0.0.0.0: all", metavar="ADDRESS")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535), _flag("--port", HTTP, "0: a free one, said at the start")] = 8000
    timeout: Annotated[
        float,
        Meta(gt=0),
        _flag("-to --timeout", HTTP, "after so many seconds a request is given up (504)", metavar="SECONDS"),
    ] = 3600.0
    max_body_size: Annotated[
        int,
        Positive,
        _flag("--max-body-size", HTTP, "bytes that a request's body may have (else 413)", metavar="BYTES"),
    ] = 32 << 20

    ctx_size: Annotated[
        int,
        Natural,
        _flag(
            "-c --ctx-size",
            CONTEXT,
            "tokens of context, a pool that all requests share; 0: the model's own, reduced to fit memory",
        ),
    ] = 0
    parallel: Annotated[
        int,
        Meta(ge=1, le=128),
        _flag("-np --parallel", CONTEXT, "sequences computed together; further ones wait"),
    ] = 16
    batch_size: Annotated[int, Positive, _flag("-b --batch-size", CONTEXT, "tokens a step may have")] = 2048
    ubatch_size: Annotated[int, Positive, _flag("-ub --ubatch-size", CONTEXT, "tokens computed at once")] = 512
    step_budget: Annotated[
        float,
        Meta(gt=0),
        _flag(
            "--step-budget",
            CONTEXT,
            "milliseconds that a step may take while prompts are computed beside running streams: less for smoother "
            "streams, more for prompts that start sooner",
            metavar="MS",
        ),
    ] = 500.0
    threads: Annotated[
        Threads,
        _flag("-t --threads", CONTEXT, "threads that compute", default_text="the physical cores"),
    ] = -1
    threads_batch: Annotated[
        Threads,
        _flag("-tb --threads-batch", CONTEXT, "threads that compute prompts", default_text="as --threads"),
    ] = -1
    cache_type_k: Annotated[
        CacheType,
        _flag(
            "-ctk --cache-type-k",
            CONTEXT,
            f"type of the KV cache's keys: {', '.join(get_args(CacheType))}",
            metavar="TYPE",
        ),
    ] = "f16"
    cache_type_v: Annotated[
        CacheType,
        _flag("-ctv --cache-type-v", CONTEXT, "type of its values: the same", metavar="TYPE"),
    ] = "f16"
    flash_attn: Annotated[
        Literal["on", "off", "auto"],
        _flag("-fa --flash-attn", CONTEXT, "flash attention", metavar="on|off|auto"),
    ] = "auto"
    cache_ram: Annotated[
        int,
        Meta(ge=-1),
        _flag(
            "-cram --cache-ram",
            CONTEXT,
            "MiB of RAM for prompts that have left the KV cache; 0: none; -1: no limit",
            metavar="MiB",
        ),
    ] = 8192

    gpu_layers: Annotated[
        int,
        _flag(
            "-ngl --gpu-layers --n-gpu-layers",
            GPU,
            "layers kept in GPU memory: a number, or auto or all for every one",
            parse=_layers,
            expects="a whole number, auto or all",
            default_text="auto",
        ),
    ] = -1
    split_mode: Annotated[
        Literal["none", "layer", "row", "tensor"],
        _flag("-sm --split-mode", GPU, "how GPUs share the model: none (one GPU), layer, row, tensor", metavar="MODE"),
    ] = "layer"
    main_gpu: Annotated[
        int,
        Natural,
        _flag("-mg --main-gpu", GPU, "the GPU of --split-mode none, and of what row leaves whole", metavar="INDEX"),
    ] = 0
    tensor_split: Annotated[
        tuple[float, ...],
        _flag(
            "-ts --tensor-split",
            GPU,
            "each GPU's share of the model, as 3,1",
            metavar="SHARES",
            parse=_shares,
            separator=",",
            expects="numbers separated by commas",
            default_text="by free memory",
        ),
    ] = ()

    spec_type: Annotated[
        tuple[Drafter, ...],
        _flag(
            "--spec-type",
            SPECULATION,
            "where to draft from, as long as it pays: draft-simple (the draft model), ngram-simple (what the text "
            "repeats of itself); none: nowhere, requests' predictions included",
            metavar="NAMES",
            parse=_drafters,
            separator=",",
            expects=f"names separated by commas, of {', '.join(DRAFTERS)}; or none",
            default_text=",".join(DRAFTERS),
        ),
    ] = DRAFTERS
    model_draft: Annotated[
        str | None,
        _flag(
            "-md --model-draft --spec-draft-model",
            SPECULATION,
            "the draft model's GGUF: a small model with the same vocabulary",
            metavar="FILE",
            default_text="none",
        ),
    ] = None
    spec_draft_n_max: Annotated[
        int,
        Meta(ge=1, le=48),
        _flag("--spec-draft-n-max", SPECULATION, "tokens that it drafts at a time, at most"),
    ] = 16
    spec_draft_n_min: Annotated[
        int,
        Natural,
        _flag("--spec-draft-n-min", SPECULATION, "shorter drafts of it aren't used"),
    ] = 0
    spec_draft_p_min: Annotated[
        float,
        Meta(ge=0, le=1),
        _flag("--spec-draft-p-min --draft-p-min", SPECULATION, "it stops at a token less probable than this"),
    ] = 0.0
    gpu_layers_draft: Annotated[
        int,
        _flag(
            "-ngld --gpu-layers-draft --n-gpu-layers-draft --spec-draft-ngl",
            SPECULATION,
            "its layers kept in GPU memory: a number, or auto or all for every one",
            parse=_layers,
            expects="a whole number, auto or all",
            default_text="auto",
        ),
    ] = -1
    threads_draft: Annotated[
        Threads,
        _flag(
            "-td --threads-draft --spec-draft-threads",
            SPECULATION,
            "threads that compute it",
            default_text="as --threads",
        ),
    ] = -1

    n_predict: Annotated[
        int,
        Meta(ge=-1),
        _flag("-n --predict --n-predict", SAMPLING, "tokens that a chat answer may have; -1: to the context's end"),
    ] = -1
    sampling: dict[str, Any] = {}
    """Defaults by name of `SamplingParams`: those that were given."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _flag(
            "--log-level",
            LOGGING,
            "debug, info, warning or error; debug adds a line per request, and llama.cpp's own lines",
            metavar="LEVEL",
            shorthands=VERBOSE_SHORTHANDS,
        ),
    ] = "info"

    def engine_options(self, model_path: str) -> EngineOptions:
        return EngineOptions(
            model_path=model_path,
            n_ctx=self.ctx_size,
            n_parallel=self.parallel,
            n_batch=self.batch_size,
            n_ubatch=self.ubatch_size,
            step_budget_ms=self.step_budget,
            n_threads=max(0, self.threads),
            n_threads_batch=max(0, self.threads_batch),
            load_mode=self.load_mode,
            cache_type_k=self.cache_type_k,
            cache_type_v=self.cache_type_v,
            flash_attn=self.flash_attn,
            n_gpu_layers=self.gpu_layers,
            split_mode=self.split_mode,
            main_gpu=self.main_gpu,
            tensor_split=self.tensor_split,
            cache_ram_mib=self.cache_ram,
            speculation=self.spec_type,
            draft_model_path=self.model_draft and str(Path(self.model_draft).expanduser()),
            draft_n_max=self.spec_draft_n_max,
            draft_n_min=self.spec_draft_n_min,
            draft_p_min=self.spec_draft_p_min,
            draft_n_gpu_layers=self.gpu_layers_draft,
            draft_n_threads=max(0, self.threads_draft),
            verbose=self.log_level == "debug",
        )

    def sampling_defaults(self, of_model: SamplingParams) -> SamplingParams:
        """The model's defaults, with what was given here over them."""
        return msgspec.structs.replace(of_model, **self.sampling)


def _settings() -> tuple[Setting, ...]:
    defaults = {f.name: f.default for f in msgspec.structs.fields(Settings)}
    found = []
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        for flag in (extra for extra in get_args(hint)[1:] if isinstance(extra, Setting)):
            found.append(replace(flag, name=name, type=hint, default=defaults[name]))
    types = get_type_hints(SamplingParams)
    defaults = {f.name: f.default for f in msgspec.structs.fields(SamplingParams)}
    for row in SAMPLING_FLAGS:
        found.append(
            Setting(
                name=row.name,
                type=Annotated[types[row.name], Meta(**row.bounds)] if row.bounds else types[row.name],
                default=defaults[row.name],
                group=SAMPLING,
                flags=() if row.switch else row.flags,
                shorthands=dict.fromkeys(row.flags, "true") if row.switch else {},
                help=row.help,
                metavar=row.metavar,
                parse=row.parse,
                expects=row.expects,
                separator=row.separator,
                repeatable=row.repeatable,
                default_text=row.default_text,
            )
        )
    return tuple(found)


SETTINGS: tuple[Setting, ...] = _settings()
GROUPS = (MODEL, HTTP, CONTEXT, GPU, SPECULATION, SAMPLING, LOGGING)
