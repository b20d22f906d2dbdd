"""The manifests: valid for the API, and consistent with one another and with the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import streaming_server
from streaming_server.settings import Settings

DEPLOY = Path(streaming_server.__file__).parent / "deploy"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
VERSION = "1.30"


def manifest(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in MANIFESTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pod(name: str) -> dict[str, Any]:
    template: dict[str, Any] = manifest("Deployment", name)["spec"]["template"]["spec"]
    return template


def variables(name: str) -> dict[str, dict[str, Any]]:
    [container] = pod(name)["containers"]
    return {variable["name"]: variable for variable in container["env"]}


@pytest.mark.parametrize("one", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_is_valid(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, VERSION, strict=True)


def test_the_validator_notices_errors() -> None:
    wrong = {**manifest("Service", "speech-nodes"), "spec": {"port": 7860}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_a_pod_has_longer_to_end_than_the_server_to_drain() -> None:
    drain_s = float(variables("speech")["DIA_DRAIN_TIMEOUT_S"]["value"])
    assert pod("speech")["terminationGracePeriodSeconds"] >= drain_s + 20


def test_each_variable_is_a_setting() -> None:
    known = {f"DIA_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in variables("speech") if name.startswith("DIA_")} <= known


def test_a_pod_has_one_gpu_and_is_ready_when_it_has_spoken() -> None:
    [container] = pod("speech")["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}


def test_contexts_per_slot_decide_how_many_pods_there_are() -> None:
    spec = manifest("HorizontalPodAutoscaler", "speech")["spec"]
    assert manifest("Deployment", spec["scaleTargetRef"]["name"])
    [metric] = spec["metrics"]
    assert metric["pods"]["target"]["averageValue"] == "700m"
    assert "replicas" not in manifest("Deployment", "speech")["spec"]
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] > up["stabilizationWindowSeconds"] + 300


def selections() -> Iterator[tuple[str, dict[str, str]]]:
    for one in MANIFESTS:
        selector = one["spec"].get("selector")
        if selector is not None:
            yield one["metadata"]["name"], selector.get("matchLabels", selector)


def test_every_selector_finds_pods_and_the_gateway_the_servers() -> None:
    labels = [
        one["spec"]["template"]["metadata"]["labels"] for one in MANIFESTS if one["kind"] == "Deployment"
    ]
    for name, selector in selections():
        assert selector in labels, name
    host, _, port = variables("speech-gateway")["SPEECH_NODES"]["value"].partition(":")
    nodes = manifest("Service", host.partition(".")[0])["spec"]
    assert nodes["clusterIP"] == "None"
    assert nodes["selector"] == {"app": "speech"}
    assert nodes["ports"][0]["port"] == int(port)


def test_the_gateway_has_the_full_name_of_the_servers() -> None:
    """HAProxy's resolver knows no search domains. Kubernetes replaces variables that stand before."""
    given = variables("speech-gateway")
    assert list(given).index("POD_NAMESPACE") < list(given).index("SPEECH_NODES")
    assert given["POD_NAMESPACE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"
    host, _, _ = given["SPEECH_NODES"]["value"].partition(":")
    assert host.partition(".")[2] == "$(POD_NAMESPACE).svc.cluster.local"


def test_the_gateway_is_given_its_configuration() -> None:
    """The image reads haproxy.cfg of this folder; the config map is made of the file that is shipped."""
    [volume] = pod("speech-gateway")["volumes"]
    text = (DEPLOY / "kubernetes.yaml").read_text()
    assert f"configmap {volume['configMap']['name']} --from-file=haproxy.cfg" in text
    assert (DEPLOY / "haproxy.cfg").is_file()


def test_downloaded_models_lie_in_the_volume() -> None:
    """Else every restart of the container would download them again."""
    found = re.search(r"XDG_CACHE_HOME=(\S+)", (DEPLOY / "Dockerfile").read_text())
    assert found is not None
    [container] = pod("speech")["containers"]
    [mounted] = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert Path(found[1]).is_relative_to(mounted)
