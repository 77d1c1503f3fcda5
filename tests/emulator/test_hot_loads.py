"""Hot-loads: preconditions, the chain of snapshots, replicas that come along, and pages."""

from typing import Any
from uuid import uuid4

import pytest

from cwinference import HotLoadState, types
from cwinference.emulator.behavior import Behavior, Fate
from cwinference.emulator.interfaces import Refusal
from tests.support.emulated_api import DEPLOYMENT_ID, STRANGER, Emulated, request

FIRST_ID = "17c0a9d4-5b6e-4f70-8c2d-3e4f5a6b7c8d"
SECOND_ID = "a1f3c5e7-2468-4ace-9bdf-13579bdf0246"
Replica = types.HotLoadReplica


def hot_loading(replicas: int = 2, **settings: Any) -> Emulated:
    """A READY deployment with hot-loading switched on; hot-loads take 9 seconds."""
    settings.setdefault("behaviour", Behavior(hot_load_after=9))
    emulated = Emulated(**settings)
    emulated.sample("CreateGateway")
    deployment = request("CreateDeployment.newer")
    deployment.autoscaling.min = replicas
    emulated(deployment)
    emulated.pass_time(10)
    return emulated


@pytest.fixture
def emulated() -> Emulated:
    return hot_loading()


def full(identity: str = "step_000100", id: str = "") -> types.CreateHotLoadRequest:
    return types.CreateHotLoadRequest(
        deployment_id=DEPLOYMENT_ID,
        hot_load_id=id,
        identity=identity,
        type=types.SnapshotType.SNAPSHOT_TYPE_FULL,
    )


def incremental(identity: str, previous: str) -> types.CreateHotLoadRequest:
    sent: types.CreateHotLoadRequest = request("CreateHotLoad")
    sent.hot_load_id, sent.identity = "", identity
    sent.incremental_snapshot_metadata.previous_snapshot_identity = previous
    return sent


def load(emulated: Emulated, sent: types.CreateHotLoadRequest) -> types.HotLoad:
    """Load a snapshot to the end."""
    created: types.HotLoad = emulated(sent)
    emulated.pass_time(9)
    return found(emulated, created.spec.id)


def found(emulated: Emulated, id: str) -> types.HotLoad:
    hot_load: types.HotLoad = emulated(types.GetHotLoadRequest(id=id))
    return hot_load


def replicas(emulated: Emulated, id: str) -> list[types.HotLoadReplica]:
    return list(emulated(types.ListHotLoadReplicasRequest(hot_load_id=id)).replicas)


