"""How an engine is to load a model and run it: what the server tells the backend, once."""

from __future__ import annotations

from typing import Literal

import msgspec

from backends.base import DRAFTERS, Drafter

RopeScaling = Literal["none", "linear", "yarn"]


class RopeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How positions are encoded, where not as the model says: llama-server's `--rope-…` and `--yarn-…`.

    A number that is 0, of YaRN's factors and betas one below 0: the model's own.
    """

    scaling: RopeScaling | None = None
    """None: the model's own."""
    freq_base: float = 0.0
    freq_scale: float = 0.0
    """Positions are multiplied by it: 0.25 for four times the context."""
    yarn_orig_ctx: int = 0
    yarn_ext_factor: float = -1.0
    yarn_attn_factor: float = -1.0
    yarn_beta_slow: float = -1.0
    yarn_beta_fast: float = -1.0


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True, tag="options"):
    """How to load a model and lay out its context. Names and defaults follow llama-server's flags."""

    model_path: str
    n_ctx: int = 0
    """Cells of the shared KV pool; 0: the model's own context, reduced to fit memory."""
    n_parallel: int = 16
    n_batch: int = 2048
    n_ubatch: int = 512
    step_budget_ms: float = 500.0
    """How long a step may take that computes a part of a prompt while other sequences wait for their next token."""
    n_threads: int = 0
    """0: as many as there are physical cores available to this process."""
    n_threads_batch: int = 0
    """0: as n_threads."""
    rope: RopeOptions = RopeOptions()
    load_mode: Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"] = "auto"
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attn: Literal["auto", "on", "off"] = "auto"
    n_gpu_layers: int = -1
    """Layers to keep in devices' memory, the output one more; -1: as many as fit; -2: all."""
    devices: tuple[str, ...] = ()
    """Names of the devices to use; empty: every GPU; ("none",): none."""
    split_mode: Literal["none", "layer", "row", "tensor"] = "layer"
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    """Each device's share of the layers; empty: by free memory."""
    tensor_overrides: tuple[tuple[str, str], ...] = ()
    """Patterns of tensors' names, and the buffers that they go to, whatever else is said."""
    n_cpu_moe: int | None = None
    """Layers, from the first, whose experts stay in RAM; None: those that don't fit elsewhere."""
    kv_offload: bool = True
    """Whether the KV cells of layers on devices are there too."""
    op_offload: bool = True
    """Whether devices compute large batches for layers in RAM."""
    fit: bool = True
    """Whether what was left open is made to fit memory, and what can't fit is refused."""
    fit_margins_mib: tuple[int, ...] = (1024,)
    """Memory of each device to leave free; one number: of every device."""
    fit_ctx: int = 4096
    """Layers leave devices rather than that the context gets shorter."""
    repack: bool = True
    """Whether weights in RAM are laid out anew for this processor: faster, but copies."""
    check_tensors: bool = False
    """Whether the weights are looked through for values that are no numbers."""
    numa: Literal["distribute", "isolate", "numactl"] | None = None
    rpc: tuple[str, ...] = ()
    """Workers on other machines, `host:port`, whose devices are used as if they were this one's."""
    cache_ram_mib: int = 8192
    """RAM for prefixes spilled from the KV pool; 0: none; -1: no limit."""
    speculation: tuple[Drafter, ...] = DRAFTERS
    """What may be drafted from, if at all; a request's own prediction is with any of them."""
    draft_model_path: str | None = None
    draft_n_max: int = 16
    """Tokens that the draft model may draft at a time."""
    draft_n_min: int = 0
    """Fewer than this aren't wanted of it."""
    draft_p_min: float = 0.0
    """It stops before a token that it believes less likely than this."""
    draft_n_gpu_layers: int = -1
    draft_n_threads: int = 0
    """0: as n_threads."""
    grammar_seconds: float = 4.0
    """What compiling a request's grammar may take of the processor's time."""
    adapters: tuple[str, ...] = ()
    """Files of LoRA adapters that are loaded with the model: the first has the id 0, the next 1."""
    verbose: bool = False
    """Pass llama.cpp's own log lines on."""
