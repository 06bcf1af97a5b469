"""The metrics that engines report themselves, read when scraped: a series for each model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from backends.base import EngineStats, ModelInfo
from server.hosting.host import Host
from server.hosting.hosted_model import HostedModel
from server.version import __version__

PICKERS_BLOCK = 64
"""Tokens. Gateways that route by prefix count prompts in blocks, of this many at least, and what a replica's cache
holds in the same blocks. Our prefix cache has none: it reuses any number of tokens."""

Figures = list[tuple[str, EngineStats]]
"""Models by name, those that have been loaded."""
Value = Callable[[EngineStats], float]


class EngineCollector(Collector):
    def __init__(self, host: Host) -> None:
        self._host = host

    def collect(self) -> Iterable[Metric]:
        models = self._host.models
        figures = [(model.name, model.stats) for model in models if model.stats is not None]
        known = [(model.name, model.known.info) for model in models if model.known is not None]
        ready = [(model.name, float(model.ready)) for model in models if not self._need_not_be_ready(model)]
        loaded = [(model.name, float(not model.gone.is_set())) for model in models]
        yield self._info("build", "What is running.", [(models[0].name, {"version": __version__})])
        yield self._gauges("engine_ready", "1 if a request sent now would be run, else 0.", ready)
        yield self._gauges("model_loaded", "1 if the model takes memory, else 0.", loaded)
        yield self._info("model", "The models that are served.", [(name, _description(info)) for name, info in known])
        yield from self._of_engines(figures)
        yield from self._for_pickers(figures)
        yield from self._counted(figures)

    def _need_not_be_ready(self, model: HostedModel) -> bool:
        """Nobody is to be alarmed by a model that sleeps, or that nobody has asked for."""
        return model.state == "unloaded" and (self._host.on_demand or model.ever_loaded)

    def _of_engines(self, figures: Figures) -> Iterable[Metric]:
        def gauge(name: str, text: str, value: Value) -> Metric:
            return self._gauges(name, text, [(model, value(stats)) for model, stats in figures])

        usage = "Share of the KV cache that running sequences hold, 0 to 1."
        yield gauge("num_requests_running", "Sequences being computed.", lambda s: s.running)
        yield gauge("num_requests_waiting", "Sequences waiting to be computed.", lambda s: s.waiting)
        yield gauge("kv_cache_usage_perc", usage, _usage)
        yield gauge("kv_cache_cells", "Tokens that the KV cache has room for.", lambda s: s.cells_total)
        yield gauge("kv_cache_cells_used", "Tokens in the KV cache.", lambda s: s.cells_used)
        yield gauge("prefix_cache_cells", "Those held by the prefix cache alone.", lambda s: s.cells_cached)
        yield gauge("prefix_cache_sequences", "Prefixes kept in the KV cache.", lambda s: s.cached_sequences)
        yield gauge("prefix_cache_spilled_bytes", "Bytes of prefixes kept in RAM.", lambda s: s.spilled_bytes)
        yield gauge("prefix_cache_spilled_sequences", "Prefixes kept in RAM.", lambda s: s.spilled_sequences)

    def _for_pickers(self, figures: Figures) -> Iterable[Metric]:
        """What the Gateway API Inference Extension's endpoint pickers ask for beside the gauges above."""
        blocks = [(name, _blocks(stats)) for name, stats in figures]
        yield self._info("cache_config", "The KV cache, in the blocks that gateways count prompts in.", blocks)
        labels = ["model_name", "max_lora", "running_lora_adapters", "waiting_lora_adapters"]
        text = "LoRA adapters that requests run with or wait for. The value is the time of the report."
        lora = GaugeMetricFamily("paddock_lora_requests_info", text, labels=labels)
        for model in self._host.models:
            if (stats := model.stats) is not None:
                adapters = model.adapters
                at_once = model.spec.settings.parallel if adapters.names else 0
                used = [adapters.names_of(ids) for ids in (stats.running_adapters, stats.waiting_adapters)]
                lora.add_metric([model.name, str(at_once), *(",".join(names) for names in used)], time.time())
        yield lora

    def _counted(self, figures: Figures) -> Iterable[Metric]:
        def count(name: str, text: str, value: Value) -> Metric:
            family = CounterMetricFamily(f"paddock_{name}", text, labels=["model_name"])
            for model, stats in figures:
                family.add_metric([model], value(stats))
            return family

        yield count("num_preemptions", "Sequences put back into the queue for want of cells.", lambda s: s.preemptions)
        yield count("prefix_cache_queries", "Tokens looked up in the prefix cache.", lambda s: s.prefix_cache_queries)
        yield count("prefix_cache_hits", "Tokens found in the prefix cache.", lambda s: s.prefix_cache_hits)
        yield count("prefix_cache_evictions", "Prefixes dropped from the KV cache.", lambda s: s.evictions)
        yield count("prefix_cache_spills", "Prefixes copied from the KV cache to RAM.", lambda s: s.spills)
        yield count("prefix_cache_restores", "Prefixes copied back from RAM.", lambda s: s.restores)
        yield count("prompt_tokens_computed", "Prompt tokens computed, again ones included.", lambda s: s.prompt_tokens)
        yield count("spec_decode_num_drafts", "Drafts verified.", lambda s: s.drafts)
        yield count("spec_decode_num_draft_tokens", "Tokens drafted.", lambda s: s.draft_tokens)
        yield count("spec_decode_num_accepted_tokens", "Those that came true.", lambda s: s.draft_tokens_accepted)
        yield count("engine_steps", "Batches computed.", lambda s: s.steps)
        yield count("engine_restarts", "Engines started because the one before had died.", lambda s: s.restarts)

    def _gauges(self, name: str, text: str, values: Iterable[tuple[str, float]]) -> Metric:
        family = GaugeMetricFamily(f"paddock_{name}", text, labels=["model_name"])
        for model, value in values:
            family.add_metric([model], value)
        return family

    def _info(self, name: str, text: str, values: Iterable[tuple[str, dict[str, str]]]) -> Metric:
        family = InfoMetricFamily(f"paddock_{name}", text, labels=["model_name"])
        for model, labels in values:
            family.add_metric([model], labels)
        return family


def _usage(stats: EngineStats) -> float:
    return (stats.cells_used - stats.cells_cached) / stats.cells_total if stats.cells_total else 0.0


def _blocks(stats: EngineStats) -> dict[str, str]:
    return {"block_size": str(PICKERS_BLOCK), "num_gpu_blocks": str(stats.cells_total // PICKERS_BLOCK)}


def _description(model: ModelInfo) -> dict[str, str]:
    return {
        "description": model.description,
        "engine": model.engine,
        "n_ctx": str(model.n_ctx),
        "n_parallel": str(model.n_parallel),
        "n_params": str(model.n_params),
        "size_bytes": str(model.size_bytes),
    }
