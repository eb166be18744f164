"""The manifests are what a cluster takes, and fit the images, the configuration and the
service that they start."""

import copy
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import jsonschema
import kubernetes_validate
import pydantic
import pytest

from cli.config import parse
from media.asset import Priority
from media.settings import Settings
from tests.deployments.manifests import (
    KUBERNETES,
    OVERLAYS,
    Document,
    Network,
    check,
    container_of,
    of_kind,
    pod_of,
    render,
    selects,
    variables,
)

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deployments" / "docker" / "Dockerfile"
HANDING_BACK = timedelta(seconds=10)  # see ARCHITECTURE.md
STOPPING = timedelta(seconds=8)  # cli/serve.py
SECRETS = {
    "STREAM_SIGNING_KEYS": json.dumps({"k1": "A" * 43}),
    "STREAM_REDIS_PASSWORD": "secret",
    "STREAM_ORIGIN_SECRETS": json.dumps(["s" * 32]),
}
# https://keda.sh/docs/latest/scalers/prometheus/; KEDA's schema lets any key pass.
PROMETHEUS_KEYS = {"serverAddress", "query", "threshold", "activationThreshold"}
UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}

EACH_OVERLAY = pytest.mark.parametrize("overlay", OVERLAYS)
EACH_DEPLOYMENT = pytest.mark.parametrize(
    ("overlay", "name"),
    [(overlay, name) for overlay in OVERLAYS for name in ("api", "origin", "worker", "worker-low")],
)


def deployment_of(overlay: str, name: str) -> Document:
    return of_kind(render(overlay), "Deployment")[name]


def variables_of(container: Document) -> dict[str, str]:
    """What the container's environment says, with likely secrets."""
    values = {}
    for entry in container["env"]:
        source = entry["valueFrom"]
        if secret := source.get("secretKeyRef"):
            assert (secret["name"], secret["key"]) == ("headrace", entry["name"])
            if not secret.get("optional"):
                values[entry["name"]] = SECRETS[entry["name"]]
        else:
            _, kind, what = source["resourceFieldRef"]["resource"].rpartition("requests.")
            assert kind, "only requests are understood here"
            values[entry["name"]] = container["resources"]["requests"][what]
    return values


def settings_of(overlay: str, name: str, directory: Path) -> Settings:
    """As the process will read them: the ConfigMap's file below the environment."""
    deployment = deployment_of(overlay, name)
    pod, container = pod_of(deployment)["spec"], container_of(deployment)
    (volume,) = (it for it in pod["volumes"] if "configMap" in it)
    (mount,) = (it for it in container["volumeMounts"] if it["name"] == volume["name"])
    assert dockerfile_variables()["STREAM_CONFIG"] == f"{mount['mountPath']}/config.yaml"
    maps = {name: it["data"] for name, it in of_kind(render(overlay), "ConfigMap").items()}
    (directory / "config.yaml").write_text(maps[volume["configMap"]["name"]]["config.yaml"])
    told: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        told |= maps[source["configMapRef"]["name"]]
    return parse(told | variables_of(container), directory)


def dockerfile_variables() -> dict[str, str]:
    return dict(re.findall(r"(STREAM_[A-Z]+)=(\S+)", DOCKERFILE.read_text()))


