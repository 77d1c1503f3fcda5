"""What a rollout never does, rule by rule, in memory: with a fake clock, and an API that is a function call."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cwinference import State, errors, types
from cwinference.emulator.behavior import Behavior, Fate
from cwinference.rollout import Step
from cwinference.rollout._record import _checksum
from tests.support.rollouts import STEPS, RolloutWorld


@pytest.fixture
def world(tmp_path: Path) -> RolloutWorld:
    return RolloutWorld(tmp_path)


def always(verdict: Any) -> Callable[[Step], Any]:
    return lambda step: verdict


def test_a_rollout_climbs_step_by_step_and_is_promoted(world: RolloutWorld) -> None:
    steps = list[Step]()
    began = world.clock.now
    assert world.rollout(soak=60).run(on_step=steps.append) == "promoted"
    assert [(each.number, each.percent, each.new_weight, each.old_weight) for each in steps] == [
        (1, 1, 1, 99),
        (2, 5, 5, 95),
        (3, 25, 25, 75),
        (4, 100, 100, 0),
    ]
    assert world.weights == (100, 0)
    assert world.clock.now - began > 4 * 60, "each step soaks, also the last"
    assert str(steps[1]) == "step 2 of 4, 5 %: v2 has weight 5, v1 has 95"


def test_ids_work_in_place_of_names(world: RolloutWorld) -> None:
    rollout = world.client.rollout(world.v2, replaces=world.v1, journal=world.path, steps=[100], soak=0)
    assert rollout.run() == "promoted"
    assert world.weights == (100, 0)


def test_a_new_one_that_has_traffic_already_is_warned_of(world: RolloutWorld, caplog: pytest.LogCaptureFixture) -> None:
    assert world.rollout(soak=0, patience=0, gate=always("wait")).run() == "paused"
    assert "already" not in caplog.text
    other = world.client.rollout("v2", replaces="v1", journal=world.path.with_name("other.json"), soak=0)
    assert other.run() == "promoted"
    (warning,) = [each.getMessage() for each in caplog.records if "already" in each.getMessage()]
    assert "Deployment v2 has a part of the traffic already" in warning
    assert "restores v2 to weight 1 and v1 to 99" in warning


def test_nothing_is_sent_and_no_journal_is_made_before_it_runs(world: RolloutWorld) -> None:
    rollout = world.rollout()
    assert world.session.sent == []
    assert not world.path.exists()
    with pytest.raises(errors.ConfigurationError, match=r"revert: the rollout has not begun; run\(\) begins it"):
        rollout.revert()


def test_a_revert_restores_weights_autoscaling_and_disabled_exactly_and_again(world: RolloutWorld) -> None:
    rollout = world.rollout(soak=0)
    assert rollout.run() == "promoted"
    world.change(world.v1, autoscaling={"min": 1, "max": 1, "priority": 7}, disabled=True)
    world.change(world.v2, autoscaling={"max": 64})
    for _ in range(2):
        assert rollout.revert() == "reverted"
        assert world.specs() == world.former
    assert rollout.run() == "reverted"
    assert world.resumed().revert() == "reverted"


def test_a_revert_keeps_what_others_have_changed_elsewhere(world: RolloutWorld) -> None:
    rollout = world.rollout(soak=0)
    rollout.run()
    world.change(world.v1, runtime={"version": "0.23.0"})
    assert rollout.revert() == "reverted"
    assert world.specs()[1].runtime.version == "0.23.0"
    assert world.weights == (0, 100)


def test_a_gate_that_fails_reverts(world: RolloutWorld) -> None:
    verdicts = iter(["pass", "pass", "fail"])
    assert world.rollout(gate=lambda step: next(verdicts)).run() == "reverted"
    assert world.specs() == world.former
    assert world.phase() == "reverted"


def test_a_gate_that_waits_is_asked_again_after_a_soak_and_then_pauses_the_rollout(world: RolloutWorld) -> None:
    asked = list[float]()

    def gate(step: Step) -> Any:
        asked.append(world.clock.now)
        return "wait"

    rollout = world.rollout(gate=gate, soak=60, patience=150)
    assert rollout.run() == "paused"
    assert [round(each - asked[0]) for each in asked] == [0, 60, 120, 150]
    assert world.weights == (1, 99)
    assert rollout.run() == "paused", "it goes on where it was"
    assert world.resumed().run() == "promoted"


@pytest.mark.parametrize("soak", [0, 60])
def test_without_patience_one_wait_is_enough(world: RolloutWorld, soak: float) -> None:
    assert world.rollout(gate=always("wait"), soak=soak, patience=0).run() == "paused"


def test_a_gate_that_waits_without_a_soak_is_not_asked_without_a_pause(world: RolloutWorld) -> None:
    asked = list[float]()

    def gate(step: Step) -> Any:
        asked.append(world.clock.now)
        return "wait"

    world.rollout(gate=gate, soak=0, patience=5).run()
    assert [each - asked[0] for each in asked] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("verdict", [True, None, "passed", "PASS", 0])
def test_nothing_but_a_verdict_passes(world: RolloutWorld, verdict: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="gate: expected 'pass', 'fail' or 'wait', got"):
        world.rollout(gate=always(verdict)).run()
    assert (world.phase(), world.weights) == ("paused", (1, 99))


def test_a_gate_that_raises_pauses_the_rollout_and_raises_on(world: RolloutWorld) -> None:
    def gate(step: Step) -> Any:
        raise OSError("token CW-SECRET-abc refused")

    rollout = world.rollout(gate=gate)
    with pytest.raises(OSError, match="refused"):
        rollout.run()
    assert (world.phase(), world.weights) == ("paused", (1, 99))
    assert "refused" not in world.path.read_text()
    assert rollout.revert() == "reverted"


def test_the_default_gate_reverts_when_the_new_one_is_struck(world: RolloutWorld) -> None:
    world.api.emulated.fates["v2"] = Fate("ERROR", strikes_after=30)
    assert world.rollout().run() == "reverted"
    assert world.specs() == world.former


def test_a_new_one_that_fails_when_it_gets_traffic_is_reverted_whatever_the_gate_says(world: RolloutWorld) -> None:
    world.api.emulated.fates["v2"] = Fate("FAILED")
    assert world.rollout(gate=always("pass")).run() == "reverted"
    assert world.specs() == world.former
    assert ("v1", 99) not in world.updates, "nothing was taken from the old one"


def test_a_new_one_that_stays_in_error_gets_no_more_and_is_reverted(world: RolloutWorld) -> None:
    world.api.emulated.fates["v2"] = Fate("ERROR")
    assert world.rollout(gate=always("pass"), patience=50).run() == "reverted"
    assert world.updates == [("v2", 1), ("v2", 0)]
    assert world.clock.now < 1100


def test_a_new_one_that_is_never_ready_gets_no_more_and_pauses_the_rollout(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path, behavior=Behavior(update_after=4000))
    assert world.rollout(soak=0).run() == "paused"
    assert world.updates == [("v2", 1)]
    assert '"note": "a deployment does not become READY"' in world.path.read_text()
    assert world.resumed().run() == "paused", "this time it is the old one"
    assert world.weights == (1, 99)


def test_no_write_raises_the_share_of_what_is_not_ready(world: RolloutWorld) -> None:
    world.api.emulated.fates.update(v1=Fate("ERROR", recovers_after=50), v2=Fate("ERROR", recovers_after=20))
    before = dict[str, int]()

    def check(request: Any) -> None:
        if isinstance(request, types.UpdateDeploymentRequest):
            new, old = world.weights
            after = (request.traffic.weight, old) if request.id == world.v2 else (new, request.traffic.weight)
            gains = world.v2 if after[0] * (new + old) > new * sum(after) else world.v1
            assert State.of(world.api.deployment(gains)) is State.READY
            before[gains] = before.get(gains, 0) + 1

    world.session.before = check
    rollout = world.rollout(gate=always("pass"))
    assert rollout.run() == "promoted"
    assert rollout.revert() == "reverted"
    assert before == {world.v2: 8, world.v1: 2}


def test_no_traffic_goes_back_to_an_old_one_that_has_failed(world: RolloutWorld) -> None:
    rollout = world.rollout(soak=0)
    rollout.run()
    world.api.emulated.fates["v1"] = Fate("FAILED", strikes_after=0)
    with pytest.raises(errors.ResourceFailed, match="v1 is FAILED"):
        rollout.revert()
    assert world.weights == (100, 0)
    del world.api.emulated.fates["v1"]
    world.change(world.v1)
    assert world.resumed().run() == "reverted"
    assert world.specs() == world.former


@pytest.mark.parametrize("state", ["FAILED", "ERROR", "CREATING", "disabled"])
@pytest.mark.parametrize("name", ["v1", "v2"])
def test_it_begins_only_when_both_are_ready(tmp_path: Path, name: str, state: Any) -> None:
    world = RolloutWorld(tmp_path, behavior=Behavior(disabled_becomes_ready=True))
    deployment = getattr(world, name)
    if state == "disabled":
        world.change(deployment, disabled=True)
        world.api.pass_time(10)
    elif state == "CREATING":
        world.change(deployment)
        state = "UPDATING"
    else:
        world.api.emulated.fates[name] = Fate(state, strikes_after=0)
    with pytest.raises(errors.FailedPrecondition, match=f"Deployment {name} is {state}; a rollout begins when both"):
        world.rollout().run()
    assert world.updates == []
    assert not world.path.exists()


def test_a_stale_status_is_not_taken_for_ready(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path, behavior=Behavior(status_lag=3))
    assert world.rollout(soak=0).run() == "promoted"
    assert world.weights == (100, 0)


FOREIGN: dict[str, dict[str, Any]] = {
    "its weight": {"traffic": {"weight": 7}},
    "autoscaling": {"autoscaling": {"max": 9}},
    "disabled": {"disabled": True},
    "its spec": {"runtime": {"engine_env": {"VLLM_LOGGING_LEVEL": "DEBUG"}}},
    "name": {"name": "v3"},
}


@pytest.mark.parametrize("name", ["v1", "v2"])
@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("when", ["in a soak", "before a write"])
def test_a_foreign_change_stops_it(world: RolloutWorld, name: str, what: str, when: str) -> None:
    deployment = getattr(world, name)
    writes = 0

    def change() -> None:
        world.session.before = lambda request: None
        world.change(deployment, **FOREIGN[what])

    def before(request: Any) -> None:
        nonlocal writes
        writes += isinstance(request, types.UpdateDeploymentRequest)
        if writes == 3 and isinstance(request, types.GetDeploymentRequest):
            change()

    def gate(step: Step) -> Any:
        if when == "in a soak" and step.number == 2:
            change()
        return "pass"

    rollout = world.rollout(gate=gate)
    if when == "before a write":
        world.session.before = before
    with pytest.raises(errors.Conflict, match=f"Deployment {name}: somebody else has changed {what}; ") as caught:
        rollout.run()
    assert caught.value.resource is not None
    written = len(world.updates)
    with pytest.raises(errors.Conflict):
        rollout.run()
    assert len(world.updates) == written, "nothing more is written"
    if what not in ("its spec", "name"):
        assert rollout.revert() == "reverted"
        assert world.specs() == world.former


def test_a_failing_gate_does_not_write_over_a_foreign_change(world: RolloutWorld) -> None:
    def gate(step: Step) -> Any:
        world.change(world.v1, autoscaling={"max": 9})
        return "fail"

    rollout = world.rollout(gate=gate)
    with pytest.raises(errors.Conflict, match="changed autoscaling"):
        rollout.run()
    assert world.weights == (1, 99)
    assert rollout.revert() == "reverted"
    assert world.specs() == world.former


def test_a_new_one_that_is_deleted_stops_it_and_a_revert_restores_the_old_one(world: RolloutWorld) -> None:
    rollout = world.rollout(gate=lambda step: world.api(types.DeleteDeploymentRequest(id=world.v2)) and "pass")
    with pytest.raises(errors.Conflict, match="Deployment v2 is being deleted by somebody else"):
        rollout.run()
    world.clock.sleep(10)
    with pytest.raises(errors.Conflict, match="Deployment v2 is gone: .*; Deployment v1 is as it was before"):
        rollout.revert()
    assert world.api.deployment(world.v1).spec == world.former[1]


def test_an_old_one_that_is_deleted_stops_it_and_the_new_one_keeps_what_it_has(world: RolloutWorld) -> None:
    rollout = world.rollout(soak=0)
    rollout.run()
    world.api(types.DeleteDeploymentRequest(id=world.v1))
    with pytest.raises(errors.Conflict, match="Deployment v1 is being deleted"):
        rollout.revert()
    assert world.weight(world.v2) == 100


def test_others_that_serve_the_model_keep_their_share_and_steps_that_cannot_be_shown_are_passed_over(
    tmp_path: Path,
) -> None:
    world = RolloutWorld(tmp_path, (0, 10))
    other = world.deploy("other", 30)
    steps = list[Step]()
    assert world.rollout(soak=0).run(on_step=steps.append) == "promoted"
    assert [each.is_passed_over for each in steps] == [True, True, False, False]
    assert str(steps[0]) == "step 1 of 4, 1 %: skipped, because whole weights with the sum 10 cannot show it"
    assert world.updates == [("v2", 2), ("v1", 8), ("v2", 10), ("v1", 0)]
    assert world.api.deployment(other.spec.id).spec == other.spec


def test_without_others_the_two_are_scaled_and_the_last_step_restores_the_sum(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path, (0, 10))
    shares = list[float]()

    def after(request: Any) -> None:
        new, old = world.weights
        assert new + old > 0
        shares.append(new / (new + old))

    world.session.after = after
    rollout = world.rollout(soak=0)
    assert rollout.run() == "promoted"
    assert world.weights == (10, 0)
    assert shares == sorted(shares), "the share only grows, also between the two writes of a step"
    assert rollout.revert() == "reverted"
    assert world.weights == (0, 10)


@pytest.mark.parametrize("weights", [(0, 10), (0, 100), (0, 1000), (3, 7), (1, 1), (0, 1), (500, 500)])
def test_no_moment_sends_more_to_the_new_one_than_the_step_says(tmp_path: Path, weights: tuple[int, int]) -> None:
    world = RolloutWorld(tmp_path, weights)
    limit = STEPS[0] / 100

    def after(request: Any) -> None:
        new, old = world.weights
        assert new / (new + old) <= max(limit, weights[0] / sum(weights))

    def report(step: Step) -> None:
        nonlocal limit
        limit = STEPS[min(step.number, len(STEPS) - 1)] / 100

    world.session.after = after
    assert world.rollout(soak=0).run(on_step=report) == "promoted"
    assert world.weights == (sum(weights), 0)


@pytest.mark.parametrize("name", ["v1", "v2"])
@pytest.mark.parametrize("when", ["at the beginning", "in a soak"])
def test_unknown_fields_are_never_written_over(world: RolloutWorld, name: str, when: str) -> None:
    def gate(step: Step) -> Any:
        world.memory.newer.add(getattr(world, name))
        return "pass"

    rollout = world.rollout(gate=gate)
    if when == "at the beginning":
        world.memory.newer.add(getattr(world, name))
    with pytest.raises(errors.ConfigurationError, match="rollout: the resource has fields .*spec.priority_class"):
        rollout.run()
    assert len(world.updates) == (0 if when == "at the beginning" else 2)


def test_a_hot_load_in_progress_blocks_it(tmp_path: Path) -> None:
    world = RolloutWorld(tmp_path, behavior=Behavior(hot_load_after=1000))
    world.gateway = world.client.gateways.create(
        "zoned", zones=["US-EAST-04A"], core_weave_auth={}, path_based_routing={}, wait=True
    )
    hot = {
        "runtime": {"engine": "dynamo-vllm", "version": "0.22.0"},
        "hot_load": {"bucket": "models", "transition_mode": "TRANSITION_MODE_ASYNC"},
    }
    world.v1, world.v2 = world.deploy("h1", 100, **hot).spec.id, world.deploy("h2", 0, **hot).spec.id
    world.former = world.specs()

    def load(identity: str) -> None:
        world.api(
            types.CreateHotLoadRequest(
                deployment_id=world.v2, identity=identity, type=types.SnapshotType.SNAPSHOT_TYPE_FULL
            )
        )

    load("a")
    begun = world.client.rollout("h2", replaces="h1", journal=world.path, soak=0)
    with pytest.raises(errors.FailedPrecondition, match="Deployment h2: hot-load .* is in progress"):
        begun.run()
    assert not world.path.exists()
    world.api.pass_time(1000)

    def gate(step: Step) -> Any:
        load("b")
        return "pass"

    rollout = world.client.rollout("h2", replaces="h1", journal=world.path, soak=0, gate=gate)
    with pytest.raises(errors.FailedPrecondition, match="Deployment h2: hot-load .* is in progress"):
        rollout.run()
    assert world.weights == (1, 99)
    with pytest.raises(errors.FailedPrecondition, match="is in progress"):
        rollout.revert()
    world.api.pass_time(1000)
    assert world.resumed().run() == "reverted"
    assert world.specs() == world.former


def test_the_two_have_to_fit_each_other(world: RolloutWorld) -> None:
    client, gateway = world.client, world.gateway.spec.id
    other = client.gateways.create("other", core_weave_auth={}, path_based_routing={}, wait=True).spec.id
    world.deploy("stranger", 1, model={"name": "org/other", "bucket": "models", "path": "m"})
    world.deploy("elsewhere", 1, gateway_ids=[other])
    world.deploy("both", 100, gateway_ids=[gateway, other])
    world.deploy("heavy", 1000)
    world.session.sent.clear()

    def refused(new: str, replaces: str, kind: type[Exception], problem: str) -> None:
        with pytest.raises(kind, match=problem):
            client.rollout(new, replaces=replaces, journal=world.path).run()

    refused("nobody", "v1", errors.NotFound, "no deployment has the name or the id 'nobody'")
    refused("v2", world.v2, errors.ConfigurationError, "replaces: Deployment v2 cannot replace itself")
    refused("stranger", "v1", errors.ConfigurationError, "replaces: the two serve different models")
    refused("elsewhere", "v1", errors.ConfigurationError, "share no gateway; put both on one")
    refused("heavy", "both", errors.ConfigurationError, "have weight 1100 together, and the new one can take 1000")
    client.deployments.delete(client.deployments.find("elsewhere").spec.id)
    world.clock.sleep(10)
    refused("v2", "both", errors.ConfigurationError, "without Deployment both nothing would serve the model on")
    world.change(world.v1, traffic={"weight": 0})
    world.clock.sleep(10)
    refused("v2", "v1", errors.ConfigurationError, "both have weight 0, of which there are no shares")
    assert world.updates == []
    assert not world.path.exists()


def test_nothing_is_written_when_only_a_gateway_is_left_without_the_model(world: RolloutWorld) -> None:
    """Somebody takes the new one off a gateway that the old one serves, which would leave all weights there at 0."""
    other = world.client.gateways.create("other", core_weave_auth={}, path_based_routing={}, wait=True).spec.id
    world.change(world.v1, gateway_ids=[world.gateway.spec.id, other])
    world.change(world.v2, gateway_ids=[world.gateway.spec.id, other])
    helper = world.deploy("helper", 5, gateway_ids=[other])
    world.clock.sleep(10)
    assert helper.spec.traffic.weight == 5
    assert world.rollout(soak=0).run() == "promoted"


def test_errors_of_the_api_that_pass_are_waited_through(world: RolloutWorld) -> None:
    failures = 0

    def fail(request: Any) -> None:
        nonlocal failures
        failures += 1
        if failures % 5 in (1, 2):
            raise errors.Unavailable("not now")

    world.session.before = world.session.after = fail
    assert world.rollout().run() == "promoted"
    assert world.weights == (100, 0)


def test_an_outage_that_lasts_ends_the_run_and_it_can_be_resumed(world: RolloutWorld) -> None:
    def fail(request: Any) -> None:
        if isinstance(request, types.UpdateDeploymentRequest):
            raise errors.Unavailable("down")

    world.session.before = fail
    rollout, began = world.rollout(soak=0), world.clock.now
    with pytest.raises(errors.Unavailable, match="down"):
        rollout.run()
    assert 300 <= world.clock.now - began < 400
    world.session.before = lambda request: None
    assert rollout.run() == "promoted"


def test_promoted_is_said_only_after_the_last_weight_was_read_back(world: RolloutWorld) -> None:
    def gate(step: Step) -> Any:
        if step.percent == 100:
            world.change(world.v2, traffic={"weight": 99})
        return "pass"

    with pytest.raises(errors.Conflict, match="its weight"):
        world.rollout(gate=gate, soak=0).run()
    assert world.phase() == "running"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"steps": ()}, r"steps: expected shares in percent, such as \(1, 5, 25, 100\), got \(\)"),
    ({"steps": "100"}, "steps: expected shares in percent"),
    ({"steps": (0, 100)}, "steps: expected shares from 0.1 to 100 percent, got 0"),
    ({"steps": (True, 100)}, "steps: expected shares from 0.1 to 100 percent, got True"),
    ({"steps": (1, 101)}, "steps: expected shares from 0.1 to 100 percent, got 101"),
    ({"steps": (float("nan"), 100)}, "steps: expected shares from"),
    ({"steps": (5, 1, 100)}, "steps: expected each to be larger than the one before"),
    ({"steps": (1, 50)}, "steps: the last one has to be 100"),
    ({"soak": -1}, "soak: expected a number of at least 0, got -1"),
    ({"patience": None}, "patience: expected a number of at least 0, got None"),
    ({"gate": "pass"}, "gate: expected a function of a step, got str"),
    ({"journal": ""}, "journal: expected the path of a file, got ''"),
    ({"journal": None}, "journal: expected the path of a file, got None"),
    ({"journal": "/nowhere/at/all.json"}, "journal: /nowhere/at/all.json cannot be created, because its folder"),
    ({"replaces": "v2"}, "replaces: a deployment cannot replace itself"),
    ({"replaces": ""}, "replaces must not be empty"),
]


@pytest.mark.parametrize(("options", "problem"), BAD)
def test_wrong_arguments_are_refused_by_name(world: RolloutWorld, options: Any, problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        world.rollout(**options)
    assert world.session.sent == []


def test_an_async_gate_needs_an_async_client(world: RolloutWorld) -> None:
    async def gate(step: Step) -> Any:
        return "pass"

    with pytest.raises(errors.ConfigurationError, match="gate: an async one needs AsyncClient"):
        world.rollout(gate=gate)
    with pytest.raises(errors.ConfigurationError, match="gate: an async one needs AsyncClient"):
        world.rollout(gate=lambda step: gate(step)).run()
    assert world.phase() == "paused"


def test_the_journal_contains_no_secrets_and_is_versioned(world: RolloutWorld) -> None:
    world.rollout(soak=0).run()
    text = world.path.read_text()
    assert "hunter2" not in text, "the value of a variable of the engine"
    assert "token" not in text
    assert json.loads(text.rpartition("\nsha256")[0])["version"] == 1
    assert [each.name for each in world.path.parent.iterdir()] == [world.path.name], "nothing is left next to it"


def test_a_journal_of_another_organization_is_refused(world: RolloutWorld) -> None:
    world.rollout(soak=0).run()
    _rewrite(world.path, '"cw1a2b"', '"cwother"')
    with pytest.raises(errors.ConfigurationError, match="journal belongs to a rollout of another organization"):
        world.resumed().revert()


def _rewrite(path: Path, old: str, new: str) -> None:
    body = path.read_text().rpartition("\nsha256")[0].replace(old, new)
    path.write_text(f"{body}\n{_checksum(body)}\n")


def test_a_rollout_shows_its_journal_and_stays_in_its_process(world: RolloutWorld) -> None:
    rollout = world.rollout()
    assert repr(rollout) == f"<Rollout, journal: {world.path}>"
    assert rollout.journal == str(world.path)
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        pickle.dumps(rollout)
