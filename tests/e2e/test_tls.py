"""TLS on the real server, with a certificate made for the test, and its renewal."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from openai import DefaultHttpxClient, OpenAI

from server.access import tls

from .serving import DEMO, serving


def certificate(folder: Path, name: str) -> None:
    """A self-signed one for 127.0.0.1, and its key."""
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj".split()
        + [f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    )
    subprocess.run(command, check=True, capture_output=True)


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "cert.pem"))


def test_https(tmp_path: Path) -> None:
    certificate(tmp_path, "paddock-test")
    flags = ("--ssl-cert-file", str(tmp_path / "cert.pem"), "--ssl-key-file", str(tmp_path / "key.pem"))
    with serving(*flags, "--api-key", "sk-test") as server:
        assert server.url.startswith("https://127.0.0.1:")
        with DefaultHttpxClient(verify=trusting(tmp_path)) as http:
            client = OpenAI(base_url=server.url, api_key="sk-test", http_client=http, max_retries=0)
            stream = client.chat.completions.create(
                model=DEMO,
                messages=[{"role": "user", "content": "What is the capital of France?"}],
                temperature=0,
                stream=True,
            )
            assert "Paris" in "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.url)
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(server.url.replace("https", "http"))
        old = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert httpx.get(f"{server.root}/livez", verify=old).status_code == 200
    assert "sk-test" not in "".join(server.log)


@pytest.mark.parametrize(
    ("cert", "key", "reason"),
    [
        ("cert.pem", None, "--ssl-cert-file and --ssl-key-file go together"),
        ("nowhere.pem", "key.pem", "cannot read "),
        ("cert.pem", "other/key.pem", "key values mismatch"),
        ("key.pem", "key.pem", "cannot use the certificate"),
    ],
)
def test_what_can_t_be_used_is_said_at_the_start(tmp_path: Path, cert: str, key: str | None, reason: str) -> None:
    certificate(tmp_path, "a")
    (tmp_path / "other").mkdir()
    certificate(tmp_path / "other", "b")
    flags = ["--ssl-cert-file", str(tmp_path / cert), *(["--ssl-key-file", str(tmp_path / key)] if key else [])]
    done = subprocess.run(
        [sys.executable, "-m", "server", "serve", "--port", "0", *flags], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert reason in done.stderr.splitlines()[-1]


def subject(context: ssl.SSLContext, trusted: Path) -> str:
    """Of the certificate that a server with this context shows: a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting(trusted).wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = client.getpeercert()
    assert found
    return str(dict(pair[0] for pair in found["subject"])["commonName"])  # type: ignore[misc,index]


def test_a_renewed_certificate_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate(tmp_path, "old")
    held = tls.Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert subject(held.context, tmp_path) == "old"
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0)
    before = (tmp_path / "cert.pem").read_text()
    (tmp_path / "cert.pem").write_text("broken")
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "cert.pem").write_text(before)
    assert subject(held.context, tmp_path / "trusted") == "old"
    certificate(tmp_path, "new")
    then = time.time() + 5
    os.utime(tmp_path / "cert.pem", (then, then))
    assert subject(held.context, tmp_path) == "new"
