"""Plans: what they say, what is refused, when they are out of date, and in which order they are applied."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from cwinference import Plan, Stack, State, errors, types
from cwinference._places import parse_json
from cwinference.emulator import Fate
from cwinference.stacks import FieldChange, PlanStep
from tests.support.memory_client import MemoryApi
from tests.support.random_stacks import state_of
from tests.support.specs import CLAIM, FRONT, LLAMA

HOT_LOAD = {"bucket": "snapshots", "transition_mode": "ASYNC"}
LLAMA_IN_STACK = {"gateways": ["front"], **LLAMA, "traffic": {"weight": 100}}
WHOLE: dict[str, Any] = {
    "capacity_claims": {"prod": {"resources": CLAIM}},
    "gateways": {"front": {"zones": ["US-EAST-04A"], **FRONT}},
    "deployments": {"llama": LLAMA_IN_STACK},
}


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi(ready_after=5)


def apply(api: MemoryApi, stack: dict[str, Any], **how: Any) -> Plan:
    """Plan and apply, and return the plan."""
    plan = api.client.plan(Stack.parse(stack), **{key: how.pop(key) for key in ("prune", "secrets") if key in how})
    api.calls.clear()
    api.client.apply(plan, **how)
    return plan


def stack_of(**deployments: dict[str, Any]) -> dict[str, Any]:
    return {"deployments": deployments}


def live(api: MemoryApi, kind: str, name: str) -> Any:
    return state_of(api)[kind][name]


def test_a_plan_is_true_as_long_as_there_is_something_to_do(api: MemoryApi) -> None:
    plan = api.client.plan(Stack.parse(WHOLE))
    assert plan
    assert [(each.action, each.kind, each.name, each.id) for each in plan.steps] == [
        ("create", "capacity_claim", "prod", None),
        ("create", "gateway", "front", None),
        ("create", "deployment", "llama", None),
    ]
    assert api.writes == []
    done = api.client.apply(plan)
    assert [each.id for each in done] == [
        live(api, section, name).spec.id
        for section, name in (("capacity_claims", "prod"), ("gateways", "front"), ("deployments", "llama"))
    ]
    assert api.writes == ["CreateCapacityClaim", "CreateGateway", "CreateDeployment"]
    again = api.client.plan(Stack.parse(WHOLE))
    assert not again
    assert (str(again), len(again), again.summary) == ("Everything is as the stack says.", 0, "nothing to do")
    assert api.client.apply(again) == []


def test_a_plan_says_what_why_and_both_values(api: MemoryApi) -> None:
    apply(api, WHOLE | stack_of(llama=LLAMA_IN_STACK, **{"team-a-old": {**LLAMA_IN_STACK, "traffic": {}}}))
    stack = {
        "gateways": {"back": {"zones": [], **FRONT}},
        "deployments": {
            "llama": {
                "gateways": ["front", "back"],
                "autoscaling": {"max": 8, "capacity_classes": ["ON_DEMAND"]},
                "runtime": {"engine_config": {"max-model-len": "8192"}, "engine_env": {"HF_TOKEN": "hunter2"}},
            }
        },
    }
    plan = api.client.plan(Stack.parse(stack), prune="team-a-")
    assert (
        str(plan)
        == """\
+ create gateway back: it does not exist
    core_weave_auth: {}
    body_based_routing: {"api_type": "OPENAI"}
~ update deployment llama: gateways, runtime, autoscaling differ
    gateways: ["front"] -> ["front", "back"]
    runtime.engine_config['max-model-len']: nothing -> "8192"
    runtime.engine_env['HF_TOKEN'] (not shown)
    autoscaling.max: 4 -> 8
    autoscaling.capacity_classes: [] -> ["CAPACITY_CLASS_ON_DEMAND"]
- delete deployment team-a-old: the stack does not have it, and its name begins with 'team-a-'

