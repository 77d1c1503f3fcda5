"""Validation of requests: the same violations as protovalidate finds, with the same paths, rule ids and texts."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from cwinference import errors, types
from cwinference._wire.methods import METHODS
from cwinference.emulator import Emulator
from cwinference.emulator.rules.checker import RuleSet, check
from tests.emulator.rule_requests import CLAIM, DEPLOYMENT, GATEWAY, UUID, requests
from tests.support import samples
from tests.support.client_kinds import KINDS, open_client

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("rules.golden.json").read_text("utf-8"))

Violations = list[tuple[str, str, str]]
"""Path, rule id and text of each violation."""


def violations(request: Message, rules: RuleSet = "published") -> Violations:
    return [(each.field, each.rule, each.message) for each in check(request, rules)]


def message(kind: str, body: dict[str, Any]) -> Message:
    made: Message = ParseDict(body, getattr(types, kind)())
    return made


def in_maps_last(found: Violations) -> Violations:
    """Sort the violations in maps, since protobuf does not define the order of map entries."""
    return [each for each in found if "engine_" not in each[0]] + sorted(each for each in found if "engine_" in each[0])


def test_the_golden_file_was_made_from_these_requests() -> None:
    digest = hashlib.sha256()
    for kind, body in requests():
        digest.update(json.dumps([kind, body]).encode())
    assert digest.hexdigest() == GOLDEN["requests"], "run `make rules`"


def test_thousands_of_requests_have_the_violations_that_protovalidate_finds() -> None:
    table = [tuple(each) for each in GOLDEN["violations"]]
    results = {kind: iter(found) for kind, found in GOLDEN["results"].items()}
    for kind, body in requests():
        expected = [table[index] for index in next(results[kind])]
        assert in_maps_last(violations(message(kind, body))) == in_maps_last(expected), (kind, body)


LONG = ("a" * 49 + ".") * 5
EDGES: list[tuple[str, str, Any, str]] = [
    ("GetGatewayRequest", "id", "00000000-0000-0000-0000-000000000000", ""),
    ("GetGatewayRequest", "id", UUID.upper(), ""),
    ("GetGatewayRequest", "id", UUID + "\n", "string.uuid"),
    ("GetGatewayRequest", "id", "", "string.uuid_empty"),
    ("EndpointConfiguration", "additionalDns", ["example.com."], ""),
    ("EndpointConfiguration", "additionalDns", ["1.2.3.4"], "string.hostname"),
    ("EndpointConfiguration", "additionalDns", ["a.1"], "string.hostname"),
    ("EndpointConfiguration", "additionalDns", [LONG + "abc."], ""),
    ("EndpointConfiguration", "additionalDns", [LONG + "abcd"], "string.hostname"),
    ("EndpointConfiguration", "allowedSourceIpRanges", ["203.0.113.7/32", "2001:db8::/48"] * 25, ""),
    ("EndpointConfiguration", "allowedSourceIpRanges", ["10.0.0.0/8"] * 51, "repeated.max_items"),
    ("EndpointConfiguration", "allowedSourceIpRanges", ["10.0.0.1"], "string.ip_with_prefixlen"),
    ("EndpointConfiguration", "allowedSourceIpRanges", ["10.0.0.0/33"], "string.ip_with_prefixlen"),
    ("EndpointConfiguration", "allowedSourceIpRanges", ["10.0.0.0/255.0.0.0"], "string.ip_with_prefixlen"),
    ("EndpointConfiguration", "allowedSourceIpRanges", ["fe80::1%eth0/64"], "string.ip_with_prefixlen"),
    ("EndpointConfiguration", "edgeProxyMode", "EDGE_PROXY_MODE_DIRECT", ""),
    ("EndpointConfiguration", "edgeProxyMode", 3, "enum.defined_only"),
    ("DeploymentModel", "path", "a/..b/c", ""),
    ("DeploymentModel", "path", "a/..\n", ""),
    ("DeploymentModel", "path", "a/../c", "path.no_traversal"),
    ("DeploymentModel", "bucket", "abc\n", "string.valid_host_label"),
    ("DeploymentRuntime", "engineConfig", {f"key{n}": "" for n in range(300)}, ""),
    ("DeploymentRuntime", "engineEnv", {f"KEY{n}": "" for n in range(101)}, "map.max_pairs"),
    ("CapacityClaimResources", "instanceCount", 0, ""),
]
VALID = {
    "DeploymentModel": DEPLOYMENT["model"],
    "DeploymentRuntime": DEPLOYMENT["runtime"],
    "CapacityClaimResources": CLAIM["resources"],
}


@pytest.mark.parametrize(("kind", "field", "value", "rule"), EDGES)
def test_edge_cases(kind: str, field: str, value: Any, rule: str) -> None:
    body = {**VALID.get(kind, {}), field: value}
    assert [each.rule for each in check(message(kind, body))] == ([rule] if rule else [])


@pytest.mark.parametrize("kind", KINDS)
async def test_all_violations_are_reported_together_over_every_transport(kind: str) -> None:
    with Emulator() as emulator:
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            with pytest.raises(errors.InvalidArgument) as caught:
                await client.gateways.create("-", zones=["here"], core_weave_auth=types.CoreWeaveAuth())
    detail: Any = caught.value.details[0]
    found = [(each.field, each.reason) for each in detail.field_violations]
    assert found == [
        ("routing", "required"),
        ("name", "string.valid_host_label"),
        ("zones[0]", "string.valid_zone"),
    ]


@pytest.mark.parametrize("name", [name for name in samples.names("request") if "newer" not in name])
def test_every_sample_request_is_valid(name: str) -> None:
    assert not check(samples.request(name))


IDS = [
    (kind, field)
    for kind in METHODS
    for field in kind.DESCRIPTOR.fields
    if field.name in ("id", "gateway_ids") or field.name.endswith("_id")
]


@pytest.mark.parametrize(("kind", "field"), IDS, ids=lambda each: each.name if hasattr(each, "name") else each.__name__)
def test_every_id_in_a_request_has_a_rule(kind: Any, field: Any) -> None:
    """Without one, a call with a mistaken id would get NotFound instead of InvalidArgument."""
    request = kind(**{field.name: ["nonsense"] if field.is_repeated else "nonsense"})
    name = f"{field.name}[0]" if field.is_repeated else field.name
    assert (name, "string.uuid") in {(each.field, each.rule) for each in check(request)}


def deployment(**runtime: Any) -> Message:
    return message("CreateDeploymentRequest", {**DEPLOYMENT, "runtime": {**DEPLOYMENT["runtime"], **runtime}})


def claim(**resources: Any) -> Message:
    return message("CreateCapacityClaimRequest", {**CLAIM, "resources": {**CLAIM["resources"], **resources}})


CHANGES = [
    pytest.param(lambda: deployment(engine="dynamo-sglang"), ["runtime.engine", "string.in"], [], id="engine"),
    pytest.param(
        lambda: claim(zones=["RNO2A", "US-EAST-04A"]), ["resources.zones", "repeated.max_items"], [], id="zones"
    ),
    pytest.param(
        lambda: claim(capacityType="CAPACITY_TYPE_CUSTOMER"),
        [],
        ["resources.capacity_type", "enum.not_in"],
        id="customer",
    ),
]


@pytest.mark.parametrize(("request_of", "published", "current"), CHANGES)
def test_changes_since_the_published_rules_apply_with_the_current_rules(
    request_of: Any, published: list[str], current: list[str]
) -> None:
    expected: dict[RuleSet, list[str]] = {"published": published, "current": current}
    for rules, first in expected.items():
        assert [list(each[:2]) for each in violations(request_of(), rules)] == ([first] if first else [])


def test_a_rejected_capacity_type_has_the_text_that_users_report() -> None:
    [(field, _, text)] = violations(claim(capacityType="CAPACITY_TYPE_CUSTOMER"), "current")
    assert f"{field}: {text}" == "resources.capacity_type: must not be in list [0, 1, 2]"


def test_fields_newer_than_the_published_rules_are_accepted() -> None:
    body = {**GATEWAY, "endpointConfiguration": {"allowedSourceIpRanges": ["10.0.0.0/8"]}}
    assert not check(message("CreateGatewayRequest", body))
    hot_load = {"bucket": "weights", "pathPrefix": "runs/7", "transitionMode": "TRANSITION_MODE_ASYNC"}
    assert not check(message("CreateDeploymentRequest", {**DEPLOYMENT, "hotLoad": hot_load}))


FULL = {"deploymentId": UUID, "identity": "step-1", "type": "SNAPSHOT_TYPE_FULL"}
METADATA = {
    "previousSnapshotIdentity": "step-0",
    "compressionFormat": "COMPRESSION_FORMAT_ZSTD",
    "checksumFormat": "CHECKSUM_FORMAT_ADLER32",
}
HOT_LOADS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    (FULL, []),
    ({**FULL, "identity": "i" * 128}, []),
    ({**FULL, "identity": "i" * 129}, [("identity", "string.max_len")]),
    ({**FULL, "identity": "a/b"}, [("identity", "identity.one_segment")]),
    ({**FULL, "identity": "initial"}, [("identity", "identity.one_segment")]),
    ({**FULL, "identity": ".."}, [("identity", "identity.one_segment")]),
    ({**FULL, "type": 0}, [("type", "enum.not_in")]),
    ({**FULL, "promptCachePolicy": 9}, [("prompt_cache_policy", "enum.defined_only")]),
    ({**FULL, "incrementalSnapshotMetadata": METADATA}, [("", "incremental_needs_metadata")]),
    ({**FULL, "type": "SNAPSHOT_TYPE_INCREMENTAL"}, [("", "incremental_needs_metadata")]),
    ({**FULL, "type": "SNAPSHOT_TYPE_INCREMENTAL", "incrementalSnapshotMetadata": METADATA}, []),
    (
        {**FULL, "type": "SNAPSHOT_TYPE_INCREMENTAL", "incrementalSnapshotMetadata": {}},
        [
            ("incremental_snapshot_metadata.previous_snapshot_identity", "string.min_len"),
            ("incremental_snapshot_metadata.compression_format", "enum.not_in"),
            ("incremental_snapshot_metadata.checksum_format", "enum.not_in"),
        ],
    ),
]


@pytest.mark.parametrize(("body", "expected"), HOT_LOADS)
def test_hot_loads_follow_the_documentation(body: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert [each[:2] for each in violations(message("CreateHotLoadRequest", body))] == expected


def test_negative_page_sizes_are_rejected() -> None:
    found = [violations(message(kind, {"maxPageSize": -1}))[-1][:2] for kind in PAGED]
    assert found == [("max_page_size", "int32.gte")] * len(PAGED)


PAGED = ("ListHotLoadsRequest", "ListHotLoadReplicasRequest")
