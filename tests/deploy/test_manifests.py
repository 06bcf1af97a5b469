"""What the manifests say fits together, and fits the server."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from starlette.routing import Route

from server.access.key_file import read_keys
from server.app import create_app
from server.config import SETTINGS, Settings
from server.config.sources import CONFIG_ENV
from server.http_server import KEEP_ALIVE_SECONDS
from tests.server.scripted import scripted_state
from tests.server.settings import load_settings

from .manifests import KUBERNETES, OVERLAYS, Manifest, container, environment, kinds, only, overlay, pod, render
from .test_schemas import check

END_MARGIN = 10
"""Seconds that the server's end may take when nothing runs any more: its engine's and its tokenizer's."""
every_overlay = pytest.mark.parametrize("name", OVERLAYS)


def settings_of(manifests: tuple[Manifest, ...]) -> Settings:
    """What the server makes of its environment."""
    values = environment(manifests)
    known = {setting.env for setting in SETTINGS} | {CONFIG_ENV}
    assert {name for name in values if name.startswith("PADDOCK_")} <= known
    return load_settings([], values)


@every_overlay
def test_the_grace_period_holds_the_whole_drain(name: str) -> None:
    settings = settings_of(overlay(name))
    grace = pod(overlay(name))["spec"]["terminationGracePeriodSeconds"]
    assert settings.drain_delay >= 5  # endpoints and gateways are told of a pod's end no sooner than it is
    assert grace >= settings.drain_delay + settings.drain_timeout + END_MARGIN


