"""Random stacks and random live states, small enough that they often have something to do with each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import strategies as st

from cwinference import types
from cwinference.stacks._entries import plain
from tests.support.memory_client import MemoryApi

ZONES = ["US-EAST-04A"]
GATEWAYS = ["front", "back", "team-a-front", "team-b-front"]
DEPLOYMENTS = ["llama", "mistral", "team-a-one", "team-a-two", "team-b-one"]
CLAIMS = ["prod", "team-a-prod"]
Entry = dict[str, Any]
Fields = st.SearchStrategy[Entry]


@dataclass
class Case:
    """A live state, and a stack for it.

    Attributes:
        live: the fields of what exists, by section and name.
        leaving: which of it is being deleted.
        stack: the stack, as a mapping.
        prune: the prefix, or None.
    """

    live: dict[str, dict[str, Entry]]
    leaving: set[tuple[str, str]]
    stack: dict[str, dict[str, Entry]]
    prune: str | None
    wait: bool = True
    fail_at: int = 0
    is_lost: bool = False
    ids: dict[str, str] = field(default_factory=dict[str, str])


@st.composite
def gateways(draw: st.DrawFn) -> Entry:
    routing: Entry = draw(
        st.sampled_from(
            [
                {"body_based_routing": {"api_type": "OPENAI"}},
                {"header_based_routing": {"header_name": "x-model"}},
                {"path_based_routing": {}},
            ]
        )
    )
    fields: Entry = {"zones": ZONES, "core_weave_auth": {}, **routing}
    if draw(st.booleans()):
        dns = draw(st.lists(st.sampled_from(["a.example.com", "b.example.com"]), unique=True))
        ranges = draw(st.lists(st.sampled_from(["10.0.0.0/8", "192.0.2.7/32"]), unique=True))
        fields["endpoint_configuration"] = {"additional_dns": dns, "allowed_source_ip_ranges": ranges}
    return fields


@st.composite
def deployments(draw: st.DrawFn, known: Sequence[str]) -> Entry:
    low, high = draw(st.sampled_from([(1, 1), (1, 4), (2, 8)]))
    fields: Entry = {
        "gateways": draw(st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True)),
        "runtime": {"engine": "dynamo-vllm", "version": draw(st.sampled_from(["0.21.0", "0.22.0"]))},
        "resources": {"instance_type": "gd-8xh100ib-i128", "gpu_count": draw(st.sampled_from([4, 8]))},
        "model": {"name": draw(st.sampled_from(["org/llama", "org/mistral"])), "bucket": "models", "path": "m"},
        "autoscaling": {"min": low, "max": high},
    }
    if draw(st.booleans()):
        fields["traffic"] = {"weight": draw(st.sampled_from([0, 50, 100]))}
    if draw(st.booleans()):
        fields["disabled"] = draw(st.booleans())
    if draw(st.booleans()):
        fields["autoscaling"]["capacity_classes"] = draw(
            st.sampled_from([["RESERVED"], ["ON_DEMAND", "RESERVED"], ["RESERVED", "ON_DEMAND"]])
        )
    if draw(st.integers(0, 3)) == 0:
        fields["hot_load"] = {"bucket": draw(st.sampled_from(["one", "two"])), "transition_mode": "ASYNC"}
    return fields


@st.composite
def claims(draw: st.DrawFn) -> Entry:
    return {
        "resources": {
            "instance_id": "gd-8xh100ib-i128",
            "instance_count": draw(st.integers(1, 3)),
            "capacity_type": "MANAGED",
            "zones": ZONES,
        }
    }


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case: each resource may exist, be being deleted, and be in the stack, with equal or other fields."""
    live: dict[str, dict[str, Entry]] = {"capacity_claims": {}, "gateways": {}, "deployments": {}}
    stack: dict[str, dict[str, Entry]] = {"capacity_claims": {}, "gateways": {}, "deployments": {}}
    _draw_section(draw, "capacity_claims", CLAIMS, claims(), claims(), live, stack)
    _draw_section(draw, "gateways", GATEWAYS, gateways(), gateways(), live, stack)
    there, nameable = [*live["gateways"]], [*{**live["gateways"], **stack["gateways"]}]
    if nameable:
        old = deployments(there) if there else None
        _draw_section(draw, "deployments", DEPLOYMENTS, old, deployments(nameable), live, stack)
    used = {name for each in live["deployments"].values() for name in each["gateways"]}
    may_leave = [(section, name) for section, names in live.items() for name in names if name not in used]
    if may_leave:
        named = {name for each in stack["deployments"].values() for name in each.get("gateways", ())}
        may_leave = [each for each in may_leave if each[1] in stack[each[0]] or each[1] not in named]
    leaving = draw(st.sets(st.sampled_from(may_leave), max_size=2)) if may_leave else set[tuple[str, str]]()
    for section, name in leaving:  # what is created anew needs all of its fields
        if name in stack[section]:
            stack[section][name] = live[section][name]
    return Case(
        live,
        leaving,
        stack,
        draw(st.sampled_from([None, "team-a-"])),
        draw(st.booleans()),
        draw(st.integers(0, 7)),
        draw(st.booleans()),
    )


