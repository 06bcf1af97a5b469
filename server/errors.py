"""OpenAI's error object: the exceptions that become one, and the handlers that answer with it."""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from backends.base import (
    BackendError,
    ContextLengthExceeded,
    EngineUnavailable,
    InvalidRequest,
    ModelLoadError,
    UnknownAdapter,
)
from server.connection import DeadlineExceeded
from server.request_record import current
from server.schemas.error_response import Error, ErrorResponse

log = logging.getLogger("paddock.errors")

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"
RETRY_AFTER_SECONDS = 5


class APIError(Exception):
    """A failure with its HTTP status and OpenAI's four fields."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = INVALID_REQUEST,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def note(self) -> None:
        """For the log's line of the request that this code runs for."""
        if (record := current()) is not None:
            record.error = self.code or self.kind

    def body(self) -> ErrorResponse:
        """The JSON object of a response or of a stream's `error` event."""
        return ErrorResponse(Error(self.message, self.kind, self.param, self.code))

    def response(self) -> Response:
        self.note()
        return Response(
            msgspec.json.encode(self.body()),
            status_code=self.status,
            headers=self.headers,
            media_type="application/json",
        )


def invalid(message: str, param: str | None, code: str | None = "invalid_value") -> APIError:
    """400: the field `param` can't be taken as it is."""
    return APIError(message, param=param, code=code)


def unsupported(message: str, param: str) -> APIError:
    """400: OpenAI has this, this server has not; dropping it in silence would mislead."""
    return APIError(message, param=param, code="unsupported_parameter")


def unknown_model(model: str | None, known: Sequence[str]) -> APIError:
    """404: `known` are those that the client may know of. None: the one that is here, of which it may not."""
    if model is None:
        message = "Your API key may use none of this server's models."
    else:
        names = ", ".join(f"'{name}'" for name in known)
        message = f"The model '{model[:200]}' does not exist." + (f" This server has: {names}." if names else "")
    return APIError(message, status=404, param="model", code="model_not_found")


def context_length_exceeded(n_ctx: int, prompt: int, completion: int, param: str) -> APIError:
    """400: the numbers are tokens."""
    message = (
        f"This model's maximum context length is {n_ctx} tokens. However, you requested {prompt + completion} tokens "
        f"({prompt} in the {param}, {completion} in the completion). "
        f"Shorten the {param}, or lower the completion's limit."
    )
    return APIError(message, param=param, code="context_length_exceeded")


def model_not_loaded(name: str) -> APIError:
    """400: requests don't load models here, operators do."""
    message = f"The model '{name}' is not loaded, and requests don't load models here (--no-models-autoload)."
    return APIError(message, param="model", code="model_not_loaded")


def model_load_failed(reason: str) -> APIError:
    """500: trying again at once would fail again."""
    message = f"The model can't be loaded: {reason}"
    headers = {"x-should-retry": "false"}
    return APIError(message, status=500, kind=SERVER_ERROR, code="model_load_failed", headers=headers)


def models_unreadable(reason: str) -> APIError:
    """500: the models are as they were."""
    return APIError(
        f"The models can't be read again: {reason}", status=500, kind=SERVER_ERROR, code="models_unreadable"
    )


def unavailable(message: str) -> APIError:
    """503: the same request may well succeed later."""
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return APIError(message, status=503, kind="service_unavailable", code="unavailable", headers=headers)


def retired() -> APIError:
    """503: whoever comes again finds the models that there are now."""
    return unavailable("This server's models are being read again.")


def queue_full(retry_after: int) -> APIError:
    """429: more waits already than may wait; in `retry_after` seconds it may be otherwise."""
    message = "The server is overloaded: too many requests are waiting already. Try again later."
    headers = {"Retry-After": str(retry_after)}
    return APIError(message, status=429, kind=SERVER_ERROR, code="queue_full", headers=headers)


def as_api_error(error: BaseException) -> APIError:
    """What the client is told about any exception. Internals stay in the log."""
    match error:
        case APIError():
            return error
        case ContextLengthExceeded():
            return APIError(str(error), code="context_length_exceeded")
        case UnknownAdapter():
            return APIError(str(error), status=404, param="model", code="model_not_found")
        case InvalidRequest():
            return APIError(str(error))
        case EngineUnavailable():
            return unavailable(str(error))
        case ModelLoadError():
            return model_load_failed(str(error))
        case BackendError():
            return APIError(str(error), status=500, kind=SERVER_ERROR, code="engine_error")
        case DeadlineExceeded():
            return APIError(str(error), status=504, kind="timeout_error", code="deadline_exceeded")
        case HTTPException():
            return _from_http(error)
        case _:
            return APIError("The server had an error while processing your request.", status=500, kind=SERVER_ERROR)


def _from_http(error: HTTPException) -> APIError:
    reason = http.HTTPStatus(error.status_code)
    message = error.detail if error.detail != reason.phrase else f"{reason.phrase}."
    code = reason.phrase.lower().replace(" ", "_")
    kind = INVALID_REQUEST if error.status_code < 500 else SERVER_ERROR
    return APIError(message, status=error.status_code, kind=kind, code=code, headers=error.headers)


async def _answer(request: Request, error: Exception) -> Response:
    answer = as_api_error(error)
    if isinstance(error, HTTPException) and error.status_code == 404:
        answer.message = f"Unknown path: {request.method} {request.url.path}."
    elif isinstance(error, HTTPException) and error.status_code == 405:
        answer.message = f"{request.url.path} does not take {request.method}; it takes {answer.headers.get('Allow')}."
    elif answer.status >= 500 and not isinstance(error, (APIError, EngineUnavailable, ModelLoadError)):
        log.error("%s", answer.message, exc_info=error)
    return answer.response()


async def _unexpected(request: Request, error: Exception) -> Response:
    """Starlette raises it again behind this answer, and so it is logged."""
    return as_api_error(error).response()


async def _nobody(request: Request, error: Exception) -> Response:
    """The client has gone; the status (nginx's for this) is for access logs only."""
    return Response(status_code=499)


HANDLERS: Mapping[Any, Any] = {
    APIError: _answer,
    BackendError: _answer,
    DeadlineExceeded: _answer,
    HTTPException: _answer,
    ClientDisconnect: _nobody,
    Exception: _unexpected,
}
"""For Starlette's `exception_handlers`."""
