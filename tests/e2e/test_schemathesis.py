"""Schemathesis: whatever the OpenAPI document allows and forbids, sent to a real server that must do as it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .attacks import still_serves, told_nothing
from .serving import serving

SECONDS = int(os.environ.get("PADDOCK_SCHEMATHESIS_SECONDS", "30"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)


@pytest.mark.slow
def test_the_server_does_as_its_document_says(tmp_path: Path) -> None:
    """POST /props is left out: its only answer is a 501, a server's error to Schemathesis."""
    with serving("--timeout", "20", "--parallel", "4") as server:
        run = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "--no-color", "run", f"{server.root}/openapi.json",
                "--max-time", str(SECONDS), "--phases", "examples,coverage,fuzzing", "--mode", "all",
                "--checks", ",".join(CHECKS), "--exclude-name", "POST /props", "--request-timeout", "60",
                "--generation-database", "none", "--warnings", "off", "--continue-on-failure",
            ],
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks", "PYTHONPATH": str(Path.cwd())},
            cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS + 300,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2000:]
        still_serves(server)
        told_nothing(server)
