"""Request fields to SamplingParams."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.base import SamplingParams, TokenizerInfo
from server.errors import APIError
from server.sampling import engine_seed, sampling_params
from server.schemas.samplers import SamplerFields
from server.schemas.validation import validate

DEFAULTS = SamplingParams(temperature=0.6, top_k=20, logit_bias={1: 2.0})


class BytesTokenizer:
    """A token per byte."""

    info = TokenizerInfo(
        pieces=[bytes([value]) for value in range(256)],
        control_tokens=frozenset(),
        eog_tokens=frozenset(),
        bos=None,
        eos=None,
        eot=None,
        add_bos=False,
        add_eos=False,
        fim_prefix=None,
        fim_suffix=None,
        fim_middle=None,
        fim_pad=None,
        fim_repo=None,
        fim_separator=None,
    )

    async def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return list(text.encode())


async def params(**fields: Any) -> SamplingParams:
    return await sampling_params(validate(SamplerFields, fields), DEFAULTS, BytesTokenizer())


async def test_absent_and_null_are_the_models_defaults() -> None:
    assert await params() == DEFAULTS
    assert await params(temperature=None, samplers=None, logit_bias=None, seed=None) == DEFAULTS


async def test_every_parameter_reaches_the_engine() -> None:
    fields: dict[str, Any] = {
        "temperature": 1.5,
        "dynatemp_range": 0.5,
        "dynatemp_exponent": 2.0,
        "top_k": 7,
        "top_p": 0.5,
        "min_p": 0.25,
        "tfs_z": 0.75,
        "typical_p": 0.875,
        "top_n_sigma": 1.25,
        "xtc_probability": 0.5,
        "xtc_threshold": 0.25,
        "mirostat": 2,
        "mirostat_tau": 4.0,
        "mirostat_eta": 0.25,
        "repeat_penalty": 1.25,
        "repeat_last_n": -1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "dry_multiplier": 0.5,
        "dry_base": 2.0,
        "dry_allowed_length": 3,
        "dry_penalty_last_n": 9,
        "dry_sequence_breakers": ["a"],
        "adaptive_target": 0.5,
        "adaptive_decay": 0.5,
        "seed": 5,
        "min_keep": 2,
        "ignore_eos": True,
        "min_tokens": 4,
        "samplers": ["top_k", "temperature"],
    }
    assert {*fields, "logit_bias"} == set(SamplingParams.__struct_fields__)
    changed = await params(**fields)
    for name, value in fields.items():
        assert getattr(changed, name) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [("typ_p", "typical_p", 0.5), ("repetition_penalty", "repeat_penalty", 1.5), ("mirostat_mode", "mirostat", 2)],
)
async def test_other_names(alias: str, name: str, value: float) -> None:
    assert getattr(await params(**{alias: value}), name) == value


async def test_logit_bias() -> None:
    assert (await params(logit_bias={"5": -3})).logit_bias == {1: 2.0, 5: -3.0}
    assert (await params(logit_bias={"7": False})).logit_bias[7] == -math.inf
    assert (await params(logit_bias={"ab": 1.5})).logit_bias == {1: 2.0, 97: 1.5, 98: 1.5}
    assert (await params(logit_bias={"5": 1}, logit_bias_type="tokens")).logit_bias == {1: 2.0, 53: 1.0}
    for key in ("256", "-1", "9999999999"):
        with pytest.raises(APIError) as caught:
            await params(logit_bias={key: 1})
        assert caught.value.param == "logit_bias"


def test_seeds() -> None:
    assert engine_seed(-1) is None
    assert engine_seed(2**32 - 1) is None
    assert engine_seed(0) == 0
    assert engine_seed(2**32 - 2) == 2**32 - 2
    assert engine_seed(-(2**32)) == 2**32 - 2
    assert engine_seed(2**40) != engine_seed(2**41)


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_seed_fits_and_stays(seed: int) -> None:
    folded = engine_seed(seed)
    assert folded == engine_seed(seed)
    assert seed in (-1, 2**32 - 1) or (folded is not None and 0 <= folded < 2**32 - 1)
