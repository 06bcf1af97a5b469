"""Who is let in: keys, TLS, other ports, other sites' pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from server.access.keys import hashed

from .setting import Setting, flag

GROUP = "Access"


def _hashes(text: str) -> tuple[str, ...]:
    """Keys are hashed before they are kept anywhere."""
    keys = [part.strip() for part in text.split(",") if part.strip()]
    if not keys:
        raise ValueError(text)
    return tuple(hashed(key) for key in keys)


def _key_flag(name: str, text: str) -> Setting:
    return flag(
        name,
        GROUP,
        text,
        metavar="KEY",
        parse=_hashes,
        separator=",",
        repeatable=True,
        secret=True,
        expects="keys of visible ASCII characters, separated by commas",
        default_text="none",
    )


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    if not all(origin == "*" or origin.partition("://")[2] for origin in origins):
        raise ValueError(text)
    return origins


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    api_key: Annotated[
        tuple[str, ...],
        _key_flag(
            "--api-key",
            "clients need this key, or one of several, separated by commas. Other users of the machine can see it: "
            "rather use the environment or a file",
        ),
    ] = ()
    admin_key: Annotated[
        tuple[str, ...],
        _key_flag("--admin-key", "the same, for a key that may also read /metrics and /slots"),
    ] = ()
    api_key_file: Annotated[
        str | None,
        flag(
            "--api-key-file",
            GROUP,
            "a key in each line; or, in a .toml or .json file, keys with names, models and limits",
            metavar="FILE",
            default_text="none",
        ),
    ] = None
    admin_port: Annotated[
        Annotated[int, Meta(ge=0, le=65535)] | None,
        flag(
            "--admin-port",
            GROUP,
            "serve /metrics and /slots at this port instead, and without a key; 0: a free one",
            default_text="none",
        ),
    ] = None
    admin_host: Annotated[
        str, flag("--admin-host", GROUP, "the address of --admin-port; 0.0.0.0: all", metavar="ADDRESS")
    ] = "127.0.0.1"
    ssl_key_file: Annotated[
        str | None,
        flag("--ssl-key-file", GROUP, "the TLS certificate's key (PEM)", metavar="FILE", default_text="none"),
    ] = None
    ssl_cert_file: Annotated[
        str | None,
        flag(
            "--ssl-cert-file",
            GROUP,
            "the TLS certificate, with its chain (PEM): https instead of http",
            metavar="FILE",
            default_text="none",
        ),
    ] = None
    cors_origins: Annotated[
        tuple[str, ...],
        flag(
            "--cors-origins",
            GROUP,
            "sites whose pages may call the server from a browser, separated by commas; *: all",
            metavar="ORIGINS",
            parse=_origins,
            separator=",",
            expects="origins as https://example.org, separated by commas, or *",
            default_text="none",
        ),
    ] = ()