@every_overlay
def test_probes_ask_what_they_mean_at_paths_that_there_are(name: str) -> None:
    routes = {route.path for route in create_app(scripted_state()[0]).routes if isinstance(route, Route)}
    probes = {kind: container(overlay(name))[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    for probe in probes.values():
        assert probe["httpGet"]["path"] in routes
        assert probe["httpGet"]["port"] == "http"
    assert probes["startup"]["httpGet"]["path"] == probes["readiness"]["httpGet"]["path"] == "/health"
    assert probes["liveness"]["httpGet"]["path"] == "/livez"
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 600


@every_overlay
def test_the_server_is_reached_where_it_listens(name: str) -> None:
    manifests = overlay(name)
    settings = settings_of(manifests)
    assert settings.host == settings.admin_host == "0.0.0.0"
    ports = {port["name"]: port["containerPort"] for port in container(manifests)["ports"]}
    assert ports == {"http": settings.port, "admin": settings.admin_port}
    for service in kinds(manifests, "Service").values():
        targets = deployments_ports(manifests, service["spec"]["selector"])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= targets


def deployments_ports(manifests: tuple[Manifest, ...], selector: Mapping[str, str]) -> set[str]:
    """The named ports of the one Deployment whose pods a selector means."""
    (found,) = (
        d["spec"]["template"]
        for d in kinds(manifests, "Deployment").values()
        if selector.items() <= d["spec"]["template"]["metadata"]["labels"].items()
    )
    return {port["name"] for c in found["spec"]["containers"] for port in c["ports"]}


def test_gateways_close_idle_connections_before_the_server_does() -> None:
    """Envoy, so Istio, after an hour, unless told otherwise; Google's after ten minutes, always."""
    assert KEEP_ALIVE_SECONDS >= 3600 + 20


@every_overlay
def test_selectors_mean_the_servers_pods(name: str) -> None:
    manifests = overlay(name)
    labels = pod(manifests)["metadata"]["labels"]
    own = {"matchLabels": {"app.kubernetes.io/name": "paddock"}}
    assert own["matchLabels"].items() <= labels.items()
    assert kinds(manifests, "Deployment")["paddock"]["spec"]["selector"] == own
    assert only(manifests, "PodDisruptionBudget")["spec"]["selector"] == own
    assert kinds(manifests, "NetworkPolicy")["paddock"]["spec"]["podSelector"] == own
    assert kinds(manifests, "Service")["paddock"]["spec"]["selector"] == own["matchLabels"]
    for constraint in pod(manifests)["spec"]["topologySpreadConstraints"]:
        assert constraint["labelSelector"] == own


@every_overlay
def test_the_network_policy_opens_the_ports_that_there_are(name: str) -> None:
    policy = kinds(overlay(name), "NetworkPolicy")["paddock"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ["http", "admin"]
    assert all(rule["from"] for rule in policy["ingress"])


@every_overlay
def test_pods_may_do_nothing_but_serve(name: str) -> None:
    for deployment in kinds(overlay(name), "Deployment").values():
        spec = deployment["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in [*spec["containers"], *spec.get("initContainers", [])]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert each["resources"]["requests"]["cpu"]
            assert each["resources"]["limits"]["memory"]
    assert pod(overlay(name))["spec"]["automountServiceAccountToken"] is False
    assert kinds(overlay(name), "ServiceAccount")["paddock"]["automountServiceAccountToken"] is False


@every_overlay
def test_volumes_hold_what_the_settings_name(name: str) -> None:
    manifests = overlay(name)
    mounts = {mount["name"]: mount for mount in container(manifests)["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod(manifests)["spec"]["volumes"]}
    settings = settings_of(manifests)
    assert Path(settings.model[0]).parent == Path(mounts["models"]["mountPath"])
    assert Path(settings.api_key_file).parent == Path(mounts["keys"]["mountPath"])
    assert mounts["models"]["readOnly"] and mounts["keys"]["readOnly"]
    volume = next(volume for volume in pod(manifests)["spec"]["volumes"] if volume["name"] == "models")
    assert volume["persistentVolumeClaim"]["claimName"] in kinds(manifests, "PersistentVolumeClaim")


@every_overlay
def test_prompts_kept_in_ram_leave_room_for_the_model(name: str) -> None:
    limit = container(overlay(name))["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert settings_of(overlay(name)).cache_ram <= int(limit.removesuffix("Gi")) * 1024 / 4


def test_a_gpu_for_each_replica() -> None:
    manifests = overlay("cuda")
    assert container(manifests)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert settings_of(manifests).gpu_layers == -2  # all
    assert container(manifests)["image"].endswith(":cuda")
    rollout = kinds(manifests, "Deployment")["paddock"]["spec"]["strategy"]["rollingUpdate"]
    assert rollout["maxSurge"] == 0


def test_as_many_threads_as_cpus() -> None:
    resources = container(overlay("cpu"))["resources"]
    assert resources["requests"]["cpu"] == resources["limits"]["cpu"]


def metric_names() -> set[str]:
    """Those of a server that has loaded its model."""
    state, _ = scripted_state()
    return {sample.name for family in state.metrics.registry.collect() for sample in family.samples}


def test_the_pool_and_its_picker() -> None:
    manifests = overlay("inference-gateway")
    pool = only(manifests, "InferencePool")["spec"]
    assert pool["selector"]["matchLabels"].items() <= pod(manifests)["metadata"]["labels"].items()
    assert pool["targetPorts"] == [{"number": settings_of(manifests).port}]
    picker = kinds(manifests, "Service")[pool["endpointPickerRef"]["name"]]["spec"]
    assert pool["endpointPickerRef"]["port"]["number"] in [port["port"] for port in picker["ports"]]
    route = only(manifests, "HTTPRoute")["spec"]
    assert [parent["name"] for parent in route["parentRefs"]] == list(kinds(manifests, "Gateway"))
    (backend,) = route["rules"][0]["backendRefs"]
    assert (backend["kind"], backend["name"]) == ("InferencePool", only(manifests, "InferencePool")["metadata"]["name"])

    spec = kinds(manifests, "Deployment")["paddock-endpoint-picker"]["spec"]["template"]["spec"]
    arguments = dict(argument.lstrip("-").split("=", 1) for argument in spec["containers"][0]["args"])
    assert arguments["pool-name"] == only(manifests, "InferencePool")["metadata"]["name"]
    files = kinds(manifests, "ConfigMap")[spec["volumes"][0]["configMap"]["name"]]["data"]
    config = yaml.safe_load(files[Path(arguments["config-file"]).name])
    plugins = {plugin.get("name", plugin["type"]): plugin for plugin in config["plugins"]}
    used = [reference["pluginRef"] for profile in config["schedulingProfiles"] for reference in profile["plugins"]]
    (source,) = config["dataLayer"]["sources"]
    used += [source["pluginRef"], *(extractor["pluginRef"] for extractor in source["extractors"])]
    assert set(used) == set(plugins)
    assert plugins[source["pluginRef"]]["parameters"]["port"] == settings_of(manifests).admin_port
    (engine,) = plugins["core-metrics-extractor"]["parameters"]["engineConfigs"]
    assert engine["name"] == plugins["core-metrics-extractor"]["parameters"]["defaultEngine"]
    names = {value for key, value in engine.items() if key.endswith("Spec")}
    assert names <= metric_names()

    admin = kinds(manifests, "NetworkPolicy")["paddock"]["spec"]["ingress"][1]
    assert {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "paddock-endpoint-picker"}}} in admin["from"]


def test_what_prometheus_scrapes_and_what_replicas_are_counted_by() -> None:
    manifests = overlay("monitoring")
    monitor = only(manifests, "ServiceMonitor")["spec"]
    (service,) = (
        service
        for service in kinds(manifests, "Service").values()
        if monitor["selector"]["matchLabels"].items() <= service["metadata"].get("labels", {}).items()
    )
    ports = {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}
    assert [ports[endpoint["port"]] for endpoint in monitor["endpoints"]] == ["admin"]
    assert monitor["endpoints"][0]["path"] == "/metrics"
    scaler = only(manifests, "HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in kinds(manifests, "Deployment")[scaler["scaleTargetRef"]["name"]]["spec"]
    names = {metric["pods"]["metric"]["name"] for metric in scaler["metrics"]}
    assert names <= metric_names()
    adapter = yaml.safe_load((KUBERNETES / "components" / "monitoring" / "prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    (pattern,) = re.findall(r'__name__=~"([^"]+)"', rule["seriesQuery"])
    assert {name for name in metric_names() if re.fullmatch(pattern, name)} == names


def test_grafana_finds_the_dashboard() -> None:
    dashboard = kinds(overlay("monitoring"), "ConfigMap")["paddock-dashboard"]
    assert dashboard["metadata"]["labels"] == {"grafana_dashboard": "1"}
    (text,) = dashboard["data"].values()
    assert json.loads(text)["title"] == "Paddock"


def test_the_example_of_a_key_file_is_one() -> None:
    keys = read_keys(KUBERNETES / "keys.example.toml")
    assert [key.admin for key in keys] == [False, True]


@pytest.fixture
def together(tmp_path: Path) -> tuple[Manifest, ...]:
    """Another combination than the overlays': a model that each pod pulls, behind a gateway, watched."""
    copied = shutil.copytree(KUBERNETES.parent, tmp_path / "deploy")
    folder = copied / KUBERNETES.name / "overlays" / "together"
    folder.mkdir()
    chosen = [f"../../components/{name}" for name in ("model-download", "inference-gateway", "monitoring")]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["../../base"], "components": chosen}))
    return tuple(render(folder))


def test_components_combine(together: tuple[Manifest, ...]) -> None:
    for manifest in together:
        check(manifest)
    (download,) = pod(together)["spec"]["initContainers"]
    values = kinds(together, "ConfigMap")[download["envFrom"][0]["configMapRef"]["name"]]["data"]
    assert settings_of(together).model == (f"/models/{values['FILE']}",)
    assert {variable for word in download["command"] for variable in re.findall(r"\$\((\w+)\)", word)} == set(values)
    policy = kinds(together, "NetworkPolicy")["paddock"]["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {443, 53}
    assert len(policy["ingress"][1]["from"]) == 2