def bytes_of(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def test_every_overlay_is_checked() -> None:
    directory = ROOT / "deployments" / "kubernetes" / "overlays"
    assert {it.name for it in directory.iterdir()} == set(OVERLAYS)


@EACH_OVERLAY
def test_schemas_know_every_kind_and_field(overlay: str) -> None:
    documents = render(overlay)
    assert len(documents) > 20
    for document in documents:
        check(document)


def _in_pod(document: Document) -> None:
    document["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}


def _in_scaled_object(document: Document) -> None:
    document["spec"]["cooldownPeriods"] = 1


def _in_trigger(document: Document) -> None:
    document["spec"]["triggers"][0]["metdata"] = {}


def _no_metadata(document: Document) -> None:
    del document["spec"]["triggers"][0]["metadata"]


def _in_binding(document: Document) -> None:
    document["spec"]["targetGroupArn"] = document["spec"].pop("targetGroupARN")


def _in_service(document: Document) -> None:
    document["spec"]["serviceRef"]["ports"] = ["http"]


def _kind(document: Document) -> None:
    document["kind"] += "s"


def _group(document: Document) -> None:
    document["apiVersion"] = "apps.example/v1"


@pytest.mark.parametrize(
    ("kind", "spoil", "refusal"),
    [
        ("Deployment", _in_pod, jsonschema.ValidationError),
        ("Deployment", _kind, kubernetes_validate.SchemaNotFoundError),
        ("Deployment", _group, LookupError),
        ("ScaledObject", _in_scaled_object, pydantic.ValidationError),
        ("ScaledObject", _in_trigger, pydantic.ValidationError),
        ("ScaledObject", _no_metadata, pydantic.ValidationError),
        ("TargetGroupBinding", _in_binding, jsonschema.ValidationError),
        ("TargetGroupBinding", _in_service, jsonschema.ValidationError),
        ("TargetGroupBinding", _kind, jsonschema.ValidationError),
        ("TargetGroupBinding", _group, LookupError),
        ("ScaledObject", _kind, LookupError),
        ("ScaledObject", _group, LookupError),
    ],
)
def test_a_planted_mistake_is_refused(
    kind: str, spoil: Callable[[Document], None], refusal: type[Exception]
) -> None:
    document = copy.deepcopy(next(iter(of_kind(render("production"), kind).values())))
    check(document)
    spoil(document)
    with pytest.raises(refusal):
        check(document)


@EACH_DEPLOYMENT
def test_the_configuration_is_accepted_and_fits(overlay: str, name: str, tmp_path: Path) -> None:
    settings = settings_of(overlay, name, tmp_path)
    deployment = deployment_of(overlay, name)
    container = container_of(deployment)
    ports = {it["name"]: it["containerPort"] for it in container["ports"]}
    if "http" in ports:
        assert (settings.server.host, settings.server.port) == ("0.0.0.0", ports["http"])
    else:
        assert settings.worker.metricsport == ports["metrics"]
        assert settings.worker.concurrency == int(container["resources"]["requests"]["cpu"])
    if name == "origin":
        (data,) = (it for it in pod_of(deployment)["spec"]["volumes"] if it["name"] == "data")
        assert settings.origin.diskcache < bytes_of(data["emptyDir"]["sizeLimit"])
        memory = bytes_of(container["resources"]["requests"]["memory"])
        assert settings.origin.processes * settings.origin.cache < memory


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("api", {"STREAM_SIGNING_KEYS", "STREAM_SIGNING_CLOUDFRONTKEY", "STREAM_REDIS_PASSWORD"}),
        ("origin", {"STREAM_SIGNING_KEYS", "STREAM_ORIGIN_SECRETS"}),
        ("worker", {"STREAM_REDIS_PASSWORD"}),
        ("worker-low", {"STREAM_REDIS_PASSWORD"}),
    ],
)
@EACH_OVERLAY
def test_a_pod_is_given_the_secrets_that_it_needs(
    overlay: str, name: str, given: set[str], tmp_path: Path
) -> None:
    pod = pod_of(deployment_of(overlay, name))
    assert set(re.findall(r"'key': '(\w+)'", str(pod))) == given
    settings = settings_of(overlay, name, tmp_path)
    if name in ("api", "origin"):
        settings.require_keys()


@EACH_DEPLOYMENT
def test_a_process_is_given_the_time_to_end(overlay: str, name: str, tmp_path: Path) -> None:
    pod = pod_of(deployment_of(overlay, name))["spec"]
    grace = timedelta(seconds=pod["terminationGracePeriodSeconds"])
    if name in ("api", "origin"):
        waits = container_of(deployment_of(overlay, name))["lifecycle"]["preStop"]["sleep"]
        assert grace > timedelta(seconds=waits["seconds"]) + STOPPING
    else:
        drain = settings_of(overlay, name, tmp_path).worker.draintimeout
        assert drain >= timedelta(minutes=5)  # a chunk of 20 s on one slow processor
        assert grace > drain + HANDING_BACK