def refusal(emulated: Emulated, sent: Any, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        emulated(sent, **options)
    return caught.value


def test_a_hot_load_is_pending_then_in_progress_then_completed(emulated: Emulated) -> None:
    created = emulated.sample("CreateHotLoad.full")
    assert HotLoadState.of(created) is HotLoadState.PENDING
    assert created.spec.prompt_cache_policy == types.PromptCachePolicy.PROMPT_CACHE_POLICY_PRESERVE
    assert not created.status.HasField("finished_at")
    emulated.pass_time(3)
    assert HotLoadState.of(found(emulated, FIRST_ID)) is HotLoadState.IN_PROGRESS
    emulated.pass_time(6)
    completed = found(emulated, FIRST_ID)
    assert HotLoadState.of(completed) is HotLoadState.COMPLETED
    assert completed.status.finished_at == completed.status.updated_at


def test_the_chain_grows_by_each_incremental_and_begins_anew_with_a_full_one(emulated: Emulated) -> None:
    first = load(emulated, incremental("a", previous="initial"))
    assert [each.identity for each in first.spec.snapshot_chain] == ["a"]
    load(emulated, full("b"))
    third = load(emulated, incremental("c", previous="b"))
    chain = third.spec.snapshot_chain
    assert [each.identity for each in chain] == ["b", "c"]
    assert chain[1].hot_load_id == third.spec.id
    assert third.spec.prompt_cache_policy == types.PromptCachePolicy.PROMPT_CACHE_POLICY_RESET_ALL
    assert chain[1].compression_format == types.CompressionFormat.COMPRESSION_FORMAT_ZSTD
    assert chain[0].compression_format == types.CompressionFormat.COMPRESSION_FORMAT_UNSPECIFIED


def test_an_incremental_builds_on_what_is_loaded(emulated: Emulated) -> None:
    load(emulated, full("a"))
    load(emulated, full("b"))
    for previous in ("unheard-of", "a", "initial"):
        sent = incremental("c", previous)
        assert refusal(emulated, sent).code == "failed_precondition"


def test_an_earlier_incremental_may_be_loaded_again(emulated: Emulated) -> None:
    load(emulated, full("a"))
    load(emulated, incremental("b", previous="a"))
    load(emulated, full("z"))
    assert refusal(emulated, incremental("c", previous="a")).code == "failed_precondition"
    again = load(emulated, incremental("b", previous="a"))
    assert [each.identity for each in again.spec.snapshot_chain] == ["a", "b"]


def test_a_failed_hot_load_is_no_link(emulated: Emulated) -> None:
    load(emulated, full("a"))
    emulated.api.fates["b"] = Fate(reason="ChecksumMismatch", message="checksum mismatch")
    failed = load(emulated, incremental("b", previous="a"))
    assert HotLoadState.of(failed) is HotLoadState.FAILED
    (condition,) = failed.status.conditions
    assert (condition.reason, condition.message, condition.zone) == (
        "ChecksumMismatch",
        "checksum mismatch",
        "US-EAST-04A",
    )
    assert refusal(emulated, incremental("c", previous="b")).code == "failed_precondition"
    good, bad = replicas(emulated, failed.spec.id)
    assert (good.state, good.current_snapshot_identity, good.error_reason) == (Replica.READY, "b", "")
    assert (bad.state, bad.current_snapshot_identity, bad.error_reason) == (Replica.ERROR, "a", "checksum mismatch")


def test_at_most_128_deltas_make_a_chain() -> None:
    emulated = hot_loading(behaviour=Behavior(hot_load_after=0))
    load(emulated, full("0"))
    for number in range(1, 129):
        load(emulated, incremental(str(number), previous=str(number - 1)))
    found = refusal(emulated, incremental("129", previous="128"))
    assert found.code == "failed_precondition"
    assert "128 deltas" in found.message
    load(emulated, full("129"))


def test_one_at_a_time(emulated: Emulated) -> None:
    emulated(full("a"))
    assert "already in progress" in refusal(emulated, full("b")).message
    update = request("UpdateDeployment")
    update.hot_load.CopyFrom(emulated.deployment().spec.hot_load)
    assert refusal(emulated, update).code == "failed_precondition"
    emulated.pass_time(9)
    emulated(full("b"))


def test_an_id_is_given_once(emulated: Emulated) -> None:
    emulated(full(id=FIRST_ID))
    assert refusal(emulated, full(id=FIRST_ID)).code == "already_exists"


def test_the_deployment_must_be_there_and_ready_and_switched_on() -> None:
    emulated = Emulated()
    assert refusal(emulated, full()).code == "not_found"
    emulated.sample("CreateGateway")
    emulated.sample("CreateDeployment.newer")
    assert refusal(emulated, full()).message == "the deployment is not READY"
    emulated.pass_time(10)
    assert refusal(emulated, full(), caller=STRANGER).code == "not_found"
    emulated(full())
    plain = Emulated(ready_after=0)
    plain.sample("CreateGateway")
    plain.sample("CreateDeployment")
    assert refusal(plain, full()).message == "hot-load is not enabled on this deployment"


def test_a_deployment_may_hot_load_only_under_conditions() -> None:
    sent = request("CreateDeployment.newer")
    closed = Emulated(behaviour=Behavior(hot_load_organizations=()))
    closed.sample("CreateGateway")
    assert refusal(closed, sent).message == "hot-load is not enabled for this organization"
    emulated = Emulated()
    gateway = request("CreateGateway")
    gateway.zones.append("US-WEST-04A")
    emulated(gateway)
    assert "one zone" in refusal(emulated, sent).message
    sent.runtime.engine = "vllm"
    assert refusal(emulated, sent).code == "invalid_argument"


def test_hot_loading_is_settled_when_a_deployment_is_created(emulated: Emulated) -> None:
    update = request("UpdateDeployment")
    assert refusal(emulated, update).message.startswith("hot_load: cannot be added, removed or changed")
    update.hot_load.CopyFrom(emulated.deployment().spec.hot_load)
    assert emulated(update).spec.HasField("hot_load")


def test_replicas_come_along_one_half_after_the_other() -> None:
    emulated = hot_loading(replicas=3)
    load(emulated, full("a"))
    made = emulated(full("b")).spec.id

    def told() -> list[tuple[str, str]]:
        return [(Replica.State.Name(each.state), each.current_snapshot_identity) for each in replicas(emulated, made)]

    assert told() == [("PENDING_UPDATE", "a")] * 3
    emulated.pass_time(3)
    assert told() == [("UPDATING", "a")] * 3
    emulated.pass_time(3)
    assert told() == [("READY", "b"), ("UPDATING", "a"), ("UPDATING", "a")]
    emulated.pass_time(3)
    assert told() == [("READY", "b")] * 3
    first, *_, last = replicas(emulated, made)
    assert (first.name, first.zone) == ("llama-31-8b-0", "US-EAST-04A")
    assert first.finished_at.ToNanoseconds() < last.finished_at.ToNanoseconds()
    assert last.transitioned_at == last.finished_at == last.updated_at


def test_the_replicas_of_an_unfinished_first_load_serve_the_base_weights(emulated: Emulated) -> None:
    made = emulated(full()).spec.id
    assert {each.current_snapshot_identity for each in replicas(emulated, made)} == {"initial"}


def test_replicas_come_in_pages_ordered_by_name() -> None:
    emulated = hot_loading(replicas=120)
    made = emulated(full()).spec.id
    names: list[str] = []
    token, sizes = "", []
    while True:
        page = emulated(types.ListHotLoadReplicasRequest(hot_load_id=made, page_token=token))
        names += [each.name for each in page.replicas]
        sizes.append(len(page.replicas))
        token = page.next_page_token
        if not token:
            break
    assert sizes == [50, 50, 20]
    assert names == sorted(names)
    assert len(set(names)) == 120


def test_hot_loads_come_in_pages_newest_first(emulated: Emulated) -> None:
    made = [load(emulated, full(str(number))).spec.id for number in range(5)]
    listed: list[str] = []
    sent = types.ListHotLoadsRequest(max_page_size=2)
    while True:
        page = emulated(sent)
        listed += [each.spec.id for each in page.hot_loads]
        load(emulated, full("new"))
        if not page.next_page_token:
            break
        sent.page_token = page.next_page_token
    assert listed == made[::-1], "what comes in between shows on no later page"


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (7, 7), (1001, 60)])
def test_a_page_has_50_items_unless_told_otherwise(asked: int, given: int) -> None:
    emulated = hot_loading(behaviour=Behavior(hot_load_after=0))
    for number in range(60):
        load(emulated, full(str(number)))
    assert len(emulated(types.ListHotLoadsRequest(max_page_size=asked)).hot_loads) == given


