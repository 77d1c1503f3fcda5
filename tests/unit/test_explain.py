"""Explanations as a table of cases: what was read, and what is said of it."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cwinference import types
from cwinference._cli.main import parsed
from cwinference._explain import Explanation, Facts, explain

NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)
ZONES = ["US-EAST-04A", "US-WEST-04A"]
TRUE, FALSE = "STATUS_TRUE", "STATUS_FALSE"


def gateway(state: str = "READY", *, id: str = "g1", **spec: Any) -> types.Gateway:
    values: dict[str, Any] = {
        "spec": {"id": id, "name": "front", "zones": ["US-EAST-04A"], **spec},
        "status": {"status": f"STATUS_{state}"},
    }
    return types.Gateway(**values)


def deployment(
    state: str = "READY", conditions: Sequence[dict[str, Any]] = (), *, id: str = "d1", **spec: Any
) -> types.Deployment:
    values: dict[str, Any] = {
        "spec": {
            "id": id,
            "name": "llama",
            "gateway_ids": ["g1"],
            "runtime": {"engine": "vllm", "version": "0.22.0"},
            "resources": {"instance_type": "h100", "gpu_count": 8},
            "model": {"name": "org/llama"},
            "autoscaling": {"min": 1, "max": 4},
            "traffic": {"weight": 10},
            **spec,
        },
        "status": {"status": f"STATUS_{state}", "conditions": list(conditions)},
    }
    return types.Deployment(**values)


def claim(state: str = "READY", *, allocated: int = 2, pending: int = 0, **resources: Any) -> types.CapacityClaim:
    wanted = {
        "instance_id": "h100", "instance_count": 2, "capacity_type": "CAPACITY_TYPE_MANAGED", "zones": ["US-EAST-04A"]
    }  # fmt: skip
    values: dict[str, Any] = {
        "spec": {"id": "c1", "name": "reserved", "resources": {**wanted, **resources}},
        "status": {"status": f"STATUS_{state}", "allocated_instances": allocated, "pending_instances": pending},
    }
    return types.CapacityClaim(**values)


def hot_load(state: str, *, id: str = "h1", **spec: Any) -> types.HotLoad:
    values: dict[str, Any] = {
        "spec": {"id": id, "deployment_id": "d1", "identity": "step-2", "type": "SNAPSHOT_TYPE_FULL", **spec},
        "status": {"state": f"HOT_LOAD_STATE_{state}"},
    }
    return types.HotLoad(**values)


def offers(*types_of_instances: str) -> types.GetDeploymentParametersResponse:
    values: dict[str, Any] = {
        "runtime_parameters": {
            "runtime_versions": {"vllm": {"versions": ["0.21.0", "0.22.0"]}},
            "runtime_config_options": {"vllm": {"allowed_keys": ["max-model-len"]}},
            "engine_env_options": {"vllm": {"allowed_names": ["NCCL_DEBUG"]}},
        },
        "resource_parameters": {"instance_types": types_of_instances or ["h100", "h200"]},
    }
    return types.GetDeploymentParametersResponse(**values)


def claim_offers(**zones: list[str]) -> types.GetCapacityClaimParametersResponse:
    values: dict[str, Any] = {
        "zone_instance_types": {zone.replace("_", "-"): {"instance_ids": ids} for zone, ids in zones.items()}
    }
    return types.GetCapacityClaimParametersResponse(**values)


def facts(resource: Any, **more: Any) -> Facts:
    """Return what is read of a healthy organization, with some of it replaced."""
    healthy: dict[str, Any] = {
        "gateways": [gateway()],
        "deployments": [resource if isinstance(resource, types.Deployment) else deployment()],
        "claims": [claim()],
        "hot_loads": [],
        "gateway_parameters": types.GetGatewayParametersResponse(zones=ZONES),
        "deployment_parameters": offers(),
        "claim_parameters": claim_offers(US_EAST_04A=["h100"], US_WEST_04A=["h100", "b200"]),
    }
    return Facts(resource, now=NOW, **{**healthy, **more})


RIVAL = deployment(id="d2", name="llama-2")
QUIET = deployment(id="d2", name="llama-2", traffic={})
RESERVED = {"min": 3, "max": 4, "capacity_classes": ["CAPACITY_CLASS_RESERVED"]}
FULL_HOT_LOAD: dict[str, Any] = {"hot_load": {"bucket": "b"}}
INCREMENTAL: dict[str, Any] = {
    "type": "SNAPSHOT_TYPE_INCREMENTAL",
    "incremental_snapshot_metadata": {"previous_snapshot_identity": "step-1"},
}

CASES: dict[str, tuple[Facts, list[tuple[str, str]]]] = {
    "a healthy deployment": (facts(deployment()), []),
    "disabled": (facts(deployment("UPDATING", disabled=True)), [("certain", "it is disabled: ")]),
    "deleting": (facts(deployment("DELETING", disabled=True)), [("certain", "it is being deleted")]),
    "engine not offered": (
        facts(deployment("FAILED", runtime={"engine": "tgi", "version": "1"})),
        [("likely", "the engine tgi is not offered; offered are vllm"), ("note", "FAILED is final")],
    ),
    "version not offered": (
        facts(deployment("ERROR", runtime={"engine": "vllm", "version": "9.9.9"})),
        [("likely", "version 9.9.9 of vllm is not offered; offered are 0.21.0, 0.22.0"),
         ("note", "the service expects")],
    ),
    "version not offered any more to one that is READY": (
        facts(deployment(runtime={"engine": "vllm", "version": "9.9.9"})),
        [("note", "version 9.9.9 of vllm is not offered")],
    ),
    "options not allowed": (
        facts(deployment("FAILED", runtime={"engine": "vllm", "engine_config": {"a": "1"}, "engine_env": {"B": "1"}})),
        [("likely", "with the options a"), ("likely", "with the variables B"), ("note", "FAILED is final")],
    ),
    "instance type elsewhere": (
        facts(deployment("CREATING", resources={"instance_type": "b200"})),
        [
            ("likely", "the instance type b200 is not offered in the zones of its gateways (US-EAST-04A); offered are "
             "h100, h200; it exists in US-WEST-04A"),
            ("note", "it is still being applied; loading a model takes minutes"),
        ],
    ),
    "instance type nowhere": (
        facts(deployment("CREATING", resources={"instance_type": "z"}), claim_parameters=claim_offers()),
        [("likely", "it exists in no zone"), ("note", "still being applied")],
    ),
    "no gateways, so no instance types are known": (
        facts(
            deployment("CREATING", resources={"instance_type": "z"}),
            gateways=[],
        ),
        [("likely", "it names gateways that do not exist: g1"), ("note", "still being applied")],
    ),
    "gateway not READY": (
        facts(deployment("CREATING"), gateways=[gateway("CREATING")]),
        [("likely", "its gateway front is CREATING, not READY"), ("note", "still being applied")],
    ),
    "reserved only, no claim": (
        facts(deployment("CREATING", autoscaling=RESERVED), claims=[claim(instance_id="h200")]),
        [("likely", "it may use reserved capacity only, and no capacity claim has h100 in US-EAST-04A"),
         ("note", "still being applied")],
    ),
    "reserved only, nothing allocated": (
        facts(deployment("CREATING", autoscaling=RESERVED), claims=[claim(allocated=0)]),
        [("likely", "have 0 instances allocated; deployments that may use them ask for at least 3 replicas (llama)"),
         ("note", "still being applied")],
    ),
    "no capacity left": (
        facts(deployment("CREATING", id="d3", name="new"), deployments=[
            deployment("CREATING", id="d3", name="new"), deployment(id="d4", name="a", autoscaling=RESERVED)]),
        [("possible", "have 2 instances allocated; deployments that may use them ask for at least 4 replicas (a, new)"),
         ("note", "still being applied")],
    ),
    "capacity in another zone counts for nothing": (
        facts(deployment("CREATING"), claims=[claim(zones=["US-WEST-04A"], allocated=0)]),
        [("note", "still being applied")],
    ),
    "hot-load in progress": (
        facts(deployment("UPDATING"), hot_loads=[hot_load("IN_PROGRESS"), hot_load("COMPLETED", id="h2")]),
        [("note", "a hot-load of step-2 is IN_PROGRESS: until it ends, updates are refused"),
         ("note", "still being applied")],
    ),
    "weight 0 next to others": (
        facts(deployment(traffic={}), deployments=[deployment(traffic={}), RIVAL]),
        [("note", "its weight is 0, and requests for org/llama go to llama-2: it gets none")],
    ),
    "weight 0 next to one that may not serve": (
        facts(deployment(traffic={}), deployments=[deployment(traffic={}), deployment("ERROR", id="d2", name="other")]),
        [("note", "its weight is 0, and requests for org/llama go to other: it gets none")],
    ),
    "weight 0 alone, because the other is being deleted": (
        facts(deployment(traffic={}), deployments=[deployment(traffic={}), deployment("DELETING", id="d2")]),
        [],
    ),
    "all weights 0": (
        facts(deployment(traffic={}), deployments=[deployment(traffic={}), QUIET]),
        [("note", "all weights of org/llama are 0 (also of llama-2); how requests are shared")],
    ),
    "weight 0 alone": (facts(deployment(traffic={})), []),
    "autoscaling off": (
        facts(deployment(autoscaling={"min": 2, "max": 2})),
        [("note", "autoscaling is off, because min and max are both 2")]
    ),
    "what the service reports": (
        facts(deployment("FAILED", [{"type": "Ready", "status": FALSE, "reason": "NoQuota", "message": "ask\nus"}])),
        [("reported", "Ready: NoQuota: ask us"), ("note", "FAILED is final")],
    ),
    "an unknown state": (
        facts(deployment("UNSPECIFIED")), [("note", "it has a state that this release does not know")]
    ),
    "nothing else was read": (
        Facts(deployment("FAILED", runtime={"engine": "x"}), now=NOW), [("note", "FAILED is final")]
    ),
    "a healthy gateway": (facts(gateway()), []),
    "gateway in an unknown zone": (
        facts(gateway("CREATING", zones=["US-EAST-04A", "XX"])),
        [("likely", "it asks for zones that are not offered: XX; offered are US-EAST-04A, US-WEST-04A"),
         ("note", "it is still being applied")],
    ),
    "gateway with a long name": (
        facts(gateway("ERROR", name="n" * 39)),
        [("possible", "its name has 39 letters"), ("note", "the service expects")]
    ),
    "gateway with host names": (
        facts(gateway("CREATING", endpoint_configuration={"additional_dns": ["a.example"]})),
        [("possible", "point at it yourself: a.example"), ("note", "still being applied")],
    ),
    "gateway without deployments": (facts(gateway(), deployments=[]), [("note", "no deployment names it")]),
    "gateway with disabled deployments": (
        facts(gateway(), deployments=[deployment(disabled=True)]),
        [("certain", "all its deployments are disabled: llama")]
    ),
    "gateway whose deployments are not READY": (
        facts(gateway(), deployments=[deployment("FAILED")]),
        [("likely", "none of its deployments is READY: llama; it may have nothing to serve")],
    ),
    "gateway whose deployments have never been READY": (
        facts(gateway(), deployments=[deployment("CREATING")]),
        [("certain", "none of its deployments is READY: llama; it has nothing to serve")],
    ),
    "gateway that cannot go": (
        facts(gateway("DELETING")),
        [("certain", "it is being deleted"), ("likely", "deployments still name it: llama; it cannot go before them")],
    ),
    "a healthy claim": (facts(claim()), []),
    "claim that is short": (
        facts(claim("CREATING", allocated=1, pending=1)),
        [("likely", "1 of 2 h100 in US-EAST-04A are allocated; 1 are missing, 1 of them pending"),
         ("note", "still being applied")],
    ),
    "claim of what its zone has not": (
        facts(claim(instance_id="b200")), [("note", "b200 is not offered in US-EAST-04A; it is in US-WEST-04A")]
    ),
    "claim in an unknown zone": (
        facts(claim("CREATING", zones=["XX"])),
        [("likely", "it asks for zones in which no capacity is offered: XX"), ("note", "still being applied")]
    ),
    "claim of the old type": (
        facts(claim("CREATING", capacity_type="CAPACITY_TYPE_CUSTOMER")),
        [("possible", "its capacity type is CUSTOMER"), ("note", "still being applied")],
    ),
    "claim of nothing": (facts(claim(instance_count=0, allocated=0)), [("note", "it asks for no instances")]),
    "a completed hot-load": (facts(hot_load("COMPLETED")), []),
    "hot-load of a broken deployment": (
        facts(hot_load("PENDING"), deployments=[deployment("ERROR", **FULL_HOT_LOAD)]),
        [("likely", "its deployment llama is ERROR, not READY"), ("note", "it is still being loaded")],
    ),
    "hot-load of a deployment without": (
        facts(hot_load("FAILED")),
        [("likely", "its deployment llama was created without hot_load"), ("note", "FAILED is final")],
    ),
    "hot-load whose deployment was read in binary, which does not show hot_load": (
        facts(hot_load("FAILED"), is_complete=False), [("note", "FAILED is final")]
    ),
    "hot-load of no deployment": (
        facts(hot_load("FAILED"), deployments=[]),
        [("likely", "its deployment d1 does not exist any more"), ("note", "FAILED is final")],
    ),
    "hot-load with a broken replica": (
        facts(
            hot_load("IN_PROGRESS"),
            deployments=[deployment(**FULL_HOT_LOAD)],
            replicas=[
                types.HotLoadReplica(name="r1", state=types.HotLoadReplica.ERROR, error_reason="checksum"),
                types.HotLoadReplica(name="r2", state=types.HotLoadReplica.UPDATING),
                types.HotLoadReplica(name="r3", state=types.HotLoadReplica.READY),
            ],
        ),
        [("likely", "1 of 3 replicas are in ERROR (r1): checksum"), ("note", "1 of 3 replicas have not loaded it yet"),
         ("note", "it is still being loaded")],
    ),
    "hot-load on another snapshot": (
        facts(
            hot_load("FAILED", **INCREMENTAL),
            deployments=[deployment(**FULL_HOT_LOAD)],
            hot_loads=[hot_load("COMPLETED", id="h2", identity="step-0")],
        ),
        [("likely", "it builds on the snapshot step-1; the latest that was loaded is step-0"),
         ("note", "FAILED is final")],
    ),
    "a canceled hot-load": (
        facts(hot_load("CANCELED")), [("certain", "it was canceled"), ("note", "CANCELED is final")]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_causes_are_those_that_were_read(name: str) -> None:
    read, expected = CASES[name]
    found = explain(read)
    assert [each.verdict for each in found.causes] == [verdict for verdict, _ in expected], found
    for cause, (_, text) in zip(found.causes, expected, strict=True):
        assert text in cause.fact or text in " ".join(cause.fact.split())
    assert found.is_well is (name.startswith(("a healthy", "a completed", "weight 0 alone")) or is_note(name))


def is_note(name: str) -> bool:
    """Whether a case is READY, with no more to be said than a note."""
    read, expected = CASES[name]
    status: Any = read.resource.status
    is_ready = getattr(status, "status", None) == types.Status.STATUS_READY
    return is_ready and {verdict for verdict, _ in expected} == {"note"}


@pytest.mark.parametrize("name", CASES)
def test_the_commands_that_mend_it_exist(name: str) -> None:
    for cause in explain(CASES[name][0]).causes:
        for command in cause.commands:
            words = shlex.split(command)
            assert words[0] == "cwinference"
            assert parsed(words[1:]) is not None


def times(**seconds: int) -> list[dict[str, Any]]:
    return [
        {
            "type": each,
            "status": TRUE,
            "last_update_time": {"seconds": second},
            "zone": zone,
            "reason": "R",
            "message": "m",
        }
        for each, second in seconds.items()
        for zone in ZONES
    ]


def test_the_history_is_in_the_order_of_time_with_zones_together() -> None:
    found = explain(facts(deployment("CREATING", [*times(Ready=20, ResourcesApplied=10), {"type": "X"}])))
    assert [(each.type, each.zones) for each in found.history] == [
        ("ResourcesApplied", tuple(ZONES)),
        ("Ready", tuple(ZONES)),
        ("X", ()),
    ]
    assert [each.type for each in found.unmet] == ["X"]
    assert found.since == datetime(1970, 1, 1, 0, 0, 20, tzinfo=UTC)


def test_zones_of_which_something_else_is_said_are_listed_apart() -> None:
    conditions = times(Ready=20)
    conditions[1] |= {"status": FALSE, "reason": "NoPods"}
    found = explain(facts(deployment("CREATING", conditions)))
    assert [(each.met, each.zones) for each in found.history] == [(True, (ZONES[0],)), (False, (ZONES[1],))]
    assert [each.reason for each in found.unmet] == ["NoPods"]


def test_the_text_shows_everything_without_control_characters() -> None:
    failed = {"type": "Ready", "status": FALSE, "last_update_time": {"seconds": 1795953570}, "reason": "\x1b[31mRed"}
    read = facts(deployment("FAILED", [failed], runtime={"engine": "vllm", "version": "9.9.9"}), claims=None)
    text = str(explain(replace(read, unread={"claims": "no \x1b role"})))
    assert text.splitlines() == [
        "Deployment llama: FAILED (last change 30 s ago)",
        "  id d1",
        "",
        "history",
        "  2026-11-29T11:59:30Z  Ready no (\\x1b[31mRed)",
        "",
        "unmet",
        "  Ready no (\\x1b[31mRed)",
        "",
        "cause",
        "  reported  Ready: \\x1b[31mRed",
        "  likely    version 9.9.9 of vllm is not offered; offered are 0.21.0, 0.22.0",
        "            $ cwinference deployments modify llama --runtime.version 0.22.0",
        "  note      FAILED is final: it does not recover by itself; change what is wrong, or delete it and create it "
        "anew",
        "            $ cwinference deployments delete llama",
        "  not read  claims: no \\x1b role",
    ]


@pytest.mark.parametrize(
    ("resource", "text"), [(deployment(), "all is well"), (deployment("CREATING"), "none that the API shows")]
)
def test_the_text_says_when_there_is_no_cause(resource: types.Deployment, text: str) -> None:
    lines = str(explain(facts(resource))).splitlines()
    assert lines[lines.index("cause") + 1] == f"  {text}"
    assert "  no conditions were reported" in lines


def test_names_with_spaces_are_quoted_in_commands() -> None:
    found = explain(facts(deployment("CREATING", name="my model", disabled=True)))
    assert found.causes[0].commands == ("cwinference deployments modify 'my model' --disabled=false",)


def test_the_data_has_what_the_text_has() -> None:
    found: Explanation = explain(CASES["what the service reports"][0])
    data = found.as_dict()
    assert (data["state"], data["well"], data["causes"][0]["verdict"]) == ("FAILED", False, "reported")
    assert data["unmet"] == data["history"]
    assert data["history"][0]["met"] is False


def test_times_out_of_range_are_left_out() -> None:
    conditions = [{"type": "Ready", "status": TRUE, "last_update_time": {"seconds": 2**62}}]
    assert explain(facts(deployment("READY", conditions))).history[0].at is None


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("weight 0 next to others", ()),  # as a rollout leaves it; nobody asked for another share
        ("all weights 0", ("cwinference deployments modify llama --traffic.weight 100",)),
    ],
)
def test_a_deployment_gets_requests_by_a_command_only_if_no_other_one_has_a_weight(
    name: str, commands: tuple[str, ...]
) -> None:
    creating = replace(CASES[name][0], resource=deployment("CREATING", traffic={}))
    (weight,) = [each for each in explain(creating).causes if "0" in each.fact]
    assert (weight.verdict, weight.commands) == ("note", commands)
