"""Whatever a body holds, the answer is no 5xx, and it is OpenAI's."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.schemas.chat import ChatCompletionRequest
from server.schemas.completion import CompletionRequest
from tests.server.routes.client import error, post
from tests.server.scripted import scripted_state

FIELDS = sorted({*ChatCompletionRequest.model_fields, *CompletionRequest.model_fields})

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.text() | values},
        optional={"name": values, "tool_calls": values, "reasoning_content": values, "tool_call_id": values},
    ),
    max_size=3,
)
bodies = st.fixed_dictionaries(
    {
        "model": st.just("m"),
        "messages": messages | values,
        "prompt": st.text() | st.lists(st.integers(0, 300)) | values,
    },
    optional={name: values for name in FIELDS if name not in ("model", "messages", "prompt")},
)


@settings(deadline=None, max_examples=100)
@given(bodies, st.sampled_from(["/v1/chat/completions", "/v1/completions"]))
def test_no_body_is_a_server_error(body: dict[str, Any], path: str) -> None:
    state, _ = scripted_state()
    response = asyncio.run(post(state, path, **body))
    assert response.status_code in (200, 400)
    if response.status_code == 400:
        assert error(response)["type"] == "invalid_request_error"
