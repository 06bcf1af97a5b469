"""Every manifest is of a form that Kubernetes takes: its own kinds by Kubernetes' schemas, others by their CRDs'."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from .manifests import KUBERNETES, OVERLAYS, Manifest, overlay, render

VERSIONS = ("1.31", "1.35")
"""Of Kubernetes: the oldest that the manifests are for, and a new one."""


def object_of(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def list_of(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


TEXT = {"type": "string", "minLength": 1}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
LABELS = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}, "minProperties": 1}
SELECTOR = object_of(matchLabels=LABELS)
DURATION = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
METADATA = object_of(["name"], name=TEXT, labels=LABELS)

CUSTOM: dict[tuple[str, str], dict[str, Any]] = {
    ("inference.networking.k8s.io/v1", "InferencePool"): object_of(
        ["selector", "targetPorts", "endpointPickerRef"],
        selector=SELECTOR,
        targetPorts=list_of(object_of(number=PORT)),
        endpointPickerRef=object_of(
            ["name", "port"],
            name=TEXT,
            port=object_of(number=PORT),
            failureMode={"enum": ["FailOpen", "FailClose"]},
        ),
    ),
    ("gateway.networking.k8s.io/v1", "Gateway"): object_of(
        gatewayClassName=TEXT,
        listeners=list_of(object_of(name=TEXT, port=PORT, protocol={"enum": ["HTTP", "HTTPS"]})),
    ),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): object_of(
        parentRefs=list_of(object_of(name=TEXT)),
        rules=list_of(
            object_of(
                matches=list_of(object_of(path=object_of(type={"enum": ["Exact", "PathPrefix"]}, value=TEXT))),
                backendRefs=list_of(object_of(group=TEXT, kind=TEXT, name=TEXT)),
                timeouts=object_of(request=DURATION, backendRequest=DURATION),
            )
        ),
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): object_of(
        selector=SELECTOR, endpoints=list_of(object_of(port=TEXT, path=TEXT, interval=DURATION))
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): object_of(
        groups=list_of(
            object_of(
                ["name", "rules"],
                name=TEXT,
                interval=DURATION,
                rules=list_of({"type": "object", "required": ["expr"]}),
            )
        )
    ),
}
"""Specs of the custom resources that are used here: of the CRDs' schemas what the manifests touch, nothing beyond.
(The CRDs themselves come in no package that could be installed.)"""


def check(manifest: Manifest) -> None:
    schema = CUSTOM.get((manifest["apiVersion"], manifest["kind"]))
    if schema is None:
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)
        return
    whole = object_of(apiVersion=TEXT, kind=TEXT, metadata=METADATA, spec=schema)
    jsonschema.Draft202012Validator(whole).validate(manifest)


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay(name: str) -> None:
    manifests = overlay(name)
    assert manifests
    for manifest in manifests:
        check(manifest)
    names = [(m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in manifests]
    assert len(names) == len(set(names))


def test_the_base_alone() -> None:
    for manifest in render(KUBERNETES / "base"):
        check(manifest)


def test_what_is_wrong_is_found() -> None:
    deployment = next(m for m in overlay("cpu") if m["kind"] == "Deployment")
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(wrong)
    pool = next(m for m in overlay("inference-gateway") if m["kind"] == "InferencePool")
    wrong = copy.deepcopy(pool)
    wrong["spec"]["targetPortNumber"] = 8000
    with pytest.raises(jsonschema.ValidationError):
        check(wrong)
