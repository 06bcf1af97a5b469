"""Schemas at random, on a model with random weights, hot: nothing but the constraint can make its outputs match."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.models.families import write_model
from tests.server.structured.schema_strategy import SCHEMAS

from .serving import Server, serving

AT_ONCE = 8
BODY = {"model": "random", "prompt": "abc", "temperature": 1.5, "top_k": 0, "top_p": 1, "min_p": 0, "max_tokens": 250}
UNMATCHABLE = re.compile("nsatisfiable|not disjoint|intersection stack level")
"""What llguidance says of schemas that nothing can match, and of what it can't intersect."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model = write_model(tmp_path_factory.mktemp("gguf") / "random.gguf", "llama")
    with serving(
        "--model", str(model), "--alias", "random", "--parallel", str(AT_ONCE), "--ctx-size", "4096"
    ) as server:
        yield server


def test_outputs_match(server: Server) -> None:
    """The ways of asking take turns. Nearly all outputs come to their end."""
    ended = []

    @settings(
        max_examples=25,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(SCHEMAS, min_size=AT_ONCE, max_size=AT_ONCE))
    def check(schemas: list[dict[str, Any]]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            ended.extend(threads.map(lambda pair: _ended(server, *pair), enumerate(schemas)))

    check()
    assert len(ended) >= 5 * AT_ONCE and sum(ended) > len(ended) / 2


def _ended(server: Server, number: int, schema: dict[str, Any]) -> bool:
    """Whether the output is whole, and then it must match."""
    named = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    asked = ({"response_format": named}, {"json_schema": schema}, {"structured_outputs": {"json": schema}})[number % 3]
    answer = server.post("/v1/completions", {**BODY, "seed": number, **asked})
    if answer.status_code == 400:
        assert UNMATCHABLE.search(answer.json()["error"]["message"]), (answer.text, schema)
        return False
    assert answer.status_code == 200, (answer.text, schema)
    choice = answer.json()["choices"][0]
    if choice["finish_reason"] == "length":
        return False
    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["text"]), schema, jsonschema.Draft202012Validator)
    return True
