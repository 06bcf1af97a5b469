"""Every setting of `paddock serve`, defined once: name, type, default, flags, group, help.

Flags, environment, configuration file (`sources.py`), `--help` and docs/cli.md all read SETTINGS. Where llama-server
has a flag for the same thing, ours has the same spelling. To add a setting, add a field to the class of its group.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from backends.base import SamplingParams
from backends.engine_options import EngineOptions

from . import (
    access,
    context,
    gpu,
    http,
    hub,
    limits,
    logging,
    lora,
    memory,
    model,
    models,
    overload,
    rope,
    rpc,
    speculation,
)
from .access import AccessSettings
from .context import ContextSettings
from .gpu import GPUSettings
from .http import HTTPSettings
from .hub import HubSettings
from .limits import LimitSettings
from .logging import LoggingSettings
from .lora import LoraSettings
from .memory import MemorySettings
from .model import ModelSettings
from .models import ModelsSettings
from .overload import OverloadSettings
from .rope import RopeSettings
from .rpc import RPCSettings
from .sampling import SAMPLING_FLAGS
from .setting import Setting, flag
from .speculation import SpeculationSettings

SAMPLING = "Sampling, where a request doesn't say (defaults are the GGUF's own, else those shown)"
GROUPS = (
    model.GROUP,
    hub.GROUP,
    models.GROUP,
    http.GROUP,
    overload.GROUP,
    access.GROUP,
    limits.GROUP,
    context.GROUP,
    rope.GROUP,
    gpu.GROUP,
    memory.GROUP,
    rpc.GROUP,
    lora.GROUP,
    speculation.GROUP,
    SAMPLING,
    logging.GROUP,
)
SERVER_WIDE = (models.GROUP, http.GROUP, overload.GROUP, access.GROUP, limits.GROUP, logging.GROUP)
"""Those that a model can't have settings of its own in."""


@dataclass(frozen=True, kw_only=True)
class Settings(
    ModelSettings,
    HubSettings,
    ModelsSettings,
    HTTPSettings,
    OverloadSettings,
    AccessSettings,
    LimitSettings,
    ContextSettings,
    RopeSettings,
    GPUSettings,
    MemorySettings,
    RPCSettings,
    LoraSettings,
    SpeculationSettings,
    LoggingSettings,
):
    """What `paddock serve` was told."""

    n_predict: Annotated[
        int,
        Meta(ge=-1),
        flag("-n --predict --n-predict", SAMPLING, "tokens that a chat answer may have; -1: to the context's end"),
    ] = -1
    sampling: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Defaults by name of `SamplingParams`: those that were given."""

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
            rope=self.rope_options(),
            load_mode=self.load_mode,
            cache_type_k=self.cache_type_k,
            cache_type_v=self.cache_type_v,
            flash_attn=self.flash_attn,
            n_gpu_layers=self.gpu_layers,
            split_mode=self.split_mode,
            main_gpu=self.main_gpu,
            tensor_split=self.tensor_split,
            devices=self.device,
            tensor_overrides=self.override_tensor,
            n_cpu_moe=self.n_cpu_moe,
            kv_offload=self.kv_offload,
            op_offload=self.op_offload,
            fit=self.fit,
            fit_margins_mib=self.fit_target,
            fit_ctx=self.fit_ctx,
            repack=self.repack,
            check_tensors=self.check_tensors,
            numa=self.numa,
            rpc=self.rpc,
            cache_ram_mib=self.cache_ram,
            speculation=self.spec_type,
            draft_model_path=self.model_draft and str(Path(self.model_draft).expanduser()),
            draft_n_max=self.spec_draft_n_max,
            draft_n_min=self.spec_draft_n_min,
            draft_p_min=self.spec_draft_p_min,
            draft_n_gpu_layers=self.gpu_layers_draft,
            draft_n_threads=max(0, self.threads_draft),
            grammar_seconds=self.grammar_timeout,
            verbose=self.log_level == "debug",
        )

    def sampling_defaults(self, of_model: SamplingParams) -> SamplingParams:
        """The model's defaults, with what was given here over them."""
        return msgspec.structs.replace(of_model, **self.sampling)


def _settings() -> tuple[Setting, ...]:
    defaults = {f.name: f.default for f in dataclasses.fields(Settings)}
    found = []
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        for found_flag in (extra for extra in get_args(hint)[1:] if isinstance(extra, Setting)):
            found.append(replace(found_flag, name=name, type=hint, default=defaults[name]))
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
