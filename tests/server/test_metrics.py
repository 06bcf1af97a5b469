"""What requests and the engine's reports leave in /metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from backends.base import (
    EngineStats,
    EngineUnavailable,
    GenerateRequest,
    GenerationEvent,
    SamplingParams,
    TokenChunk,
)
from server.access.key_store import KeyStore
from server.access.keys import Key, hashed
from server.admission import Admission
from server.observed_backend import ObservedBackend
from server.state import AppState
from tests.server.routes.client import call, chat, completion
from tests.server.scripted import scripted_state

VLLM_STEMS = """
    num_requests_running num_requests_waiting kv_cache_usage_perc num_preemptions_total prefix_cache_queries_total
    prefix_cache_hits_total prompt_tokens_total prompt_tokens_cached_total generation_tokens_total
    request_success_total time_to_first_token_seconds_count inter_token_latency_seconds_count
    e2e_request_latency_seconds_count request_prompt_tokens_count request_generation_tokens_count
""".split()

PICKERS = """
    paddock_num_requests_waiting paddock_num_requests_running paddock_kv_cache_usage_perc
    paddock_cache_config_info paddock_lora_requests_info
""".split()


async def samples(state: AppState, headers: dict[str, str] | None = None) -> dict[str, float]:
    """Values by name, with the labels that tell series of one name apart."""
    response = await call(state, "GET", "/metrics", headers=headers)
    assert response.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            labels = ",".join(v for k, v in sorted(sample.labels.items()) if v and k not in ("model_name", "le"))
            assert sample.labels.get("model_name", "m") == "m"
            if "le" not in sample.labels:
                found[f"{sample.name}[{labels}]" if labels else sample.name] = sample.value
    return found


async def test_names() -> None:
    state, _ = scripted_state()
    found = {name.partition("[")[0] for name in await samples(state)}
    assert {f"paddock_{stem}" for stem in VLLM_STEMS} <= found
    assert all(name.startswith(("paddock_", "process_")) for name in found)
    assert not any(name.endswith("_created") for name in found)


async def test_a_request() -> None:
    state, _ = scripted_state()
    await chat(state, n=2, max_tokens=4)
    await completion(state, stream=True, prompt=["ab", "cd"], stop="l", max_tokens=3)
    found = await samples(state)
    assert found["paddock_request_success_total[length]"] == 2
    assert found["paddock_request_success_total[stop]"] == 2
    assert found["paddock_request_success_total[abort]"] == 0
    assert found["paddock_prompt_tokens_total"] == len("<s>user:hi;") - 2 + 2 * 3
    assert found["paddock_prompt_tokens_cached_total"] == 3
    assert found["paddock_generation_tokens_total"] == 2 * 4 + 2 * 3
    assert found["paddock_time_to_first_token_seconds_count"] == 3
    assert found["paddock_inter_token_latency_seconds_count"] == 2 * 3 + 2 * 2
    assert found["paddock_e2e_request_latency_seconds_count"] == 3
    assert found["paddock_request_generation_tokens_count"] == 4
    assert found["paddock_request_generation_tokens_sum"] == 14


async def test_by_key() -> None:
    state, _ = scripted_state()
    state.keys = KeyStore([Key(name=name, sha256=hashed(f"sk-{name}"), admin=True) for name in ("amy", "bob")])
    body = {"model": "m", "prompt": "ab", "max_tokens": 3}
    for name in ("amy", "amy", "bob", "eve"):
        await call(state, "POST", "/v1/completions", json=body, headers={"authorization": f"Bearer sk-{name}"})
    found = await samples(state, {"x-api-key": "sk-bob"})
    for name, times in (("amy", 2), ("bob", 1)):
        assert found[f"paddock_http_requests_total[/v1/completions,{name},POST,200]"] == times
        assert found[f"paddock_prompt_tokens_total[{name}]"] == 3 * times
        assert found[f"paddock_prompt_tokens_cached_total[{name}]"] == times
        assert found[f"paddock_generation_tokens_total[{name}]"] == 3 * times
        assert found[f"paddock_request_success_total[length,{name}]"] == times
    assert found["paddock_http_requests_total[unmatched,POST,401]"] == 1
    assert not any("eve" in name for name in found)
    assert found["paddock_generation_tokens_total"] == 0


async def test_what_endpoint_pickers_read() -> None:
    """As llm-d-router's core-metrics-extractor does: the first series of a name, numbers from labels."""
    state, backend = scripted_state()
    backend.stats = EngineStats(running=3, waiting=2, cells_total=4100, cells_used=2050)
    found: dict[str, Sample] = {}
    for family in text_string_to_metric_families((await call(state, "GET", "/metrics")).text):
        for sample in family.samples:
            assert sample.name not in found or sample.name not in PICKERS, "more than one series"
            found[sample.name] = sample
    assert [found[name].value for name in PICKERS[:3]] == [2, 3, 0.5]
    cache, lora = (found[name] for name in PICKERS[3:])
    assert (int(cache.labels["block_size"]), int(cache.labels["num_gpu_blocks"])) == (64, 64)
    assert cache.value == 1
    assert lora.labels == {
        "model_name": "m", "max_lora": "0", "running_lora_adapters": "", "waiting_lora_adapters": "",
    }  # fmt: skip
    assert abs(lora.value - time.time()) < 60


