"""llama-server's `GET /slots`: what is being computed."""

from __future__ import annotations

import zlib

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import ModelInfo, SlotState
from server.access.gate import AdminOnly
from server.errors import unavailable
from server.schemas.native_response import NextToken, Slot
from server.state import state_of


async def slots(request: Request) -> Response:
    """One object per sequence that can be computed at once; up to a fifth of a second old. Asking loads no model."""
    hosted = state_of(request).resolve(request.query_params.get("model"), request).model
    if hosted.known is None or hosted.stats is None:
        raise unavailable(f"The model '{hosted.name}' is not loaded.")
    model = hosted.known.info
    n_parallel = model.n_parallel
    busy = {state.slot: state for state in hosted.stats.slots}
    if request.query_params.get("fail_on_no_slot") and len(busy) >= n_parallel:
        raise unavailable("No slot is available.")
    listed = [_slot(slot, model, busy.get(slot)) for slot in sorted({*range(n_parallel), *busy})]
    return Response(msgspec.json.encode(listed), media_type="application/json")


def _slot(slot: int, model: ModelInfo, state: SlotState | None) -> Slot:
    told = Slot(id=slot, n_ctx=model.n_ctx, speculative=bool(model.drafters), is_processing=state is not None)
    if state is not None:
        # llama-server's is a number; ours are texts
        told.id_task = zlib.crc32(state.request_id.encode()) & 0x7FFF_FFFF
        told.request_id = state.request_id
        told.n_prompt_tokens = state.prompt_tokens
        told.n_prompt_tokens_processed = state.processed_tokens
        left = max(0, state.max_tokens - state.generated_tokens)
        told.next_token = [NextToken(n_decoded=state.generated_tokens, n_remain=left)]
    return told


admin_routes = [Route("/slots", slots, middleware=[Middleware(AdminOnly)])]
