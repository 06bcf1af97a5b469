"""A GGUF's own sampling settings."""

from __future__ import annotations

from backends.base import SAMPLER_ORDER, SamplingParams
from backends.llama_cpp.sampling_defaults import sampling_defaults


def test_without_wishes_they_are_llama_cpp_s() -> None:
    assert sampling_defaults({"general.architecture": "llama"}) == SamplingParams()


def test_the_file_s_wishes_win() -> None:
    metadata = {
        "general.sampling.temp": "0.6",
        "general.sampling.top_k": "20",
        "general.sampling.penalty_repeat": "1.05",
        "general.sampling.sequence": "top-k;temp;typical_p",
    }
    params = sampling_defaults(metadata)
    assert (params.temperature, params.top_k, params.repeat_penalty) == (0.6, 20, 1.05)
    assert params.samplers == ("top_k", "temperature", "typ_p")


def test_what_makes_no_sense_is_ignored() -> None:
    metadata = {
        "general.sampling.temp": "warm",
        "general.sampling.top_p": "7",
        "general.sampling.penalty_repeat": "0",
        "general.sampling.mirostat_tau": "nan",
    }
    assert sampling_defaults(metadata) == SamplingParams(samplers=SAMPLER_ORDER)