@EACH_DEPLOYMENT
def test_pods_pass_the_restricted_standard(overlay: str, name: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards, and a read-only root."""
    spec = pod_of(deployment_of(overlay, name))["spec"]
    container = container_of(deployment_of(overlay, name))
    user = re.search(r"useradd --uid (\d+) --gid (\d+)", DOCKERFILE.read_text())
    assert user is not None
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == int(user[1])
    assert spec["securityContext"]["runAsGroup"] == int(user[2])
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert all(set(it) <= {"name", "configMap", "emptyDir"} for it in spec["volumes"])
    assert not any("hostPort" in port for port in container["ports"])


@EACH_OVERLAY
def test_the_namespace_enforces_the_restricted_standard(overlay: str) -> None:
    (namespace,) = of_kind(render(overlay), "Namespace").values()
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@EACH_DEPLOYMENT
def test_a_deployment_has_all_that_goes_with_it(overlay: str, name: str) -> None:
    documents = render(overlay)
    deployment = of_kind(documents, "Deployment")[name]
    pod = pod_of(deployment)
    labels = pod["metadata"]["labels"]
    assert selects(deployment["spec"]["selector"], labels)
    for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        found = [it["spec"][field] for it in of_kind(documents, kind).values()]
        wanted = 1 + (kind == "NetworkPolicy" and name == "origin")  # S3's addresses are its own
        assert sum(bool(it) and selects(it, labels) for it in found) == wanted, kind
    role = name.partition("-")[0]
    account = of_kind(documents, "ServiceAccount")[pod["spec"]["serviceAccountName"]]
    assert account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(role)
    assert (ROOT / "deployments" / "iam" / f"{role}.json").exists()
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} == {
        it["topologyKey"] for it in pod["spec"]["topologySpreadConstraints"]
    }
    assert set(container_of(deployment)["resources"]["requests"]) == {"cpu", "memory"}


@EACH_OVERLAY
def test_no_two_deployments_claim_a_pod(overlay: str) -> None:
    deployments = of_kind(render(overlay), "Deployment")
    for name, deployment in deployments.items():
        labels = pod_of(deployment)["metadata"]["labels"]
        claiming = [
            other for other, it in deployments.items() if selects(it["spec"]["selector"], labels)
        ]
        assert claiming == [name]


@EACH_DEPLOYMENT
def test_the_image_is_a_target_of_the_dockerfile(overlay: str, name: str) -> None:
    image, _, tag = container_of(deployment_of(overlay, name))["image"].rpartition(":")
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE.read_text(), re.MULTILINE))
    assert image.rpartition("/")[2] in targets
    assert tag not in ("", "latest")


@EACH_OVERLAY
def test_services_and_ingresses_lead_to_pods(overlay: str) -> None:
    documents = render(overlay)
    services = of_kind(documents, "Service")
    for name, service in services.items():
        pod = pod_of(of_kind(documents, "Deployment")[name])
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        names = {it["name"] for it in pod["spec"]["containers"][0]["ports"]}
        assert {it["targetPort"] for it in service["spec"]["ports"]} <= names
    for ingress in of_kind(documents, "Ingress").values():
        for path in ingress["spec"]["rules"][0]["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = services[backend["name"]]["spec"]["ports"]
            assert backend["port"]["name"] in {it["name"] for it in ports}


@pytest.mark.parametrize("overlay", ["production", "production-gpu"])
def test_terraforms_load_balancers_are_the_only_ones(overlay: str) -> None:
    documents = render(overlay)
    assert not of_kind(documents, "Ingress")
    assert {it["spec"].get("type") for it in of_kind(documents, "Service").values()} == {None}
    bindings = of_kind(documents, "TargetGroupBinding")
    assert set(bindings) == {"api", "origin"}
    for name, binding in bindings.items():
        (port,) = of_kind(documents, "Service")[name]["spec"]["ports"]
        assert binding["spec"]["serviceRef"] == {"name": name, "port": port["name"]}
        assert binding["spec"]["targetType"] == "ip"


@pytest.mark.parametrize("overlay", ["production", "production-gpu"])
def test_what_terraform_printed_stands_where_it_belongs(overlay: str) -> None:
    documents = render(overlay)
    found = {
        f"{name}_target_group_arn": binding["spec"]["targetGroupARN"]
        for name, binding in of_kind(documents, "TargetGroupBinding").items()
    }
    for name, deployment in of_kind(documents, "Deployment").items():
        image, _, _ = container_of(deployment)["image"].rpartition(":")
        assert found.setdefault(f"{name.partition('-')[0]}_repository", image) == image
    for name, account in of_kind(documents, "ServiceAccount").items():
        role = account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        found[f"{name.removeprefix('headrace-')}_role_arn"] = role
    assert found == variables("production", "estate.env")
    for deployment in of_kind(documents, "Deployment").values():
        (source,) = container_of(deployment)["envFrom"]
        told = of_kind(documents, "ConfigMap")[source["configMapRef"]["name"]]["data"]
        assert told == variables("production", "settings.env")
    assert len(of_kind(documents, "ConfigMap")) == 2  # what only the replacements need stays here


def test_examples_are_seen_to_be_examples() -> None:
    accounts = {"api", "origin", "worker"}
    estate = variables("production", "estate.env")
    assert {name.partition("_")[0] for name in estate} == accounts
    assert all("444455556666" in value for value in estate.values())
    assert ".example." in variables("production", "settings.env")["STREAM_REDIS_HOST"]
    assert (ROOT / "deployments/kubernetes/base/s3.yaml").read_text().startswith("# An example")


@EACH_OVERLAY
def test_what_scales_has_its_target_and_its_metric(overlay: str) -> None:
    documents = render(overlay)
    deployments = of_kind(documents, "Deployment")
    asked: dict[str, list[str]] = {}
    for name, scaled in of_kind(documents, "ScaledObject").items():
        spec = scaled["spec"]
        assert spec["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployments[name]["spec"]
        assert spec["minReplicaCount"] < spec["maxReplicaCount"]
        for trigger in spec["triggers"]:
            assert set(trigger["metadata"]) <= PROMETHEUS_KEYS
            query = re.fullmatch(
                r'max\(headrace_queue_tasks\{namespace="headrace",priority="(\w+)"\}\)',
                trigger["metadata"]["query"],
            )
            assert query is not None
            asked.setdefault(query[1], []).append(name)
    assert set(asked) == {priority.value for priority in Priority}
    assert asked[Priority.LOW] == ["worker-low"]
    assert of_kind(documents, "ScaledObject")["worker-low"]["spec"]["minReplicaCount"] == 0


@EACH_OVERLAY
def test_origins_scale_on_processors_and_connections(overlay: str, tmp_path: Path) -> None:
    (scaler,) = of_kind(render(overlay), "HorizontalPodAutoscaler").values()
    assert scaler["spec"]["scaleTargetRef"]["name"] == "origin"
    assert "replicas" not in deployment_of(overlay, "origin")["spec"]
    cpu, connections = scaler["spec"]["metrics"]
    assert cpu["resource"]["name"] == "cpu"
    assert connections["pods"]["metric"]["name"] == "headrace_origin_connections"
    most = settings_of(overlay, "origin", tmp_path).server.connections
    assert int(connections["pods"]["target"]["averageValue"]) <= most * 3 // 4


REDIS = ("10.0.40.7", 6379)
DYNAMODB = ("52.94.17.9", 443)  # of its addresses in eu-central-1
S3 = ("52.219.170.9", 443)
STS = ("10.0.50.9", 443)  # its endpoint in the VPC
NODE_METADATA = ("169.254.169.254", 80)


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        ("api", {REDIS, DYNAMODB, S3, STS}),
        ("origin", {S3, STS}),
        ("worker", {REDIS, DYNAMODB, S3, STS}),
        ("worker-low", {REDIS, DYNAMODB, S3, STS}),
    ],
)
@EACH_OVERLAY
def test_a_pod_reaches_its_stores_alone(
    overlay: str, name: str, reached: set[tuple[str, int]]
) -> None:
    documents = render(overlay)
    network, pod = Network(documents), pod_of(of_kind(documents, "Deployment")[name])
    there = {REDIS, DYNAMODB, S3, STS, NODE_METADATA}
    assert {it for it in there if network.reaches(pod, *it)} == reached


@EACH_DEPLOYMENT
def test_a_pod_is_reached_by_whom_it_serves_alone(overlay: str, name: str) -> None:
    documents = render(overlay)
    network, pod = Network(documents), pod_of(of_kind(documents, "Deployment")[name])
    (port,) = (it["containerPort"] for it in pod["spec"]["containers"][0]["ports"])
    serves = name in ("api", "origin")
    assert network.is_reached(pod, port, address="10.0.33.1") is serves  # the load balancer
    assert network.is_reached(pod, port, namespace="monitoring", name="prometheus")
    assert not network.is_reached(pod, port, namespace="monitoring", name="grafana")
    assert not network.is_reached(pod, port, namespace="headrace", name="headrace")
    assert not network.is_reached(pod, port, address="8.8.8.8")
    assert not network.is_reached(pod, 22, address="10.0.33.1")


def test_the_gpu_variant_leaves_no_worker_without() -> None:
    for name in ("worker", "worker-low"):
        deployment = deployment_of("production-gpu", name)
        assert container_of(deployment)["image"].endswith("-gpu")
        assert container_of(deployment)["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert pod_of(deployment)["spec"]["nodeSelector"] == {"headrace/pool": "gpu"}


def test_terraform_makes_the_cluster_that_is_meant() -> None:
    estate = "".join(path.read_text() for path in (ROOT / "terraform").glob("*.tf"))
    version = re.search(r'variable "kubernetes_version" \{[^}]*default += "([^"]+)"', estate)
    assert version is not None
    assert version[1] == KUBERNETES
    for overlay in ("production", "production-gpu"):
        for name in ("worker", "worker-low"):
            pool = pod_of(deployment_of(overlay, name))["spec"]["nodeSelector"]["headrace/pool"]
            assert re.search(rf"\b{pool} += merge\(var\.{pool}_nodes", estate)
