"""A request's body: bytes to JSON to the model of it, or an error that says why not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from server.errors import APIError
from server.schemas.validation import validate

M = TypeVar("M", bound=BaseModel)

MAX_VALUES = 1 << 21
"""Numbers, strings, lists … of a body, in which commas and colons inside of strings count too. 32 MiB of `[],` would
take seconds, in which nothing else runs; no context takes as many tokens."""

LARGE = 1 << 18
"""Bytes from which on a body is parsed and validated in a thread, so that streams go on meanwhile."""

STALL_SECONDS = 60.0
"""How long an upload may stand still; nginx's default too."""

MAX_DEPTH = 128
"""Of objects and lists in each other: what is rendered or validated recursively stays clear of Python's own limit."""


async def read_body(model: type[M], request: Request, max_bytes: int) -> M:
    """The body, validated.

    Raises a 400, a 408 (nothing comes), a 413 (more than `max_bytes` or MAX_VALUES) or a 415 (compressed).

    The Content-Type is not asked for: curl's `-d` claims a form.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        message = f"Content-Encoding '{encoding[:40]}' is not supported: send the body uncompressed."
        raise APIError(message, status=415, code="unsupported_media_type")
    body = await _read(request, max_bytes)
    if sum(map(body.count, (b",", b":", b"["))) > MAX_VALUES:
        message = f"The request body holds more than {MAX_VALUES} values."
        raise APIError(message, status=413, code="request_too_large")
    return _read_as(model, body) if len(body) < LARGE else await asyncio.to_thread(_read_as, model, body)


async def _read(request: Request, max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(STALL_SECONDS) as timer:
            async for chunk in request.stream():
                timer.reschedule(asyncio.get_running_loop().time() + STALL_SECONDS)
                body += chunk
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        message = f"The rest of the request body did not come within {STALL_SECONDS:g} seconds."
        raise APIError(message, status=408, code="request_timeout", headers={"Connection": "close"}) from None
    return bytes(body)


def _read_as(model: type[M], body: bytes) -> M:
    return validate(model, parse_json(body))


def _too_large(max_bytes: int) -> APIError:
    message = f"The request body is larger than this server takes: {max_bytes} bytes."
    return APIError(message, status=413, code="request_too_large")


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, no key twice, no lone surrogates, no number or nesting out of bounds."""
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(
            text, parse_constant=_reject_constant, parse_float=_finite, object_pairs_hook=_object_of_unique_keys
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    except UnicodeEncodeError:
        raise _malformed("a string holds half of a surrogate pair") from None
    except RecursionError:
        raise _malformed(f"it is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        reason = "a number has too many digits" if "set_int_max_str_digits" in str(error) else str(error)
        raise _malformed(reason) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise _malformed(f"it is nested more than {MAX_DEPTH} levels deep")
    return value


def _malformed(reason: str) -> APIError:
    return APIError(f"The body could not be read as JSON: {reason}.", code="invalid_json")


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:40]} is out of range")
    return number


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:40]!r} is there twice in one object")
    return value


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [item for group in level for item in _items(group) if isinstance(item, (list, dict))]
    return bool(level)


def _items(group: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return group.values() if isinstance(group, dict) else group