def test_a_page_token_fits_its_own_list_alone(emulated: Emulated) -> None:
    for identity in "abc":
        load(emulated, full(identity))
    token = emulated(types.ListHotLoadsRequest(max_page_size=1)).next_page_token
    made = emulated(full()).spec.id
    for sent, caller in (
        (types.ListHotLoadsRequest(page_token=token, parent_deployment_id=DEPLOYMENT_ID), None),
        (types.ListHotLoadsRequest(page_token=token), STRANGER),
        (types.ListHotLoadReplicasRequest(page_token=token, hot_load_id=made), None),
        (types.ListHotLoadsRequest(page_token=token[:-1] + "_"), None),
        (types.ListHotLoadsRequest(page_token=token + "="), None),
        (types.ListHotLoadsRequest(page_token="nonsense"), None),
        (types.ListHotLoadsRequest(page_token="\N{SNOWMAN}"), None),
    ):
        found = refusal(emulated, sent, **({"caller": caller} if caller else {}))
        assert found.code == "invalid_argument"
        assert found.message.startswith("page_token: ")
    assert emulated(types.ListHotLoadsRequest(page_token=token, max_page_size=2)).hot_loads, "another size is fine"


def test_hot_loads_are_listed_by_deployment_and_organization(emulated: Emulated) -> None:
    emulated(full("a"))
    assert len(emulated(types.ListHotLoadsRequest(parent_deployment_id=DEPLOYMENT_ID)).hot_loads) == 1
    assert not emulated(types.ListHotLoadsRequest(parent_deployment_id=str(uuid4()))).hot_loads
    for sent in (types.ListHotLoadsRequest(), types.ListHotLoadsRequest(parent_deployment_id=DEPLOYMENT_ID)):
        assert not emulated(sent, STRANGER).hot_loads


def test_a_hot_load_of_another_organization_is_not_found(emulated: Emulated) -> None:
    emulated(full(id=FIRST_ID))
    for sent in (types.GetHotLoadRequest(id=FIRST_ID), types.ListHotLoadReplicasRequest(hot_load_id=FIRST_ID)):
        assert refusal(emulated, sent, caller=STRANGER).code == "not_found"


def test_cancel_is_not_implemented(emulated: Emulated) -> None:
    emulated(full(id=SECOND_ID))
    assert refusal(emulated, request("CancelHotLoad")).code == "unimplemented"


def test_cancel_works_by_a_setting_and_rolls_nothing_back() -> None:
    emulated = hot_loading(behaviour=Behavior(hot_load_after=9, cancel_hot_loads=True))
    emulated(full("a", id=SECOND_ID))
    emulated.pass_time(6)
    canceled = emulated.sample("CancelHotLoad")
    assert HotLoadState.of(canceled) is HotLoadState.CANCELED
    assert canceled.status.canceled_at == canceled.status.finished_at == canceled.status.updated_at
    emulated.pass_time(100)
    assert HotLoadState.of(found(emulated, SECOND_ID)) is HotLoadState.CANCELED
    assert [each.current_snapshot_identity for each in replicas(emulated, SECOND_ID)] == ["a", "initial"]
    assert refusal(emulated, request("CancelHotLoad")).code == "failed_precondition"
    emulated(full("b"))


def test_the_history_goes_with_its_deployment(emulated: Emulated) -> None:
    load(emulated, full(id=FIRST_ID))
    emulated.sample("DeleteDeployment")
    assert found(emulated, FIRST_ID)
    emulated.pass_time(10)
    assert refusal(emulated, types.GetHotLoadRequest(id=FIRST_ID)).code == "not_found"
