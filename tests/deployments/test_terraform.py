"""What Terraform would make, held to what the code and the proofs of the edge assume.

Nothing of it is known to AWS: the schema is the real provider's, the cloud is not there.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.config import parse
from media.settings import Settings
from server.origin import fill
from stores.catalog.dynamodb_items import EXPIRY
from stores.catalog.dynamodb_storage import INDEXES, KEYS
from stores.objects.s3_buckets import ABANDONED_DAYS
from stores.objects.s3_target import _HEADERS
from tests.deployments.manifests import of_kind, render, variables
from tests.deployments.terraform import ROOT, SECRETS, Values, copied, plan, resources, terraform

CLOUDFRONT = ROOT / "deployments" / "cloudfront"
FIGURES: dict[str, Any] = json.loads((CLOUDFRONT / "distribution.json").read_text())
PROOF = ROOT / "bench" / "cdn"
# Until AWS has made it.
UNKNOWN = {"STREAM_REDIS_HOST": "master.headrace-production.example.cache.amazonaws.com"}

pytestmark = pytest.mark.xdist_group("terraform")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="module")
def planned(folder: Path) -> Values:
    return plan(folder, "production")


@pytest.fixture(scope="module")
def made(planned: Values) -> dict[str, Values]:
    return resources(planned)


@pytest.fixture(scope="module")
def distribution(made: dict[str, Values]) -> Values:
    return made["module.cdn.aws_cloudfront_distribution.this"]


def only(found: list[Values]) -> Values:
    assert len(found) == 1
    return found[0]


def test_files_are_formatted(folder: Path) -> None:
    assert terraform(folder, "fmt", "-check", "-recursive") == ""


def test_configuration_is_valid(folder: Path) -> None:
    assert json.loads(terraform(folder, "validate", "-json"))["diagnostics"] == []


@pytest.mark.parametrize("name", FIGURES["cache_policies"])
def test_cache_policy_is_the_one_that_was_proved(made: dict[str, Values], name: str) -> None:
    policy = made[f'module.cdn.aws_cloudfront_cache_policy.this["{name}"]']
    parameters = only(policy["parameters_in_cache_key_and_forwarded_to_origin"])
    parts = (only(parameters[f"{part}_config"]) for part in ("query_strings", "headers", "cookies"))
    flat = policy | parameters
    for part in parts:
        flat |= part
    assert {figure: flat[figure] for figure in FIGURES["cache_policies"][name]} == FIGURES[
        "cache_policies"
    ][name]
    assert f"max-age={policy['max_ttl']}" in fill.IMMUTABLE
    assert policy["min_ttl"] == 0


def test_origin_is_reached_as_it_expects(distribution: Values, made: dict[str, Values]) -> None:
    origin = only(distribution["origin"])
    figures = FIGURES["origin"]
    assert origin["custom_header"] == [
        {"name": figures["custom_header_name"], "value": SECRETS["origin_secrets"][0]}
    ]
    assert only(origin["origin_shield"]) == {
        "enabled": True,
        "origin_shield_region": "eu-central-1",
    }
    endpoint = only(made["module.cdn.aws_cloudfront_vpc_origin.this"]["vpc_origin_endpoint_config"])
    assert endpoint["origin_protocol_policy"] == figures["origin_protocol_policy"]
    private = only(origin["vpc_origin_config"])
    for timeout in ("origin_keepalive_timeout", "origin_read_timeout"):
        assert private[timeout] == figures[timeout]
    assert private["origin_read_timeout"] > fill.PATIENCE_S


def test_whoever_keeps_a_connection_ends_it_before_the_one_behind(
    distribution: Values, made: dict[str, Values]
) -> None:
    cdn_s = only(only(distribution["origin"])["vpc_origin_config"])["origin_keepalive_timeout"]
    balancer = made['module.load_balancer["origin"].aws_lb.this']
    assert cdn_s < balancer["idle_timeout"] < Settings().server.readtimeout.total_seconds()


def test_load_balancers_are_private(made: dict[str, Values]) -> None:
    for process in ("api", "origin"):
        module = f'module.load_balancer["{process}"]'
        assert made[f"{module}.aws_lb.this"]["internal"] is True
        assert made[f"{module}.aws_lb_listener.https"]["protocol"] == "HTTPS"
        target = made[f"{module}.aws_lb_target_group.this"]
        assert only(target["health_check"])["path"] == "/ready"
        assert target["port"] == Settings().server.port
    clients = "aws_vpc_security_group_ingress_rule.clients"
    assert made[f'module.load_balancer["api"].{clients}']["cidr_ipv4"] == "10.0.0.0/16"
    assert made[f'module.load_balancer["origin"].{clients}']["cidr_ipv4"] is None


def test_errors_are_kept_as_long_as_the_origin_says(distribution: Values) -> None:
    assert {
        str(each["error_code"]): each["error_caching_min_ttl"]
        for each in distribution["custom_error_response"]
    } == FIGURES["error_caching_min_ttl"]
    assert not any(each["response_page_path"] for each in distribution["custom_error_response"])


def behaviors(distribution: Values) -> list[Values]:
    last = only(distribution["default_cache_behavior"]) | {"path_pattern": "*"}
    return [*distribution["ordered_cache_behavior"], last]


def test_behaviors_are_those_of_tokens(distribution: Values) -> None:
    wanted = FIGURES["behaviors"]["token"]
    for behavior, figures in zip(behaviors(distribution), wanted, strict=True):
        assert behavior["path_pattern"] == figures["path_pattern"]
        assert behavior["viewer_protocol_policy"] == FIGURES["viewer_protocol_policy"]
        assert set(behavior["allowed_methods"]) == set(FIGURES["allowed_methods"])
        assert set(behavior["cached_methods"]) == set(FIGURES["cached_methods"])
        assert behavior["compress"] is (figures["cache_policy"] == "playlists")
        function = only(behavior["function_association"])
        assert function["event_type"] == FIGURES["function"]["event_type"]
        assert not behavior.get("trusted_key_groups")
        assert behavior["origin_request_policy_id"] is None


def test_function_is_the_tested_one_with_the_keys_of_the_service(made: dict[str, Values]) -> None:
    function = made["module.cdn.aws_cloudfront_function.viewer_request"]
    assert function["code"] == (CLOUDFRONT / FIGURES["function"]["file"]).read_text()
    assert (function["runtime"], function["publish"]) == (FIGURES["function"]["runtime"], True)
    store = made["module.cdn.aws_cloudfrontkeyvaluestore_keys_exclusive.this"]
    assert {each["key"]: each["value"] for each in store["resource_key_value_pair"]} == {
        f"{FIGURES['function']['key_prefix']}{key['kid']}": key["secret"]
        for key in SECRETS["signing_keys"]
    }


def test_proof_was_made_with_such_an_edge(distribution: Values) -> None:
    """The two tiers of `make bench-cdn` stand for what is planned here."""
    edge, shield, tiers = (
        (PROOF / name).read_text() for name in ("edge.conf", "shield.conf", "tiers.py")
    )
    origin = only(distribution["origin"])
    assert f"proxy_set_header {origin['custom_header'][0]['name']} " in shield
    assert FIGURES["function"]["file"] in tiers
    for tier in (edge, shield):
        assert f"proxy_cache_methods {' '.join(FIGURES['cached_methods'])};" in tier
        assert "proxy_cache_lock on;" in tier  # requests are collapsed: no cookie is forwarded
    assert 'proxy_cache_key "$object $encoding";' in edge
    assert "proxy_pass_request_headers off;" in edge
    compressed = [each["path_pattern"] for each in behaviors(distribution) if each["compress"]]
    assert compressed == ["/t/*.m3u8"]
    assert r'map $object $encoding { "~\.m3u8$" $wanted; }' in edge


def test_access_logs_have_no_token(made: dict[str, Values]) -> None:
    fields = made["module.cdn.aws_cloudwatch_log_delivery.this"]["record_fields"]
    assert not {"cs-uri-stem", "cs-uri-query", "cs(Referer)", "cs(Cookie)"} & set(fields)


def test_table_is_the_one_that_the_catalog_takes(made: dict[str, Values]) -> None:
    table = made["module.catalog.aws_dynamodb_table.this"]
    assert (table["hash_key"], table["range_key"]) == KEYS
    assert {
        index["name"]: (index["hash_key"], index["range_key"], index["projection_type"])
        for index in table["global_secondary_index"]
    } == {name: (*keys, "KEYS_ONLY") for name, keys in INDEXES.items()}
    assert {each["name"]: each["type"] for each in table["attribute"]} == dict.fromkeys(
        (*KEYS, *(name for keys in INDEXES.values() for name in keys)), "S"
    )
    ttl = only(table["ttl"])
    assert (ttl["attribute_name"], ttl["enabled"]) == (EXPIRY, True)
    assert table["billing_mode"] == "PAY_PER_REQUEST"
    assert only(table["point_in_time_recovery"])["enabled"] is True


@pytest.mark.parametrize("bucket", ["raw", "processed", "logs"])
def test_bucket_is_private_encrypted_and_swept(made: dict[str, Values], bucket: str) -> None:
    def part(name: str, of: str = "this") -> Values:
        return made[f'module.storage.aws_s3_bucket_{name}.{of}["{bucket}"]']

    block = part("public_access_block")
    assert all(
        block[name]
        for name in (
            *("block_public_acls", "ignore_public_acls"),
            *("block_public_policy", "restrict_public_buckets"),
        )
    )
    rules = {rule["id"]: rule for rule in part("lifecycle_configuration")["rule"]}
    abandoned = only(rules["abandoned-uploads"]["abort_incomplete_multipart_upload"])
    assert abandoned["days_after_initiation"] == ABANDONED_DAYS
    versioned = only(part("versioning")["versioning_configuration"])["status"] == "Enabled"
    assert versioned is (bucket == "raw") is ("deleted-originals" in rules)
    if bucket != "logs":
        rule = only(part("server_side_encryption_configuration", "media")["rule"])
        default = only(rule["apply_server_side_encryption_by_default"])
        assert (default["sse_algorithm"], rule["bucket_key_enabled"]) == ("aws:kms", True)


def test_browsers_may_send_what_upload_targets_ask_for(made: dict[str, Values]) -> None:
    cors = only(made["module.storage.aws_s3_bucket_cors_configuration.raw[0]"]["cors_rule"])
    assert set(cors["allowed_methods"]) == {"PUT", "POST"}
    assert cors["allowed_origins"] == ["https://studio.example"]
    unsafe = {name.lower() for name in _HEADERS.values()} - {"content-length"}
    wildcard = {name for name in unsafe if name.startswith("x-amz-")}
    assert "x-amz-*" in cors["allowed_headers"]
    assert unsafe - wildcard <= set(cors["allowed_headers"])


def test_queue_keeps_what_it_is_given(made: dict[str, Values]) -> None:
    group = made["module.queue.aws_elasticache_parameter_group.this"]
    assert group["parameter"] == [{"name": "maxmemory-policy", "value": "noeviction"}]
    queue = made["module.queue.aws_elasticache_replication_group.this"]
    assert queue["multi_az_enabled"] is queue["automatic_failover_enabled"] is True
    assert queue["transit_encryption_enabled"] is True
    assert queue["at_rest_encryption_enabled"] == "true"
    assert queue["transit_encryption_mode"] == "required"
    assert queue["auth_token"] == SECRETS["queue_password"]


@pytest.mark.parametrize("process", ["api", "origin", "worker"])
def test_role_may_do_what_its_policy_says(made: dict[str, Values], process: str) -> None:
    """One source: the policies that the tests of the stores are held to."""
    text = (ROOT / "deployments" / "iam" / f"{process}.json").read_text()
    for placeholder, value in (
        ("PROCESSED_BUCKET", "headrace-production-processed-444455556666"),
        ("RAW_BUCKET", "headrace-production-raw-444455556666"),
        ("REGION:ACCOUNT:table/TABLE", "eu-central-1:444455556666:table/headrace-production"),
    ):
        text = text.replace(placeholder, value)
    policy = made[f'module.identity.aws_iam_role_policy.process["{process}"]']["policy"]
    assert json.loads(policy) == json.loads(text)


def test_workers_run_on_spot_nodes_of_their_own(made: dict[str, Values]) -> None:
    nodes = made['module.cluster.aws_eks_node_group.this["worker"]']
    assert nodes["capacity_type"] == "SPOT"
    assert nodes["taint"] == [{"key": "headrace/pool", "value": "worker", "effect": "NO_SCHEDULE"}]
    assert only(nodes["scaling_config"])["min_size"] == 0
    assert all(name.startswith("c") for name in nodes["instance_types"])
    general = made['module.cluster.aws_eks_node_group.this["general"]']
    assert (general["capacity_type"], general["taint"]) == ("ON_DEMAND", [])


@pytest.fixture
def taken(planned: Values, made: dict[str, Values], tmp_path: Path) -> Settings:
    """What the service makes of its settings and secrets."""
    known = planned["output_changes"]["settings"]["after"]
    secrets = json.loads(made["aws_secretsmanager_secret_version.this"]["secret_string"])
    return parse(UNKNOWN | known | secrets, tmp_path)


def test_service_takes_its_settings(taken: Settings) -> None:
    assert taken.media_url == "https://media.studio.example"
    assert list(taken.signing.keys) == [key["kid"] for key in SECRETS["signing_keys"]]
    assert len(taken.origin.secrets) == len(SECRETS["origin_secrets"])
    assert taken.redis.tls


def test_overlay_has_every_setting_and_no_other(planned: Values) -> None:
    """What is unknown until AWS has made it, `terraform test` compares."""
    settings = planned["output_changes"]["settings"]
    overlay = variables("production", "settings.env")
    assert set(overlay) == set(settings["after"]) | set(settings["after_unknown"])
    assert overlay == UNKNOWN | settings["after"]


def test_overlay_names_what_is_made(made: dict[str, Values]) -> None:
    estate = variables("production", "estate.env")
    for process in ("api", "origin", "worker"):
        role = made[f'module.identity.aws_iam_role.this["{process}"]']["name"]
        assert estate[f"{process}_role_arn"] == f"arn:aws:iam::444455556666:role/{role}"
        repository = made[f'module.cluster.aws_ecr_repository.this["{process}"]']["name"]
        assert estate[f"{process}_repository"].endswith(f".amazonaws.com/{repository}")
    for process in ("api", "origin"):
        group = made[f'module.load_balancer["{process}"].aws_lb_target_group.this']["name"]
        assert f":targetgroup/{group}/" in estate[f"{process}_target_group_arn"]


def test_pods_are_allowed_the_network_that_is_made(made: dict[str, Values]) -> None:
    cidr = made["module.network.aws_vpc.this"]["cidr_block"]
    policies = of_kind(render("production"), "NetworkPolicy")
    for name in ("api", "origin"):
        (rule,) = policies[name]["spec"]["ingress"]
        assert rule["from"] == [{"ipBlock": {"cidr": cidr}}]


def test_costs_of_this_environment_are_counted(made: dict[str, Values]) -> None:
    budget = made["module.alarms.aws_budgets_budget.this"]
    assert only(budget["cost_filter"])["values"] == ["user:environment$production"]
    assert {each["notification_type"] for each in budget["notification"]} == {
        "ACTUAL",
        "FORECASTED",
    }
    assert (budget["limit_amount"], budget["time_unit"]) == ("5000", "MONTHLY")
