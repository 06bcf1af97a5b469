"""The Dockerfile, the compose file and the systemd unit: what they say fits the server and each other."""

from __future__ import annotations

import ast
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.config import SETTINGS, Settings
from tests.server.settings import load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = [
    tuple(line.split(None, 1))
    for line in re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", "").splitlines()
    if line.strip()
]


def argument_of(instruction: str) -> str:
    """The last one's: the final image's."""
    return [rest for name, rest in INSTRUCTIONS if name == instruction][-1]


def environment_of_the_image() -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", argument_of("ENV")))


def settings_of(values: dict[str, str]) -> Settings:
    known = {setting.env for setting in SETTINGS}
    assert {name for name in values if name.startswith("PADDOCK_")} <= known
    return load_settings([], values)


def test_the_image_serves_to_others_as_nobody_in_particular() -> None:
    assert argument_of("USER") == "10001:10001"
    settings = settings_of(environment_of_the_image())
    assert settings.host == "0.0.0.0"
    assert argument_of("EXPOSE") == str(settings.port)
    assert argument_of("STOPSIGNAL") == "SIGTERM"
    assert json.loads(argument_of("ENTRYPOINT")) == ["paddock"]  # the exec form: signals reach the server itself
    assert json.loads(argument_of("CMD")) == ["serve"]


def test_only_what_runs_is_in_the_final_stage() -> None:
    final = INSTRUCTIONS[max(n for n, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM") :]
    installed = " ".join(rest for name, rest in final if name == "RUN")
    assert not re.search(r"build-essential|gcc|g\+\+|cmake|python3-venv|\bpip\b", installed)
    assert [rest for name, rest in final if name == "COPY"] == ["--from=build /opt/paddock /opt/paddock"]


def test_the_locks_come_before_the_sources() -> None:
    copies = [rest for name, rest in INSTRUCTIONS if name == "COPY"]
    compiled = next(
        n for n, (name, rest) in enumerate(INSTRUCTIONS) if "requirements/install.py --" in rest and name == "RUN"
    )
    before = " ".join(rest for name, rest in INSTRUCTIONS[:compiled] if name == "COPY")
    assert "requirements/runtime.txt" in before
    assert "server" not in before and "backends" not in before
    assert copies.index("server/ server/") > 0


def test_what_is_copied_is_let_in_and_there() -> None:
    let_in = [
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    sources = [
        word
        for name, rest in INSTRUCTIONS
        if name == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    ]
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch(source.rstrip("/"), pattern) or source.startswith(f"{pattern}/") for pattern in let_in)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check(status: int, healthy: bool) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/health"
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    _, command = re.split(r"\sCMD\s", argument_of("HEALTHCHECK"), maxsplit=1)
    _python, *arguments = json.loads(command)
    ast.parse(arguments[-1])
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        environment = {**os.environ, "PADDOCK_PORT": str(server.server_port)}
        done = subprocess.run([sys.executable, *arguments], env=environment, check=False, capture_output=True)
    assert (done.returncode == 0) is healthy


def seconds(text: str) -> float:
    (amount,) = re.findall(r"^(\d+)s$", text)
    return float(amount)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "deploy" / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_composes_replicas_are_the_load_balancers(compose: dict[str, Any]) -> None:
    services = compose["services"]
    configuration = (ROOT / "deploy" / "haproxy.cfg").read_text()
    addresses = re.findall(r"^\s+server (\S+) \"\$\{\w+-(\S+):(\d+)\}\"", configuration, re.MULTILINE)
    assert {name for _, name, _ in addresses} == set(services) - {"load-balancer"}
    assert {int(port) for _, _, port in addresses} == {int(environment_of_the_image()["PADDOCK_PORT"])}
    assert set(services["load-balancer"]["depends_on"]) == set(services) - {"load-balancer"}


def test_composes_replicas_drain_before_docker_kills(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        if name == "load-balancer":
            continue
        given = {key: str(value) for key, value in service["environment"].items()}
        plain = {key: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for key, value in given.items()}
        settings = settings_of(plain)
        grace = seconds(service["stop_grace_period"])
        assert grace >= settings.drain_delay + settings.drain_timeout + 10
        assert settings.drain_delay > 4  # two checks of the load balancer, one of them at its time limit


def test_the_unit() -> None:
    unit = (ROOT / "deploy" / "paddock.service").read_text()
    options = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    defaults = load_settings([], {})
    assert options["ExecStart"].endswith("/paddock serve")
    assert options["KillMode"] == "mixed"  # else systemd would end the engine under the requests that finish
    assert float(options["TimeoutStopSec"]) >= defaults.drain_delay + defaults.drain_timeout + 10
    assert options["NoNewPrivileges"] == "yes"
    assert options["OOMPolicy"] == "continue"  # else systemd ends the service when its engine dies for memory


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = (ROOT / "deploy" / "paddock.service").read_text()
    there = tmp_path / "paddock.service"
    there.write_text(unit.replace("/opt/paddock/bin/paddock", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(there)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
