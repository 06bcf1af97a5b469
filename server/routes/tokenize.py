"""llama-server's `POST /tokenize` and `POST /detokenize`."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backends.base import TokenizerInfo
from server.body import read_body
from server.connection import unless_gone
from server.native.prompts import check_tokens, mixed_tokens
from server.schemas.native import DetokenizeRequest, TokenizeRequest
from server.schemas.native_response import DetokenizeResponse, TokenizeResponse, TokenPiece
from server.state import state_of
from server.text.detokenizer import detokenize as text_of


async def tokenize(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(TokenizeRequest, request, state.limits)
    deadline = state.deadline()
    backend = await unless_gone(request, state.backend(request, state.resolve(body.model or None, request)), deadline)
    tokenizer = backend.tokenizer
    tokens = await unless_gone(
        request,
        mixed_tokens(
            tokenizer,
            body.content,
            add_special=bool(body.add_special),
            parse_special=body.parse_special is not False,
            param="content",
        ),
        deadline,
    )
    if body.with_pieces:
        return _json(TokenizeResponse([TokenPiece(token, _piece(tokenizer.info, token)) for token in tokens]))
    return _json(TokenizeResponse([*tokens]))


async def detokenize(request: Request) -> Response:
    state = state_of(request)
    body = await read_body(DetokenizeRequest, request, state.limits)
    served = state.resolve(body.model or None, request)
    backend = await unless_gone(request, state.backend(request, served), state.deadline())
    info = backend.tokenizer.info
    check_tokens(info, body.tokens, "tokens")
    return _json(DetokenizeResponse(await asyncio.to_thread(text_of, info, body.tokens, special=True)))


def _piece(info: TokenizerInfo, token: int) -> str | list[int]:
    piece = info.pieces[token]
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


routes = [Route("/tokenize", tokenize, methods=["POST"]), Route("/detokenize", detokenize, methods=["POST"])]