async def test_an_engine_that_fails() -> None:
    state, backend = scripted_state()
    backend.fail_after, backend.failure = 2, EngineUnavailable("gone")
    assert (await completion(state)).status_code == 503
    found = await samples(state)
    assert found["paddock_request_success_total[error]"] == 1
    assert found["paddock_http_requests_total[/v1/completions,POST,503]"] == 1
    assert found["paddock_e2e_request_latency_seconds_count"] == 0


async def test_a_client_that_goes_away() -> None:
    state, backend = scripted_state()
    backend.delay = 5
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(completion(state, n=2), 0.1)
    assert (await samples(state))["paddock_request_success_total[abort]"] == 2


async def test_http_requests_by_route() -> None:
    state, _ = scripted_state()
    for method, path in (
        ("GET", "/v1/models/m"),
        ("GET", "/models/org/m:q4"),
        ("GET", "/v1/nothing"),
        ("GET", "/../../etc"),
        ("DELETE", "/v1/models"),
        ("BREW", "/livez"),
    ):
        await call(state, method, path)
    found = await samples(state)
    assert {name: value for name, value in found.items() if name.startswith("paddock_http_requests_total")} == {
        "paddock_http_requests_total[/v1/models/{model:path},GET,200]": 1,
        "paddock_http_requests_total[/models/{model:path},GET,200]": 1,
        "paddock_http_requests_total[unmatched,GET,404]": 2,
        "paddock_http_requests_total[/v1/models,DELETE,405]": 1,
        "paddock_http_requests_total[/livez,other,405]": 1,
    }


async def test_the_engines_report() -> None:
    state, backend = scripted_state()
    backend.stats = EngineStats(
        running=3,
        waiting=2,
        cells_total=100,
        cells_used=50,
        cells_cached=30,
        cached_sequences=4,
        spilled_bytes=1000,
        spilled_sequences=1,
        prompt_tokens=70,
        preemptions=5,
        prefix_cache_queries=80,
        prefix_cache_hits=10,
        spills=6,
        restores=7,
        evictions=8,
        drafts=11,
        draft_tokens=40,
        draft_tokens_accepted=30,
        steps=9,
        restarts=2,
    )
    found = await samples(state)
    expected: dict[str, float] = {
        "num_requests_running": 3,
        "num_requests_waiting": 2,
        "kv_cache_usage_perc": 0.2,
        "kv_cache_cells": 100,
        "kv_cache_cells_used": 50,
        "prefix_cache_cells": 30,
        "prefix_cache_sequences": 4,
        "prefix_cache_spilled_bytes": 1000,
        "prefix_cache_spilled_sequences": 1,
        "num_preemptions_total": 5,
        "prefix_cache_queries_total": 80,
        "prefix_cache_hits_total": 10,
        "prefix_cache_evictions_total": 8,
        "prefix_cache_spills_total": 6,
        "prefix_cache_restores_total": 7,
        "prompt_tokens_computed_total": 70,
        "spec_decode_num_drafts_total": 11,
        "spec_decode_num_draft_tokens_total": 40,
        "spec_decode_num_accepted_tokens_total": 30,
        "engine_steps_total": 9,
        "engine_restarts_total": 2,
        "engine_ready": 1,
    }
    for name, value in expected.items():
        assert found[f"paddock_{name}"] == pytest.approx(value), name


async def test_while_the_model_loads() -> None:
    state, _ = scripted_state(loaded=False)
    found = await samples(state)
    assert found["paddock_engine_ready"] == 0
    assert "paddock_num_requests_running" not in found
    state, backend = scripted_state()
    backend.ready = False
    assert (await samples(state))["paddock_engine_ready"] == 0


async def test_while_the_model_sleeps() -> None:
    state, _ = scripted_state()
    assert (await samples(state))["paddock_model_loaded"] == 1
    await state.host.unload(state.host.models[0])
    found = await samples(state)
    assert found["paddock_model_loaded"] == 0
    assert "paddock_engine_ready" not in found, "it would alarm"


async def test_openmetrics() -> None:
    state, _ = scripted_state()
    response = await call(state, "GET", "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_servers_have_metrics_of_their_own() -> None:
    first, _ = scripted_state()
    second, _ = scripted_state()
    await completion(first)
    assert (await samples(second))["paddock_request_success_total[stop]"] == 0


async def test_what_the_engine_reports_is_the_latest() -> None:
    state, backend = scripted_state()
    observed = ObservedBackend(backend, state.metrics.of_model("m"), Admission(None))
    backend.stats = EngineStats(running=3)
    assert observed.stats.running == 3


async def test_tokens_after_a_sequences_end_count_for_nothing() -> None:
    state, backend = scripted_state()

    async def generate(request: GenerateRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield TokenChunk(id=request.id, index=0, tokens=[1], finish_reason="length")
        yield TokenChunk(id=request.id, index=0, tokens=[2, 3])

    backend.generate = generate  # type: ignore[method-assign]
    metrics = state.metrics.of_model("m")
    request = GenerateRequest(id="r", prompt=[1], max_tokens=1, sampling=SamplingParams())
    assert len([event async for event in ObservedBackend(backend, metrics, Admission(None)).generate(request)]) == 2
    labels = {"model_name": "m", "key": ""}
    assert state.metrics.registry.get_sample_value("paddock_generation_tokens_total", labels) == 1
