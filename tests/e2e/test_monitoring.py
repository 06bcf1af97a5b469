"""deploy/monitoring: dashboard and alerts ask for what a server really tells, and Prometheus understands them."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from .serving import DEMO, Server

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
ALERTS = MONITORING / "alerts.yaml"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text())
OPERATORS_RULES = ROOT / "deploy" / "kubernetes" / "components" / "monitoring" / "alert-rules.yaml"
METRIC = re.compile(r"\b((?:paddock|process)_[a-z0-9_]+)\b")
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str]]:
    """The dashboard's, by panel; the variables as Grafana fills them in for "All"."""
    filled = {"$__rate_interval": "10s", "$model": ".*", "$instance": ".*"}
    found = []
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in filled.items():
                query = query.replace(name, value)
            found.append((panel["title"], query))
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def tool(name: str) -> str:
    if (path := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus has it)")
    return path


def used(server: Server) -> None:
    """So that there is something to tell."""
    body = {"model": DEMO, "prompt": "a b a b a b", "max_tokens": 3, "stream": True}
    assert httpx.post(f"{server.url}/completions", json=body, timeout=60).status_code == 200


def test_every_query_is_of_metrics_that_there_are(demo: Server) -> None:
    used(demo)
    there = set(re.findall(r"^(\w+)[{ ]", demo.get("/metrics").text, re.MULTILINE))
    asked = [*queries(), *((rule["alert"], rule["expr"]) for rule in rules())]
    assert len(asked) > 40
    for where, query in asked:
        names = set(METRIC.findall(query))
        assert names or query.startswith("up{"), where
        assert names <= there, f"{where}: {names - there}"


def test_the_dashboard_is_laid_out() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
    # as Grafana provisions it: nothing left to fill in, and no id of another Grafana's database
    assert "__inputs" not in DASHBOARD and DASHBOARD.get("id") is None and DASHBOARD["uid"]
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)


def test_alerts_say_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_prometheus_operator_has_the_same_alerts() -> None:
    resource = yaml.safe_load(OPERATORS_RULES.read_text())
    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert resource["spec"] == yaml.safe_load(ALERTS.read_text())


def test_promtool_takes_the_alerts_and_their_tests() -> None:
    for command in (["check", "rules", str(ALERTS)], ["test", "rules", str(MONITORING / "alerts.test.yaml")]):
        done = subprocess.run([tool("promtool"), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire_and_not_to() -> None:
    tests = yaml.safe_load((MONITORING / "alerts.test.yaml").read_text())["tests"]
    tried = [case for test in tests for case in test["alert_rule_test"]]
    for rule in rules():
        of_rule = [case for case in tried if case["alertname"] == rule["alert"]]
        assert {bool(case.get("exp_alerts")) for case in of_rule} == {True, False}, rule["alert"]


class Prometheus:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **params: str) -> Any:
        answer = self._client.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, (params, answer.text)
        return answer.json()["data"]

    def query(self, query: str) -> list[dict[str, Any]]:
        """The series that there are, which may take a few scrapes."""
        for _ in range(100):
            if found := self.get("query", query=query)["result"]:
                return list(found)
            time.sleep(0.1)
        return []

    def has_seen(self, scrapes: int) -> bool:
        try:
            if self._client.get("/-/ready").status_code != 200:
                return False
        except httpx.TransportError:
            return False
        return int(self.query("min(count_over_time(up[1m]))")[0]["value"][1]) >= scrapes


@pytest.fixture
def prometheus(demo: Server, tmp_path: Path) -> Iterator[Prometheus]:
    """One that watches the server, with our alerts."""
    program = tool("prometheus")
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [
            {"job_name": "paddock", "static_configs": [{"targets": [demo.root.removeprefix("http://")]}]}
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with subprocess.Popen(command) as process, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        try:
            watching = Prometheus(client)
            for _ in range(300):
                assert process.poll() is None
                if watching.has_seen(2):
                    break
                time.sleep(0.1)
            else:
                raise AssertionError("Prometheus has not seen the server")
            yield watching
        finally:
            process.kill()


def test_prometheus_finds_an_answer_to_every_query(demo: Server, prometheus: Prometheus) -> None:
    used(demo)
    for title, query in queries():
        assert prometheus.query(query), f"{title}: nothing for {query}"
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"].replace("$model", ".*"))
            assert found, variable["definition"]
            assert all(series["metric"].get(found[2]) for series in prometheus.query(found[1]))
    groups = prometheus.get("rules")["groups"]
    states = {rule["name"]: (rule["health"], rule["lastError"]) for rule in groups[0]["rules"] if "lastError" in rule}
    assert not states
    assert [rule["name"] for rule in groups[0]["rules"]] == [rule["alert"] for rule in rules()]
