"""The Kubernetes manifests as `kubectl kustomize` renders them."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "cuda", "inference-gateway", "monitoring")

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """What would be applied. Skips the test where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    return tuple(render(KUBERNETES / "overlays" / name))


def kinds(manifests: tuple[Manifest, ...], kind: str) -> dict[str, Manifest]:
    """Those of one kind, by name."""
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] == kind}


def only(manifests: tuple[Manifest, ...], kind: str) -> Manifest:
    (found,) = kinds(manifests, kind).values()
    return found


def pod(manifests: tuple[Manifest, ...]) -> Manifest:
    """The server's pod template."""
    template: Manifest = kinds(manifests, "Deployment")["paddock"]["spec"]["template"]
    return template


def container(manifests: tuple[Manifest, ...]) -> Manifest:
    """The server's."""
    (found,) = pod(manifests)["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(manifests: tuple[Manifest, ...]) -> dict[str, str]:
    """The server's environment, references looked up."""
    maps = kinds(manifests, "ConfigMap")
    values: dict[str, str] = {}
    for source in container(manifests).get("envFrom", []):
        values |= maps[source["configMapRef"]["name"]]["data"]
    for variable in container(manifests).get("env", []):
        if "value" in variable:
            text = variable["value"]
            for name, value in values.items():
                text = text.replace(f"$({name})", value)
        else:
            reference = variable["valueFrom"]["configMapKeyRef"]
            text = maps[reference["name"]]["data"][reference["key"]]
        values[variable["name"]] = text
    return values