Plan: 1 to create, 1 to update, 1 to delete."""
    )
    assert plan.steps[1].changes[3] == FieldChange("autoscaling.max", 4, 8)
    path, old, new = plan.steps[1].changes[3]
    assert (path, old, new) == ("autoscaling.max", 4, 8)
    assert plan.steps[1].id == live(api, "deployments", "llama").spec.id
    assert api.client.plan(Stack.parse(stack), "team-a-") == plan
    assert "hunter2" not in str(plan) + repr(plan) + repr(plan.steps)
    assert repr(plan) == "<Plan: 1 to create, 1 to update, 1 to delete>"


def test_defaults_of_the_server_and_what_the_stack_does_not_say_make_no_change(api: MemoryApi) -> None:
    apply(api, WHOLE)
    api.client.deployments.modify(live(api, "deployments", "llama").spec.id, autoscaling={"priority": 7}, disabled=True)
    assert not api.client.plan(Stack.parse(WHOLE))
    assert not api.client.plan(Stack.parse({"gateways": {"front": {}}, "deployments": {"llama": {"traffic": {}}}}))


def test_json_of_a_plan_is_read_back_and_applied(api: MemoryApi) -> None:
    plan = api.client.plan(Stack.parse(WHOLE))
    text = plan.to_json()
    assert Plan.from_json(text) == Plan.from_json(text.encode()) == plan
    assert Plan.from_json(text).to_json() == text
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301
    document = parse_json(text).value
    assert document["cwinference_plan"] == 1
    assert document["steps"][0]["changes"][0] == {
        "path": "resources.instance_id",
        "old": None,
        "new": CLAIM["instance_id"],
    }
    api.client.apply(Plan.from_json(text))
    assert not api.client.plan(Stack.parse(WHOLE))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace('"weight": 100', '"weight": 99'), "plan was edited after it was made"),
        (lambda text: text.replace('"prune": null', '"prune": ""'), "plan was edited after it was made"),
        (lambda text: text.replace('"refusal": null', '"refusal": "no"', 1), "plan was edited after it was made"),
        (lambda text: text.replace('"cwinference_plan": 1', '"cwinference_plan": 2'), "another release of cwinference"),
        (lambda text: text[:-20], "plan is not JSON"),
        (lambda _: "version: 1", "plan is not JSON"),
        (lambda _: '{"version": 1, "gateways": {}}', "this is no plan"),
        (lambda _: "[]", "this is no plan"),
        (lambda _: '{"cwinference_plan": 1}', "plan was edited after it was made"),
        (lambda _: None, "plan is not JSON"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_plan_any_more_is_refused(api: MemoryApi, edit: Callable[[str], Any], message: str) -> None:
    text = api.client.plan(Stack.parse(WHOLE)).to_json()
    with pytest.raises(errors.ConfigurationError, match=message):
        Plan.from_json(edit(text))


def test_a_plan_with_a_digest_but_without_its_parts_is_refused() -> None:
    from cwinference.stacks._plan import _digest

    whole: dict[str, Any] = {"stack": {}, "prune": None, "secrets": False, "seen": [], "steps": []}
    broken: list[dict[str, Any]] = [
        {"stack": {}},
        whole | {"prune": 3},
        whole | {"secrets": "no"},
        whole | {"steps": [3]},
        whole | {"steps": [{"action": "drop", "kind": "a", "name": "b", "id": None, "changes": [], "reason": ""}]},
        whole | {"stack": {"x": 1}},
        whole | {"seen": [{"kind": "a"}]},
    ]
    for content in broken:
        text = json.dumps({"cwinference_plan": 1, "digest": _digest(content), **content})
        with pytest.raises(errors.ConfigurationError, match="parts of it are missing"):
            Plan.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda api: _modify(api, autoscaling={"max": 9}), "deployment llama was changed"),
        (lambda api: _modify(api, name="lama"), "deployment llama was renamed to lama"),
        (lambda api: _delete(api, "llama"), "deployment llama was deleted"),
        (lambda api: api.client.gateways.create("back", **FRONT), "gateway back was created"),
        (lambda api: _create(api, "team-a-late"), "deployment team-a-late was created"),
        (lambda api: _delete(api, "team-a-old"), "deployment team-a-old was deleted"),
        (lambda api: _front(api, zones=[]), "gateway front was changed"),
    ],
)  # fmt: skip
def test_a_plan_is_out_of_date_once_something_that_it_depends_on_has_changed(
    api: MemoryApi, change: Callable[[MemoryApi], object], message: str
) -> None:
    apply(api, WHOLE)
    _create(api, "team-a-old")
    stack = {"gateways": {"back": FRONT}, "deployments": {"llama": {"traffic": {"weight": 1}}, "new": LLAMA_IN_STACK}}
    plan = api.client.plan(Stack.parse(stack), prune="team-a-")
    change(api)
    before = state_of(api)
    api.calls.clear()
    with pytest.raises(errors.PlanOutdated) as caught:
        api.client.apply(plan)
    assert caught.value.changed == (message,)
    assert message in str(caught.value)
    assert (api.writes, state_of(api)) == ([], before)
    assert pickle.loads(pickle.dumps(caught.value)).changed == (message,)  # noqa: S301


def _modify(api: MemoryApi, **changes: Any) -> None:
    api.client.deployments.modify(live(api, "deployments", "llama").spec.id, **changes)


def _front(api: MemoryApi, **changes: Any) -> None:
    api.client.gateways.modify(live(api, "gateways", "front").spec.id, **changes)


def _delete(api: MemoryApi, name: str) -> None:
    api.client.deployments.delete(live(api, "deployments", name).spec.id)


def _create(api: MemoryApi, name: str) -> None:
    api.client.deployments.create(name, gateway_ids=[live(api, "gateways", "front").spec.id], **LLAMA)


def test_a_gateway_that_is_gone_makes_a_plan_out_of_date(api: MemoryApi) -> None:
    front = api.client.gateways.create("front", **FRONT)
    plan = api.client.plan(Stack.parse(stack_of(llama=LLAMA_IN_STACK)))
    api.client.gateways.delete(front.spec.id)
    with pytest.raises(errors.PlanOutdated, match="gateway front was deleted"):
        api.client.apply(plan)


def test_a_reason_is_in_the_number_of_its_field(api: MemoryApi) -> None:
    apply(api, {"gateways": {"front": FRONT}})
    (step,) = api.client.plan(Stack.parse({"gateways": {"front": {"zones": ["US-EAST-04A"]}}})).steps
    assert step.reason == "zones differ"


def test_status_order_and_what_others_do_elsewhere_do_not_make_a_plan_out_of_date(api: MemoryApi) -> None:
    apply(api, {**WHOLE, "gateways": {**WHOLE["gateways"], "back": FRONT}}, wait=False)
    apply(api, stack_of(llama={"gateways": ["back"]}), wait=False)
    front = live(api, "gateways", "front")
    plan = api.client.plan(
        Stack.parse(stack_of(llama={"gateways": ["front"], "traffic": {"weight": 0}})), prune="team-a-"
    )
    assert "all weights of org/llama are 0" in plan.steps[0].reason
    api.pass_time(60)
    api.client.gateways.update(front.spec.id, spec=front.spec)
    _create(api, "of-others")
    api.client.capacity_claims.ensure("prod", resources={"instance_count": 9})
    api.client.gateways.modify(live(api, "gateways", "back").spec.id, name="rear")
    api.client.deployments.modify(live(api, "deployments", "of-others").spec.id, traffic={"weight": 5})
    api.client.apply(plan)
    assert live(api, "deployments", "llama").spec.traffic.weight == 0


@pytest.mark.parametrize(
    ("read", "change", "message"),
    [
        (
            "GetDeployment",
            lambda api: _modify(api, autoscaling={"max": 9}),
            "deployment llama: somebody else has changed",
        ),
        ("GetDeployment", lambda api: _delete(api, "llama"), "deployment llama: somebody else has deleted it"),
        ("ListDeployments", lambda api: _create(api, "new"), "deployment new: somebody else has created it"),
    ],
)
def test_a_foreign_change_in_the_middle_stops_the_plan(
    api: MemoryApi, read: str, change: Callable[[MemoryApi], object], message: str
) -> None:
    apply(api, WHOLE)
    stack = {
        "capacity_claims": {"more": {"resources": CLAIM}},
        "deployments": {"new": LLAMA_IN_STACK, "llama": {"traffic": {"weight": 1}}},
    }
    plan = api.client.plan(Stack.parse(stack))

    def interfere(name: str, request: Message) -> None:
        if name == read and "CreateCapacityClaim" in api.writes:
            api.before_call = lambda name, request: None
            change(api)

    api.calls.clear()
    api.before_call = interfere
    with pytest.raises(errors.Conflict, match=message) as caught:
        api.client.apply(plan)
    assert [each.title for each in caught.value.steps_done][:1] == ["create capacity claim more"]
    assert caught.value.steps_left
    assert "Done: create capacity claim more" in caught.value.__notes__[0]
    assert pickle.loads(pickle.dumps(caught.value)).steps_left == caught.value.steps_left  # noqa: S301


def test_one_that_is_created_between_the_read_and_the_write_is_a_conflict(api: MemoryApi) -> None:
    plan = api.client.plan(Stack.parse({"gateways": {"front": FRONT}}))

    def interfere(name: str, request: Message) -> None:
        if name == "CreateGateway":
            api.before_call = lambda name, request: None
            api.client.gateways.create("front", **FRONT)

    api.before_call = interfere
    with pytest.raises(errors.Conflict, match="gateway front: somebody else has created it"):
        api.client.apply(plan)


def test_each_write_is_preceded_by_a_read_of_what_it_is_based_on(api: MemoryApi) -> None:
    apply(api, WHOLE)
    stack = {
        "gateways": {"front": {"zones": []}},
        "deployments": {"llama": {"traffic": {"weight": 1}}, "new": LLAMA_IN_STACK},
    }
    plan = api.client.plan(Stack.parse(stack), prune="prod")
    api.calls.clear()
    api.client.apply(plan, wait=False)
    reads = ["ListCapacityClaims", "ListGateways", "ListDeployments"]
    assert (
        api.calls
        == [
            *reads,
            *("GetGateway", "UpdateGateway"),
            *("ListDeployments", "CreateDeployment"),
            *("GetDeployment", "GetDeployment", "GetDeployment", "UpdateDeployment"),  # the new one takes the traffic
            *("GetCapacityClaim", "DeleteCapacityClaim"),
        ]
        or api.calls[-4:] == ["GetDeployment", "UpdateDeployment", "GetCapacityClaim", "DeleteCapacityClaim"]
    )


def test_nothing_is_deleted_without_a_prefix_and_nothing_else_with_one(api: MemoryApi) -> None:
    apply(api, WHOLE | {"gateways": {**WHOLE["gateways"], "team-a-gw": FRONT}})
    _create(api, "team-a-old")
    _create(api, "team-ab")
    assert not api.client.plan(Stack.parse({}))
    plan = apply(api, {}, prune="team-a-")
    assert [each.title for each in plan.steps] == ["delete deployment team-a-old", "delete gateway team-a-gw"]
    assert {name for found in state_of(api).values() for name in found} == {"front", "llama", "prod", "team-ab"}
    for prefix in ("", 3, True):
        with pytest.raises(errors.ConfigurationError, match="^prune"):
            api.client.plan(Stack.parse({}), prune=prefix)  # type: ignore[arg-type]  # pyright: ignore


def test_a_gateway_that_others_use_is_not_deleted(api: MemoryApi) -> None:
    apply(api, WHOLE)
    plan = api.client.plan(Stack.parse({}), prune="front")
    assert plan.steps[0].refusal == "it is in use by deployment llama, which would remain"
    assert "    refused: it is in use by" in str(plan)
    assert str(plan).endswith("Plan: 1 to delete, but it is refused.")
    with pytest.raises(
        errors.ConfigurationError, match="plan: delete gateway front is refused: it is in use by"
    ) as caught:
        api.client.apply(plan)
    assert api.writes[3:] == []
    assert caught.value.for_command is not None
    moved = {"gateways": {"back": FRONT}, "deployments": {"llama": {"gateways": ["back"]}}}
    plan = apply(api, moved, prune="front")
    assert [each.title for each in plan.steps] == [
        "create gateway back",
        "update deployment llama",
        "delete gateway front",
    ]


def test_a_deployment_that_comes_to_use_a_gateway_in_the_middle_stops_its_deletion(api: MemoryApi) -> None:
    apply(api, WHOLE | {"gateways": {**WHOLE["gateways"], "old": FRONT}})
    plan = api.client.plan(Stack.parse({"gateways": {"front": {"zones": []}}}), prune="old")

    def interfere(name: str, request: Message) -> None:
        if name == "UpdateGateway":
            api.client.deployments.create("late", gateway_ids=[live(api, "gateways", "old").spec.id], **LLAMA)

    api.before_call = interfere
    with pytest.raises(errors.Conflict, match="gateway old: Deployment late has come to use it"):
        api.client.apply(plan)
    assert "old" in state_of(api)["gateways"]


def test_a_deployment_that_uses_a_gateway_since_the_plan_makes_it_out_of_date(api: MemoryApi) -> None:
    old = api.client.gateways.create("old", **FRONT)
    plan = api.client.plan(Stack.parse({}), prune="old")
    api.client.deployments.create("late", gateway_ids=[old.spec.id], **LLAMA)
    with pytest.raises(errors.PlanOutdated, match="deployment late was created"):
        api.client.apply(plan)


def test_nothing_is_replaced_without_the_flag(api: MemoryApi) -> None:
    entry = {"gateways": ["front"], **LLAMA, "hot_load": HOT_LOAD, "autoscaling": {"min": 1, "max": 4, "priority": 3}}
    apply(api, {"gateways": WHOLE["gateways"], "deployments": {"llama": entry}})
    before = live(api, "deployments", "llama").spec
    other = {"gateways": ["front"], **LLAMA, "hot_load": {**HOT_LOAD, "bucket": "other"}}
    plan = api.client.plan(Stack.parse(stack_of(llama=other)))
    assert [(each.action, each.changes) for each in plan.steps] == [
        ("replace", (FieldChange("hot_load.bucket", "snapshots", "other"),))
    ]
    assert "hot_load cannot change" in plan.steps[0].reason
    api.calls.clear()
    with pytest.raises(errors.ConfigurationError, match="if that is meant, pass allow_replace=True"):
        api.client.apply(plan)
    assert api.calls == []
    api.client.apply(plan, allow_replace=True)
    assert api.writes == ["DeleteDeployment", "CreateDeployment"]
    after = live(api, "deployments", "llama").spec
    assert (after.hot_load.bucket, after.autoscaling.priority) == ("other", 3)
    assert after.id != before.id


def test_a_replacement_that_could_not_be_created_anew_is_refused_before_anything_is_deleted(api: MemoryApi) -> None:
    apply(api, {"gateways": WHOLE["gateways"], "deployments": {"llama": {**LLAMA_IN_STACK, "hot_load": HOT_LOAD}}})
    plan = api.client.plan(Stack.parse(stack_of(llama={"hot_load": {"bucket": "other"}})))
    assert plan.steps[0].refusal == (
        "deployments.llama: to create it, the stack must also have gateway_ids, runtime, resources, model, autoscaling"
    )
    with pytest.raises(errors.ConfigurationError, match="is refused"):
        api.client.apply(plan, allow_replace=True)


def test_a_replacement_that_failed_in_the_middle_says_so_and_is_completed_by_a_rerun(api: MemoryApi) -> None:
    entry = {**LLAMA_IN_STACK, "hot_load": HOT_LOAD}
    apply(api, {"gateways": WHOLE["gateways"], "deployments": {"llama": entry}})
    stack = stack_of(llama={**entry, "hot_load": {**HOT_LOAD, "bucket": "other"}})
    plan = api.client.plan(Stack.parse(stack))

    def fail(name: str, request: Message) -> None:
        if name == "CreateDeployment":
            raise errors.Unavailable("down")

    api.before_call = fail
    with pytest.raises(errors.Unavailable) as caught:
        api.client.apply(plan, allow_replace=True)
    assert caught.value.__notes__[0].startswith("llama was deleted, and not created anew")
    api.before_call = lambda name, request: None
    assert [each.action for each in apply(api, stack).steps] == ["create"]
    assert live(api, "deployments", "llama").spec.hot_load.bucket == "other"


def test_what_has_fields_that_this_release_does_not_know_is_never_overwritten(api: MemoryApi) -> None:
    apply(api, WHOLE)
    llama = live(api, "deployments", "llama").spec
    api.newer = {llama.id}
    assert not api.client.plan(Stack.parse(WHOLE))
    plan = api.client.plan(Stack.parse(stack_of(llama={"traffic": {"weight": 1}})))
    assert plan.steps[0].refusal == (
        "it has fields that this release does not know: spec.priority_class; upgrade cwinference"
    )
    with pytest.raises(errors.ConfigurationError, match="fields that this release does not know"):
        api.client.apply(Plan.from_json(plan.to_json()))
    assert live(api, "deployments", "llama").spec == llama
    assert api.client.export().notes == (
        "deployment llama also has fields that this release does not know: spec.priority_class",
    )
    assert api.client.export(["front"]).notes == ()
    api.newer = {live(api, "gateways", "front").spec.id}
    apply(api, stack_of(llama={"traffic": {"weight": 1}}))
    assert live(api, "deployments", "llama").spec.traffic.weight == 1


def test_a_field_that_is_new_in_the_middle_stops_the_plan(api: MemoryApi) -> None:
    apply(api, WHOLE)
    plan = api.client.plan(Stack.parse(stack_of(llama={"traffic": {"weight": 1}})))
    api.newer = {live(api, "deployments", "llama").spec.id}
    with pytest.raises(errors.PlanOutdated, match="deployment llama was changed"):
        api.client.apply(plan)
    assert live(api, "deployments", "llama").spec.traffic.weight == 100


def test_secrets_are_sent_and_never_shown(
    api: MemoryApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    auth = {"api_key": {"env": "WANDB_API_KEY"}, "server_url": "https://wandb.example.com"}
    stack = {"gateways": {"bees": {"weights_and_biases_auth": auth, "path_based_routing": {}}}}
    sent = list[str]()

    def note(name: str, request: Any) -> None:
        if name in ("CreateGateway", "UpdateGateway"):
            sent.append(request.weights_and_biases_auth.api_key)

    api.before_call = note
    plan = api.client.plan(Stack.parse(stack))
    assert plan.steps[0].changes[-1] == FieldChange(
        "weights_and_biases_auth.api_key", None, "the secret of env WANDB_API_KEY"
    )
    api.client.apply(plan)
    assert sent == ["hunter2"]
    assert not api.client.plan(Stack.parse(stack))
    forced = api.client.plan(Stack.parse(stack), secrets=True)
    assert [each.action for each in forced.steps] == ["update"]
    api.client.apply(Plan.from_json(forced.to_json()))
    wider = {"gateways": {"bees": {**stack["gateways"]["bees"], "zones": ["US-EAST-04A"]}}}
    apply(api, wider)
    assert sent == ["hunter2"] * 3
    exported = api.client.export()
    assert exported.notes == ("gateway bees may have an api_key, which the API never shows: api_key: {env: NAME}",)
    assert "update gateway bees" in caplog.text
    for shown in (
        caplog.text,
        plan.to_json(),
        str(plan),
        repr(plan),
        repr(plan.steps),
        repr(plan.stack.gateways),
        exported.dump(),
    ):
        assert "hunter2" not in shown


def test_a_secret_that_is_missing_is_named_before_anything_is_written(
    api: MemoryApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    auth = {"api_key": {"env": "WANDB_API_KEY"}}
    plan = api.client.plan(
        Stack.parse({"gateways": {"bees": {"weights_and_biases_auth": auth, "path_based_routing": {}}}})
    )
    missing = "gateways.bees.weights_and_biases_auth.api_key: env WANDB_API_KEY is not set, or empty"
    assert f"plan: apply would be refused here: {missing}" in caplog.text
    with pytest.raises(errors.ConfigurationError, match=missing):
        api.client.apply(plan)
    assert api.writes == []


def test_an_error_of_a_write_with_a_secret_does_not_show_it(api: MemoryApi, monkeypatch: pytest.MonkeyPatch) -> None:
    import traceback

    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    auth = {"api_key": {"env": "WANDB_API_KEY"}}
    plan = api.client.plan(
        Stack.parse({"gateways": {"bees": {"weights_and_biases_auth": auth, "path_based_routing": {}}}})
    )

    def fail(name: str, request: Message) -> None:
        if name == "CreateGateway":
            raise errors.InvalidArgument("no")

    api.before_call = fail
    with pytest.raises(errors.InvalidArgument) as caught:
        api.client.apply(plan)
    error: BaseException = caught.value
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame.f_locals for frame in frames if "/cwinference/" in frame.f_code.co_filename]
    assert "hunter2" not in repr(ours) + repr(error) + str(error) + repr(error.__notes__) + repr(
        caught.value.steps_left
    )


def test_a_key_that_no_read_shows_is_not_reset_by_an_update(api: MemoryApi) -> None:
    api.client.gateways.create("bees", weights_and_biases_auth={}, path_based_routing={})
    plan = api.client.plan(Stack.parse({"gateways": {"bees": {"zones": ["US-EAST-04A"]}}}))
    assert "the gateway's key is write-only" in (plan.steps[0].refusal or "")
    apply(api, {"gateways": {"bees": {"zones": ["US-EAST-04A"], "weights_and_biases_auth": {}}}})
    assert [*live(api, "gateways", "bees").spec.zones] == ["US-EAST-04A"]


def test_a_hot_load_in_progress_blocks_before_anything_is_written(api: MemoryApi) -> None:
    apply(api, {"gateways": WHOLE["gateways"], "deployments": {"llama": {**LLAMA_IN_STACK, "hot_load": HOT_LOAD}}})
    llama = live(api, "deployments", "llama").spec.id
    hot_load = api.client.hot_loads.create(llama, identity="one", type=types.SnapshotType.SNAPSHOT_TYPE_FULL)
    stack = {"capacity_claims": WHOLE["capacity_claims"], "deployments": {"llama": {"traffic": {"weight": 1}}}}
    plan = api.client.plan(Stack.parse(stack))
    api.calls.clear()
    with pytest.raises(errors.FailedPrecondition, match=f"hot-load {hot_load.spec.id} is in progress") as caught:
        api.client.apply(plan)
    assert (api.writes, caught.value.resource_id) == ([], llama)
    api.pass_time(3600)
    api.client.apply(plan)


@pytest.mark.parametrize("wait", [True, False])
def test_of_several_deployments_of_a_model_one_is_replaced_after_the_other(api: MemoryApi, wait: bool) -> None:
    entry = {**LLAMA_IN_STACK, "hot_load": HOT_LOAD}
    apply(api, {"gateways": WHOLE["gateways"], "deployments": {"one": entry, "two": entry}})
    other = {**entry, "hot_load": {**HOT_LOAD, "bucket": "other"}}
    plan = api.client.plan(Stack.parse(stack_of(one=other, two=other)))
    serving = list[list[str]]()

    def note(name: str, request: Message) -> None:
        if name == "DeleteDeployment":
            found = state_of(api)["deployments"].items()
            serving.append([name for name, each in found if State.of(each) is State.READY])

    api.before_call = note
    api.client.apply(plan, allow_replace=True, wait=wait)
    assert serving == [["one", "two"], ["two", "one"]]


def test_a_write_whose_response_was_lost_is_not_said_to_be_undone(api: MemoryApi) -> None:
    apply(api, WHOLE)
    plan = api.client.plan(Stack.parse(stack_of(llama={"traffic": {"weight": 1}}, new=LLAMA_IN_STACK)))

    def lose(name: str, request: Message) -> None:
        if name == "CreateDeployment":
            raise errors.Unavailable("connection lost", method=name)

    api.after_call = lose
    with pytest.raises(errors.Unavailable) as caught:
        api.client.apply(plan)
    assert caught.value.__notes__ == [
        "Done: nothing. Not done: update deployment llama. Unknown, because the response was lost: "
        "create deployment new. To go on, plan again and apply."
    ]
    assert [each.name for each in caught.value.steps_left] == ["new", "llama"]


class ListsWithoutStates(MemoryApi):
    """An API whose lists of hot-loads do not show their states."""

    def __call__(self, request: Message) -> Any:
        response = super().__call__(request)
        if isinstance(response, types.ListHotLoadsResponse):
            response = copy.deepcopy(response)
            for each in response.hot_loads:
                each.ClearField("status")
        return response


@pytest.mark.parametrize("begins", ["before the plan is applied", "while it is"])
@pytest.mark.parametrize("prune", ["nothing", "llama"])
def test_a_hot_load_in_progress_blocks_whenever_it_began_and_whatever_lists_show(begins: str, prune: str) -> None:
    api = ListsWithoutStates(ready_after=5)
    apply(api, {"gateways": WHOLE["gateways"], "deployments": {"llama": {**LLAMA_IN_STACK, "hot_load": HOT_LOAD}}})
    llama = live(api, "deployments", "llama").spec
    change = {} if prune == "llama" else stack_of(llama={"traffic": {"weight": 1}})
    plan = api.client.plan(Stack.parse({"capacity_claims": WHOLE["capacity_claims"], **change}), prune=prune)
    started = list[types.HotLoad]()

    def start(name: str, request: Message) -> None:
        if not started and (begins == "before the plan is applied" or name == "CreateCapacityClaim"):
            started.append(types.HotLoad())
            api.client.hot_loads.create(llama.id, identity="one", type=types.SnapshotType.SNAPSHOT_TYPE_FULL)

    api.calls.clear()
    api.before_call = start
    with pytest.raises(errors.FailedPrecondition, match="Deployment llama: hot-load .* is in progress") as caught:
        api.client.apply(plan, wait=False)
    assert caught.value.resource_id == llama.id
    assert [each for each in api.writes if each.endswith("Deployment")] == []
    assert live(api, "deployments", "llama").spec == llama


def test_what_is_missing_to_create_something_is_named_by_the_plan(api: MemoryApi) -> None:
    for stack, message in (
        (
            stack_of(llama={"gateways": ["front"]}),
            "deployments.llama.gateways: there is no gateway 'front', neither in",
        ),
        (stack_of(llama={"gateway_ids": ["x"]}), "deployments.llama.gateway_ids: there is no gateway with the id 'x'"),
        (stack_of(llama=LLAMA), "deployments.llama: to create it, the stack must also have gateway_ids"),
        ({"gateways": {"front": {}}}, "core_weave_auth or weights_and_biases_auth, body_based_routing or header_based"),
        ({"capacity_claims": {"prod": {}}}, "capacity_claims.prod: to create it, the stack must also have resources"),
    ):
        with pytest.raises(errors.ConfigurationError) as caught:
            api.client.plan(Stack.parse(stack))
        assert message in str(caught.value)


def test_gateways_are_named_by_name_or_id(api: MemoryApi) -> None:
    front = api.client.gateways.create("front", **FRONT)
    apply(
        api, stack_of(one={**LLAMA, "gateways": [front.spec.id.upper()]}, two={**LLAMA, "gateway_ids": [front.spec.id]})
    )
    assert not api.client.plan(Stack.parse(stack_of(one={"gateways": ["front"]}, two={"gateways": [front.spec.id]})))


def test_one_that_is_being_deleted_is_awaited_and_created_anew(api: MemoryApi) -> None:
    apply(api, {"gateways": WHOLE["gateways"]})
    old = live(api, "gateways", "front").spec.id
    api.client.gateways.delete(old)
    plan = api.client.plan(Stack.parse({"gateways": WHOLE["gateways"]}))
    assert plan.steps[0].reason == "the one of that name is being deleted"
    api.client.apply(plan, wait=False)
    assert live(api, "gateways", "front").spec.id != old
    assert sum(api.clock.slept) >= 5


def test_without_wait_it_returns_when_everything_is_written(api: MemoryApi) -> None:
    plan = api.client.plan(Stack.parse(WHOLE))
    api.client.apply(plan, wait=False)
    assert api.clock.slept == []
    assert live(api, "deployments", "llama").status.status == types.Status.STATUS_CREATING


def test_traffic_is_taken_away_only_when_another_deployment_is_ready_for_it(api: MemoryApi) -> None:
    apply(api, WHOLE)
    stack = stack_of(llama={"traffic": {"weight": 0}}, better=LLAMA_IN_STACK)
    seen = list[str]()

    def note(name: str, request: Any) -> None:
        if name == "UpdateDeployment":
            seen.append(types.Status.Name(live(api, "deployments", "better").status.status))

    plan = api.client.plan(Stack.parse(stack))
    assert [each.title for each in plan.steps] == ["create deployment better", "update deployment llama"]
    api.before_call = note
    api.client.apply(plan, wait=False)
    assert seen == ["STATUS_READY"]


def test_a_rerun_waits_for_what_an_earlier_one_has_written(api: MemoryApi) -> None:
    apply(api, WHOLE)
    stack = stack_of(llama={"traffic": {"weight": 0}}, better=LLAMA_IN_STACK)

    def fail(name: str, request: Message) -> None:
        if name == "CreateDeployment":
            raise errors.Unavailable("lost")

    api.after_call = fail
    with pytest.raises(errors.Unavailable):
        apply(api, stack, wait=False)
    seen = list[str]()

    def note(name: str, request: Message) -> None:
        if name == "UpdateDeployment":
            seen.append(types.Status.Name(live(api, "deployments", "better").status.status))

    api.before_call, api.after_call = note, lambda name, request: None
    plan = apply(api, stack, wait=False)
    assert [each.title for each in plan.steps] == ["update deployment llama"]
    assert seen == ["STATUS_READY"]


def test_with_wait_all_that_the_stack_describes_is_ready_at_the_end(api: MemoryApi) -> None:
    apply(api, WHOLE, wait=False)
    assert not apply(api, WHOLE)
    assert live(api, "deployments", "llama").status.status == types.Status.STATUS_READY
    api.emulated.fates["llama"] = Fate("FAILED")
    _modify(api, disabled=False, traffic={"weight": 5})
    with pytest.raises(errors.ResourceFailed) as caught:
        apply(api, stack_of(llama={"traffic": {"weight": 5}}, other={**LLAMA, "gateways": ["front"]}))
    assert [each.title for each in caught.value.steps_done] == ["create deployment other"]
    apply(api, stack_of(llama={"traffic": {"weight": 5}}), wait=False)


def test_a_deployment_that_moves_and_gets_traffic_comes_before_one_that_loses_it(api: MemoryApi) -> None:
    apply(api, WHOLE | {"gateways": {**WHOLE["gateways"], "back": FRONT}})
    apply(api, stack_of(other={**LLAMA, "gateways": ["back"]}))
    stack = stack_of(llama={"traffic": {"weight": 0}}, other={"gateways": ["front"], "traffic": {"weight": 100}})
    plan = apply(api, stack)
    assert [each.title for each in plan.steps] == ["update deployment other", "update deployment llama"]


def test_a_plan_warns_when_all_weights_of_a_model_would_be_zero(api: MemoryApi) -> None:
    apply(api, WHOLE)
    plan = api.client.plan(Stack.parse(stack_of(llama={"disabled": True})))
    assert plan.steps[0].reason == "disabled differs; after it, all weights of org/llama are 0"


def test_steps_are_reported_as_they_are_written(api: MemoryApi) -> None:
    seen = list[PlanStep]()
    plan = api.client.plan(Stack.parse(WHOLE))
    done = api.client.apply(plan, on_step=seen.append)
    assert seen == done
    assert str(seen[1]) == "create gateway front (it does not exist)"


def test_one_timeout_covers_everything(api: MemoryApi) -> None:
    plan = api.client.plan(Stack.parse(WHOLE))
    with pytest.raises(errors.WaitTimeout) as caught:
        api.client.apply(plan, timeout=3)
    assert [each.title for each in caught.value.steps_done] == ["create capacity claim prod"]
    assert caught.value.resource_id == live(api, "capacity_claims", "prod").spec.id


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.plan("stack.yaml"), "stack: expected a Stack, got str; use Stack.load"),
        (lambda client: client.plan(Path("stack.yaml")), "stack: expected a Stack, got PosixPath; use Stack.load"),
        (lambda client: client.plan({}), "stack: expected a Stack, got dict; use Stack.parse"),
        (lambda client: client.plan(Stack.parse({}), secrets=1), "secrets: expected True or False"),
        (lambda client: client.apply(Stack.parse({})), "plan: expected a Plan, got Stack; use client.plan"),
        (lambda client: client.apply("{}"), "plan: expected a Plan, got str; use Plan.from_json"),
        (lambda client: client.apply(Plan(Stack.parse({}), [], []), wait=10), "wait: expected True or False, got 10"),
        (lambda client: client.apply(Plan(Stack.parse({}), [], []), on_step=3), "on_step: expected a function or None"),
        (lambda client: client.apply(Plan(Stack.parse({}), [], []), allow_replace=1), "allow_replace: expected True"),
        (lambda client: client.export("front"), "names: expected a list of names, got 'front'"),
        (lambda client: client.export([""]), "names must not be empty"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(
    api: MemoryApi, call: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        call(api.client)
    assert message in str(caught.value)
    assert api.calls == []


def test_an_export_of_names_has_those_of_all_kinds(api: MemoryApi) -> None:
    apply(api, WHOLE)
    assert {*api.client.export(["llama", "prod"]).to_dict()} == {"version", "capacity_claims", "deployments"}
    assert api.client.export(["llama"]).deployments["llama"]["gateways"] == ("front",)
    with pytest.raises(errors.NotFound, match="nothing has the name 'other'"):
        api.client.export(["llama", "other"])
