"""What a request may be: `server/limits.py` says what a setting may do to a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from server import limits
from server.limits import Limits

from .setting import Positive, flag

GROUP = "Limits of a request (else a 400 that names the setting; 413 for the body's size)"


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    max_body_size: Annotated[int, Positive, flag("--max-body-size", GROUP, "bytes of its body", metavar="BYTES")] = (
        limits.BODY_BYTES
    )
    max_json_depth: Annotated[
        int,
        Meta(ge=4, le=limits.JSON_DEPTH),
        flag("--max-json-depth", GROUP, "objects and lists in each other"),
    ] = limits.JSON_DEPTH
    max_messages: Annotated[int, Positive, flag("--max-messages", GROUP, "messages of a chat")] = limits.MESSAGES
    max_stop_strings: Annotated[
        int, Meta(ge=0, le=limits.STOP_STRINGS), flag("--max-stop-strings", GROUP, "stop strings")
    ] = limits.STOP_STRINGS
    max_stop_length: Annotated[
        int, Meta(ge=1, le=limits.STOP_LENGTH), flag("--max-stop-length", GROUP, "characters of each")
    ] = limits.STOP_LENGTH
    max_n: Annotated[int, Meta(ge=1, le=limits.N), flag("--max-n", GROUP, "choices of an answer: `n`, `best_of`")] = (
        limits.N
    )
    max_logit_bias: Annotated[
        int, Meta(ge=0, le=limits.LOGIT_BIASES), flag("--max-logit-bias", GROUP, "entries of `logit_bias`")
    ] = limits.LOGIT_BIASES
    max_schema_size: Annotated[
        int,
        Meta(ge=1, le=limits.SCHEMA_SIZE),
        flag("--max-schema-size", GROUP, "characters of a JSON schema, a tool's too", metavar="CHARACTERS"),
    ] = limits.SCHEMA_SIZE
    grammar_timeout: Annotated[
        float,
        Meta(gt=0, le=60),
        flag("--grammar-timeout", GROUP, "a processor's, to compile its schema or grammar", metavar="SECONDS"),
    ] = 4.0

    def limits(self) -> Limits:
        return Limits(
            body_bytes=self.max_body_size,
            json_depth=self.max_json_depth,
            messages=self.max_messages,
            stop_strings=self.max_stop_strings,
            stop_length=self.max_stop_length,
            n=self.max_n,
            logit_biases=self.max_logit_bias,
            schema_size=self.max_schema_size,
        )
