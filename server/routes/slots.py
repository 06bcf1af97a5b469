"""llama-server's `GET /slots`: what is being computed."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import ModelInfo, SlotState
from server.errors import unavailable
from server.state import state_of


async def slots(request: Request) -> Response:
    """One object per sequence that can be computed at once; up to a fifth of a second old."""
    backend = state_of(request).loaded()
    model = backend.model
    n_parallel = model.n_parallel
    busy = {state.slot: state for state in backend.stats.slots}
    if request.query_params.get("fail_on_no_slot") and len(busy) >= n_parallel:
        raise unavailable("No slot is available.")
    listed = [_slot(slot, model, busy.get(slot)) for slot in sorted({*range(n_parallel), *busy})]
    return Response(msgspec.json.encode(listed), media_type="application/json")


def _slot(slot: int, model: ModelInfo, state: SlotState | None) -> dict[str, Any]:
    common = {
        "id": slot,
        "n_ctx": model.n_ctx,
        "speculative": bool(model.drafters),
        "is_processing": state is not None,
    }
    if state is None:
        return common
    token = {
        "has_next_token": True,
        "has_new_line": False,
        "n_remain": max(0, state.max_tokens - state.generated_tokens),
        "n_decoded": state.generated_tokens,
    }
    return {
        **common,
        # llama-server's is a number; ours are texts, and this one stays the request's
        "id_task": zlib.crc32(state.request_id.encode()) & 0x7FFF_FFFF,
        "request_id": state.request_id,
        "n_prompt_tokens": state.prompt_tokens,
        "n_prompt_tokens_processed": state.processed_tokens,
        "next_token": [token],
    }


routes = [Route("/slots", slots)]
