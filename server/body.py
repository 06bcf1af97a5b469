"""A request's body: bytes to JSON to the model of it, or an error that says why not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from server.errors import APIError
from server.limits import JSON_DEPTH, Limits
from server.schemas.limit_rules import check_limits
from server.schemas.validation import validate

M = TypeVar("M", bound=BaseModel)

MAX_VALUES = 1 << 21
"""Numbers, strings, lists … of a body, in which commas and colons inside of strings count too. 32 MiB of `[],` would
take seconds, in which nothing else runs; no context takes as many tokens."""

LARGE = 1 << 18
"""Bytes from which on a body is parsed and validated in a thread, so that streams go on meanwhile."""

STALL_SECONDS = 60.0
"""How long an upload may stand still; nginx's default too."""
MIN_BYTES_PER_SECOND = 1024
"""After the first STALL_SECONDS: a byte now and then would hold a connection for ever."""


async def read_body(model: type[M], request: Request, limits: Limits) -> M:
    """The body, validated.

    Raises a 400, a 408 (nothing comes), a 413 (too many bytes, or more than MAX_VALUES) or a 415 (compressed).

    The Content-Type is not asked for: curl's `-d` claims a form.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        message = f"Content-Encoding '{encoding[:40]}' is not supported: send the body uncompressed."
        raise APIError(message, status=415, code="unsupported_media_type")
    body = await _read(request, limits.body_bytes)
    if sum(map(body.count, (b",", b":", b"["))) > MAX_VALUES:
        message = f"The request body holds more than {MAX_VALUES} values."
        raise APIError(message, status=413, code="request_too_large")
    if len(body) < LARGE:
        return _read_as(model, body, limits)
    return await asyncio.to_thread(_read_as, model, body, limits)


async def _read(request: Request, max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    now = asyncio.get_running_loop().time
    started = now()
    try:
        async with asyncio.timeout(STALL_SECONDS) as timer:
            async for chunk in request.stream():
                body += chunk
                timer.reschedule(STALL_SECONDS + min(now(), started + len(body) / MIN_BYTES_PER_SECOND))
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        message = "The rest of the request body did not come in time."
        raise APIError(message, status=408, code="request_timeout", headers={"Connection": "close"}) from None
    return bytes(body)


def _read_as(model: type[M], body: bytes, limits: Limits) -> M:
    read = validate(model, parse_json(body, limits.json_depth))
    check_limits(read, limits)
    return read


def _too_large(max_bytes: int) -> APIError:
    message = f"The request body is larger than this server takes: {max_bytes} bytes (--max-body-size)."
    return APIError(message, status=413, code="request_too_large")


def parse_json(body: bytes, max_depth: int = JSON_DEPTH) -> Any:
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
        raise _too_deep(max_depth) from None
    except ValueError as error:
        reason = "a number has too many digits" if "set_int_max_str_digits" in str(error) else str(error)
        raise _malformed(reason) from None
    if text.count("[") + text.count("{") > max_depth and _deeper_than(value, max_depth):
        raise _too_deep(max_depth)
    return value


def _malformed(reason: str) -> APIError:
    return APIError(f"The body could not be read as JSON: {reason}.", code="invalid_json")


def _too_deep(max_depth: int) -> APIError:
    return _malformed(f"it is nested more than {max_depth} levels deep (--max-json-depth)")


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
