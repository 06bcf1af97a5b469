"""The init container's command pulls a model: run as it stands in the manifest, from a hub on loopback."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .manifests import KUBERNETES

MODEL = b"GGUF" + bytes(range(256)) * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """Has one file in every repository, and tells of it as the Hugging Face Hub does."""

    asked: list[str] = []  # noqa: RUF012  # the server makes a handler per request, and the test has none

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self._head()
        self.wfile.write(MODEL)

    def _head(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(MODEL)))
        self.send_header("ETag", f'"{hashlib.sha256(MODEL).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def component() -> dict[str, Any]:
    loaded = yaml.safe_load((KUBERNETES / "components" / "model-download" / "kustomization.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_the_model_is_where_the_server_looks(hub: str, tmp_path: Path) -> None:
    patched = yaml.safe_load(component()["patches"][0]["patch"])["spec"]["template"]["spec"]
    (download,) = patched["initContainers"]
    values = dict(literal.split("=", 1) for literal in component()["configMapGenerator"][0]["literals"])

    def filled(word: str) -> str:
        return re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], word).replace("/models", str(tmp_path))

    program, *arguments = (filled(word) for word in download["command"])
    home = {variable["name"]: filled(variable["value"]) for variable in download["env"] if "value" in variable}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        env=environment | home | {"HF_ENDPOINT": hub, "HF_HUB_DISABLE_TELEMETRY": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"/{values['REPOSITORY']}/resolve/{values['REVISION']}/{values['FILE']}" in Hub.asked
    (served,) = (
        variable["value"] for variable in patched["containers"][0]["env"] if variable["name"] == "PADDOCK_MODEL"
    )
    assert Path(filled(served)).read_bytes() == MODEL
