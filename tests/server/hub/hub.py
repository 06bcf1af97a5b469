"""A stand-in for the Hugging Face Hub's HTTP API, on loopback: what huggingface_hub asks when it downloads."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "a" * 34


@dataclass
class Repo:
    """Its revisions' files; the branches and tags name commits."""

    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str]
    gated: bool = False
    """Whoever asks with TOKEN has access."""
    private: bool = False
    xet: bool = False
    """Whether it says that its files are to be had by Xet too."""

    @classmethod
    def of(cls, files: dict[str, bytes], **rest: bool) -> Repo:
        commit = hashlib.sha1(repr(sorted(files)).encode() + b"".join(files.values())).hexdigest()
        return cls({commit: files}, {"main": commit}, **rest)

    def commit(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Transfer:
    """One answer of the CDN."""

    sha256: str
    start: int
    sent: int
    authorized: bool
    """Whether it was shown a token, which is not for it."""


@dataclass
class Hub:
    repos: dict[str, Repo] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    """The next answers of the CDN end after so many bytes, with the connection."""
    hold: int | None = None
    """Where the CDN stops sending, until `release`."""
    release: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    damage: bool = False
    down: bool = False
    """Whether all but the CDN is a 503."""
    ignore_ranges: bool = False
    etag: str | None = None
    """Instead of the file's hash."""
    about: bytes | None = None
    """Instead of what there is to say of a repository."""
    asked: list[str] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    url: str = ""

    def content(self, sha256: str) -> bytes:
        every = (data for repo in self.repos.values() for files in repo.commits.values() for data in files.values())
        return next(data for data in every if digest(data) == sha256)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def hub() -> Iterator[Hub]:
    found = Hub()
    handler = type("Handler", (_Handler,), {"hub": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        found.release.set()
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        match path.strip("/").split("/"):
            case [first, *_] if self.hub.down and first != "cdn":
                self._refuse(503, "", "We are back soon")
            case ["a", "page", *_]:
                self._head(200, {"Content-Type": "text/html", "Content-Length": "4"})
                self.wfile.write(b"<p>!")
            case ["api", "models", org, name]:
                self._tell(f"{org}/{name}", "main")
            case ["api", "models", org, name, "revision", *revision]:
                self._tell(f"{org}/{name}", "/".join(revision))
            case [org, name, "resolve", revision, *file]:
                self._resolve(f"{org}/{name}", revision, "/".join(file))
            case ["cdn", sha256]:
                self._send_content(sha256)
            case _:
                self._refuse(404, "", "Not Found")

    @property
    def _authorized(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _open(self, repo: str, revision: str) -> tuple[Repo, str] | None:
        """The repository and the commit, or a refusal as the Hub words it."""
        found = self.hub.repos.get(repo)
        if self.headers.get("Authorization") not in (None, f"Bearer {TOKEN}", "Bearer hf_other"):
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif found is None or (found.private and not self._authorized):
            self._refuse(404 if self._authorized else 401, "RepoNotFound", "Repository not found")
        elif (commit := found.commit(revision)) is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return found, commit
        return None

    def _tell(self, name: str, revision: str) -> None:
        opened = self._open(name, revision)
        if opened is None:
            return
        repo, commit = opened
        files = [
            {"rfilename": path, "size": len(data), "blobId": "0" * 40}
            | {"lfs": {"sha256": digest(data), "size": len(data), "pointerSize": 134}}
            for path, data in sorted(repo.commits[commit].items())
        ]
        about = {"_id": "1", "id": name, "modelId": name, "sha": commit, "private": repo.private, "siblings": files}
        body = json.dumps(about | {"gated": "manual" if repo.gated else False, "tags": [], "downloads": 0}).encode()
        body = self.hub.about or body
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _resolve(self, name: str, revision: str, path: str) -> None:
        opened = self._open(name, revision)
        if opened is None:
            return
        repo, commit = opened
        if repo.gated and not self._authorized:
            status = 403 if "Authorization" in self.headers else 401
            self._refuse(status, "GatedRepo", f"Access to model {name} is restricted.")
        elif path not in repo.commits[commit]:
            self._refuse(404, "EntryNotFound", "Entry not found")
        else:
            sha256 = digest(repo.commits[commit][path])
            port = self.hub.url.rpartition(":")[2]
            headers = {
                "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{self.hub.etag or sha256}"',
                "X-Linked-Size": str(len(repo.commits[commit][path])),
                "Location": f"http://localhost:{port}/cdn/{sha256}",  # another host: no token for it
                "Content-Length": "0",
            }
            if repo.xet:
                refresh = f"{self.hub.url}/api/models/{name}/xet-read-token/{commit}"
                headers |= {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": refresh}
            self._head(302, headers)

    def _send_content(self, sha256: str) -> None:
        data = self.hub.content(sha256)
        if self.hub.damage:
            data = bytes(len(data))
        asked = self.headers.get("Range") if not self.hub.ignore_ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        headers = {"Content-Length": str(len(data) - start), "ETag": f'"{sha256}"'}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(206 if asked else 200, headers)
        if self.command == "HEAD":
            return
        transfer = Transfer(sha256, start, 0, "Authorization" in self.headers)
        self.hub.transfers.append(transfer)
        end = start + self.hub.cut.pop(0) if self.hub.cut else len(data)
        if self.hub.hold is not None and not self.hub.held.is_set():
            end = self.hub.hold
        self.wfile.write(data[start:end])
        self.wfile.flush()
        transfer.sent = len(data[start:end])
        if end < len(data):
            if self.hub.hold is not None and not self.hub.held.is_set():
                self.hub.held.set()
                self.hub.release.wait(60)
            self.close_connection = True

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        headers = {"X-Error-Code": code, "X-Error-Message": message, "Content-Length": str(len(body))}
        self._head(status, headers if code else headers | {"X-Error-Code": ""})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
