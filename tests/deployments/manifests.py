"""What Kustomize makes of an overlay, checked against the schemas of Kubernetes, of KEDA and of the
AWS Load Balancer Controller."""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject

DIRECTORY = Path(__file__).parents[2] / "deployments" / "kubernetes"
OVERLAYS = ("dev", "production", "production-gpu")
KUBERNETES = "1.34"
TARGET_GROUP_BINDING = json.loads(
    Path(__file__).with_name("target_group_binding.json").read_bytes()
)
KUBECTL = Path(sys.executable).with_name("kubectl")

Document = dict[str, Any]


@cache
def render(overlay: str) -> list[Document]:
    """Nobody may change them."""
    rendered = subprocess.run(
        [KUBECTL, "kustomize", DIRECTORY / "overlays" / overlay], check=True, capture_output=True
    )
    return list(yaml.load_all(rendered.stdout, yaml.CSafeLoader))


def check(document: Document) -> None:
    """Raises for a kind that nobody has a schema of, and for a field that the schema has not."""
    group, _, _ = document["apiVersion"].rpartition("/")
    if document["kind"] == "ScaledObject" and document["apiVersion"] == "keda.sh/v1alpha1":
        ScaledObject.model_validate(document, extra="forbid")
    elif group == "elbv2.k8s.aws":
        jsonschema.validate(document, TARGET_GROUP_BINDING)
    elif "." in group and not group.endswith(".k8s.io"):  # the validator looks at its first word
        raise LookupError(f"no schema of {document['apiVersion']} {document['kind']}")
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def variables(overlay: str, file: str) -> dict[str, str]:
    lines = (DIRECTORY / "overlays" / overlay / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    return {it["metadata"]["name"]: it for it in documents if it["kind"] == kind}


def pod_of(deployment: Document) -> Document:
    template: Document = deployment["spec"]["template"]
    return template


def container_of(deployment: Document) -> Document:
    (container,) = pod_of(deployment)["spec"]["containers"]
    assert "initContainers" not in pod_of(deployment)["spec"]
    found: Document = container
    return found


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "only these are understood here"
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


class Network:
    """Who may talk to whom, as NetworkPolicies say it: what none allows is refused to a pod that
    one of them selects."""

    def __init__(self, documents: list[Document]) -> None:
        self._policies = [it["spec"] for it in of_kind(documents, "NetworkPolicy").values()]

    def reaches(self, pod: Document, address: str, port: int) -> bool:
        return self._allowed("Egress", "to", pod, {"address": address}, port)

    def is_reached(
        self, pod: Document, port: int, *, address: str = "", namespace: str = "", name: str = ""
    ) -> bool:
        peer = {"address": address, "namespace": namespace, "name": name}
        return self._allowed("Ingress", "from", pod, peer, port)

    def _allowed(
        self, direction: str, side: str, pod: Document, peer: Mapping[str, str], port: int
    ) -> bool:
        labels = pod["metadata"]["labels"]
        mine = [
            policy
            for policy in self._policies
            if direction in policy["policyTypes"] and selects(policy["podSelector"], labels)
        ]
        rules = [rule for policy in mine for rule in policy.get(direction.lower(), [])]
        return not mine or any(
            port in _ports(rule, pod) and any(_is(it, peer) for it in rule[side]) for rule in rules
        )


def _ports(rule: Document, pod: Document) -> set[int]:
    names = {it["name"]: it["containerPort"] for it in pod["spec"]["containers"][0]["ports"]}
    return {names.get(it["port"], it["port"]) for it in rule["ports"]}


def _is(described: Document, peer: Mapping[str, str]) -> bool:
    if block := described.get("ipBlock"):
        assert set(block) == {"cidr"}, "only this is understood here"
        return bool(peer["address"]) and ip_address(peer["address"]) in ip_network(block["cidr"])
    namespace = {"kubernetes.io/metadata.name": peer.get("namespace", "")}
    labels = {"app.kubernetes.io/name": peer.get("name", ""), "k8s-app": peer.get("name", "")}
    return selects(described["namespaceSelector"], namespace) and selects(
        described.get("podSelector", {}), labels
    )
