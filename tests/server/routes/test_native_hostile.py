"""Whatever a body holds, llama-server's endpoints answer it, or say what is wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from server.schemas import native
from tests.server.routes.client import call, error
from tests.server.routes.test_hostile import values
from tests.server.scripted import scripted_state

ENDPOINTS: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "/completion": (native.NativeCompletionRequest, {"prompt": "a"}),
    "/infill": (native.InfillRequest, {"input_prefix": "a", "input_suffix": "b"}),
    "/tokenize": (native.TokenizeRequest, {"content": "a"}),
    "/detokenize": (native.DetokenizeRequest, {"tokens": [97]}),
    "/apply-template": (native.ApplyTemplateRequest, {"messages": [{"role": "user", "content": "a"}]}),
}


@pytest.mark.parametrize("path", ENDPOINTS)
@settings(deadline=None, max_examples=100)
@given(st.data())
def test_no_body_is_a_server_error(path: str, data: st.DataObject) -> None:
    model, required = ENDPOINTS[path]
    fields = dict.fromkeys(model.model_fields, values)
    body = {**required, **data.draw(st.fixed_dictionaries({}, optional=fields))}
    state, _ = scripted_state()
    response = asyncio.run(call(state, "POST", path, json=body))
    assert response.status_code in (200, 400, 404), response.text
    if response.status_code != 200:
        assert error(response)["type"] == "invalid_request_error"