def _draw_section(
    draw: st.DrawFn, section: str, names: Sequence[str], old: "Fields | None", new: "Fields", live: Any, stack: Any
) -> None:
    for name in names:
        exists, wanted = old is not None and draw(st.booleans()), draw(st.booleans())
        if old is not None and exists:
            live[section][name] = draw(old)
        if wanted:
            fields: Entry = draw(st.just(live[section][name]) | new) if exists else draw(new)
            if exists and draw(st.booleans()):
                fields = {key: fields[key] for key in draw(st.sets(st.sampled_from([*fields])))}
            stack[section][name] = fields


def build(case: Case) -> MemoryApi:
    """Return an API with the live state of a case."""
    api = MemoryApi(ready_after=5)
    for name, fields in case.live["capacity_claims"].items():
        case.ids[name] = api(types.CreateCapacityClaimRequest(name=name, **_enums(fields))).capacity_claim.spec.id
    for name, fields in case.live["gateways"].items():
        case.ids[name] = api(types.CreateGatewayRequest(name=name, **_enums(fields))).gateway.spec.id
    for name, fields in case.live["deployments"].items():
        others = {key: value for key, value in fields.items() if key != "gateways"}
        ids = [case.ids[each] for each in fields["gateways"]]
        request = types.CreateDeploymentRequest(name=name, gateway_ids=ids, **_enums(others))
        case.ids[name] = api(request).deployment.spec.id
    api.pass_time(60)
    requests: Mapping[str, Any] = {
        "capacity_claims": types.DeleteCapacityClaimRequest,
        "gateways": types.DeleteGatewayRequest,
        "deployments": types.DeleteDeploymentRequest,
    }
    for section, name in sorted(case.leaving):
        api(requests[section](id=case.ids[name]))
    return api


def _enums(fields: Any) -> Any:
    """Return fields with the full names of enum values, as the constructors of messages want them."""
    prefixes = {"RESERVED": "CAPACITY_CLASS_", "ON_DEMAND": "CAPACITY_CLASS_", "MANAGED": "CAPACITY_TYPE_"}
    prefixes |= {"OPENAI": "API_TYPE_", "ASYNC": "TRANSITION_MODE_"}
    if isinstance(fields, Mapping):
        return {key: _enums(each) for key, each in cast(Mapping[str, Any], fields).items()}
    if isinstance(fields, list):
        items: list[Any] = fields
        return [_enums(each) for each in items]
    return prefixes.get(fields, "") + fields if isinstance(fields, str) else fields


def state_of(api: MemoryApi) -> dict[str, dict[str, Any]]:
    """Return all resources, by section and name."""
    return {
        "capacity_claims": {e.spec.name: e for e in api(types.ListCapacityClaimsRequest()).capacity_claims},
        "gateways": {each.spec.name: each for each in api(types.ListGatewaysRequest()).items},
        "deployments": {each.spec.name: each for each in api(types.ListDeploymentsRequest()).items},
    }


def is_reached(case: Case, state: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether all that a stack says is so, as seen without the library's own comparison."""
    names = {each.spec.id: name for name, each in state["gateways"].items()}
    for section, entries in case.stack.items():
        for name, fields in entries.items():
            found = state[section].get(name)
            if found is None or found.status.status == types.Status.STATUS_DELETING:
                return False
            spec = plain(found.spec)
            if section == "deployments":
                spec["gateways"] = [names[each] for each in spec["gateway_ids"]]
            if not _has(spec, fields):
                return False
    return True


def _has(spec: Any, fields: Any, key: str = "") -> bool:
    if isinstance(fields, dict):
        spec = {} if spec is None else spec
        return all(_has(spec.get(each), value, each) for each, value in cast(dict[str, Any], fields).items())
    if key == "additional_dns":
        return {*fields} <= {*(spec or ())}
    if key in ("gateways", "zones", "allowed_source_ip_ranges"):
        return {*fields} == {*(spec or ())}
    return bool((spec or type(fields)()) == fields)
