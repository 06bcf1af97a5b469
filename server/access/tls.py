"""TLS for the main port: a certificate and its key, read anew when they change."""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path

log = logging.getLogger("paddock.access")

LOOK_SECONDS = 10.0
"""How old what is known of the files may be. They are looked at when a client connects."""


class CertificateError(Exception):
    """The certificate or its key can't be used; the message is one line."""


class Certificate:
    """A renewed one is taken up by the next connections, and one that can't be used refused with a line in the log."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """PEM files; the certificate's may hold its chain. Raises CertificateError."""
        self._files = (certificate, key)
        self._stamp = self._modified()
        self._looked = time.monotonic()
        self._current = self._load()
        self.context = self._load()
        """For the server's socket."""
        self.context.sni_callback = self._connecting

    def _load(self) -> ssl.SSLContext:
        certificate, key = self._files
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)  # TLS 1.2 and 1.3
        try:
            # an encrypted key would be asked for at the terminal
            context.load_cert_chain(certificate, key, password=b"")
        except ssl.SSLError as error:
            reason = (error.reason or str(error)).replace("_", " ").lower()
            raise CertificateError(f"cannot use the certificate {certificate} with the key {key}: {reason}") from None
        except OSError as error:
            missing = next((file for file in self._files if not file.is_file()), certificate)
            raise CertificateError(f"cannot read {missing}: {error.strerror}") from None
        return context

    def _modified(self) -> list[int]:
        try:
            return [file.stat().st_mtime_ns for file in self._files]
        except OSError:
            return []

    def _connecting(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._refresh()
        connection.context = self._current

    def _refresh(self) -> None:
        stamp = self._modified()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._current = self._load()
        except CertificateError as error:
            log.error("the new certificate is refused, and the old one stays: %s", error)
        else:
            log.info("new certificate from %s", self._files[0])
