"""What the settings say about access, read and checked before anything else is started."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from server.access.key_store import KeyStore
from server.access.keys import Key
from server.access.tls import Certificate, CertificateError
from server.config.access import AccessSettings


@dataclass(frozen=True)
class Access:
    """How clients get in."""

    keys: KeyStore | None
    """None: without a key."""
    certificate: Certificate | None
    """None: without TLS."""

    @classmethod
    def of(cls, settings: AccessSettings) -> Access:
        """Raises KeyFileError and CertificateError."""
        return cls(_keys(settings), _certificate(settings))


def _keys(settings: AccessSettings) -> KeyStore | None:
    fixed = [*_named("api-key", settings.api_key), *_named("admin-key", settings.admin_key, admin=True)]
    file = None if settings.api_key_file is None else Path(settings.api_key_file).expanduser()
    return KeyStore(fixed, file) if fixed or file else None


def _named(name: str, hashes: Iterable[str], *, admin: bool = False) -> list[Key]:
    return [Key(name=f"{name}-{number}", sha256=sha256, admin=admin) for number, sha256 in enumerate(hashes, 1)]


def _certificate(settings: AccessSettings) -> Certificate | None:
    certificate, key = settings.ssl_cert_file, settings.ssl_key_file
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise CertificateError("--ssl-cert-file and --ssl-key-file go together: give both")
    return Certificate(Path(certificate).expanduser(), Path(key).expanduser())
