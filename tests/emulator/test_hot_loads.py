"""Hot-loads: preconditions, the chain of snapshots, the progress of replicas, and pagination."""

from typing import Any
from uuid import uuid4

import pytest

from cwinference import HotLoadState, types
from cwinference.emulator.behavior import Behavior, Fate
from cwinference.emulator.interfaces import RpcError
from tests.support.emulated_api import DEPLOYMENT_ID, STRANGER, InProcessApi, request

FIRST_ID = "17c0a9d4-5b6e-4f70-8c2d-3e4f5a6b7c8d"
SECOND_ID = "a1f3c5e7-2468-4ace-9bdf-13579bdf0246"
Replica = types.HotLoadReplica


def hot_loading(replicas: int = 2, **settings: Any) -> InProcessApi:
    """Create a READY deployment for which hot-load is enabled; hot-loads take 9 seconds."""
    settings.setdefault("behavior", Behavior(hot_load_after=9))
    api = InProcessApi(**settings)
    api.sample("CreateGateway")
    deployment = request("CreateDeployment.newer")
    deployment.autoscaling.min = replicas
    api(deployment)
    api.pass_time(10)
    return api


@pytest.fixture
def api() -> InProcessApi:
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


def load(api: InProcessApi, sent: types.CreateHotLoadRequest) -> types.HotLoad:
    """Create a hot-load and wait until it has finished."""
    created: types.HotLoad = api(sent)
    api.pass_time(9)
    return get(api, created.spec.id)


def get(api: InProcessApi, id: str) -> types.HotLoad:
    hot_load: types.HotLoad = api(types.GetHotLoadRequest(id=id))
    return hot_load


def replicas(api: InProcessApi, id: str) -> list[types.HotLoadReplica]:
    return list(api(types.ListHotLoadReplicasRequest(hot_load_id=id)).replicas)


def rejection(api: InProcessApi, sent: Any, **options: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        api(sent, **options)
    return caught.value


def test_a_hot_load_is_pending_then_in_progress_then_completed(api: InProcessApi) -> None:
    created = api.sample("CreateHotLoad.full")
    assert HotLoadState.of(created) is HotLoadState.PENDING
    assert created.spec.prompt_cache_policy == types.PromptCachePolicy.PROMPT_CACHE_POLICY_PRESERVE
    assert not created.status.HasField("finished_at")
    api.pass_time(3)
    assert HotLoadState.of(get(api, FIRST_ID)) is HotLoadState.IN_PROGRESS
    api.pass_time(6)
    completed = get(api, FIRST_ID)
    assert HotLoadState.of(completed) is HotLoadState.COMPLETED
    assert completed.status.finished_at == completed.status.updated_at


def test_each_incremental_extends_the_chain_and_a_full_one_starts_a_new_chain(api: InProcessApi) -> None:
    first = load(api, incremental("a", previous="initial"))
    assert [each.identity for each in first.spec.snapshot_chain] == ["a"]
    load(api, full("b"))
    third = load(api, incremental("c", previous="b"))
    chain = third.spec.snapshot_chain
    assert [each.identity for each in chain] == ["b", "c"]
    assert chain[1].hot_load_id == third.spec.id
    assert third.spec.prompt_cache_policy == types.PromptCachePolicy.PROMPT_CACHE_POLICY_RESET_ALL
    assert chain[1].compression_format == types.CompressionFormat.COMPRESSION_FORMAT_ZSTD
    assert chain[0].compression_format == types.CompressionFormat.COMPRESSION_FORMAT_UNSPECIFIED


def test_an_incremental_must_build_on_the_loaded_snapshot(api: InProcessApi) -> None:
    load(api, full("a"))
    load(api, full("b"))
    for previous in ("unknown", "a", "initial"):
        sent = incremental("c", previous)
        assert rejection(api, sent).code == "failed_precondition"


def test_an_earlier_incremental_can_be_loaded_again(api: InProcessApi) -> None:
    load(api, full("a"))
    load(api, incremental("b", previous="a"))
    load(api, full("z"))
    assert rejection(api, incremental("c", previous="a")).code == "failed_precondition"
    reloaded = load(api, incremental("b", previous="a"))
    assert [each.identity for each in reloaded.spec.snapshot_chain] == ["a", "b"]


def test_a_failed_hot_load_is_not_part_of_the_chain(api: InProcessApi) -> None:
    load(api, full("a"))
    api.emulated.fates["b"] = Fate(reason="ChecksumMismatch", message="checksum mismatch")
    failed = load(api, incremental("b", previous="a"))
    assert HotLoadState.of(failed) is HotLoadState.FAILED
    (condition,) = failed.status.conditions
    assert (condition.reason, condition.message, condition.zone) == (
        "ChecksumMismatch",
        "checksum mismatch",
        "US-EAST-04A",
    )
    assert rejection(api, incremental("c", previous="b")).code == "failed_precondition"
    updated, broken = replicas(api, failed.spec.id)
    assert (updated.state, updated.current_snapshot_identity, updated.error_reason) == (Replica.READY, "b", "")
    assert (broken.state, broken.current_snapshot_identity, broken.error_reason) == (
        Replica.ERROR,
        "a",
        "checksum mismatch",
    )


def test_a_chain_has_at_most_128_deltas() -> None:
    api = hot_loading(behavior=Behavior(hot_load_after=0))
    load(api, full("0"))
    for number in range(1, 129):
        load(api, incremental(str(number), previous=str(number - 1)))
    error = rejection(api, incremental("129", previous="128"))
    assert error.code == "failed_precondition"
    assert "128 deltas" in error.message
    load(api, full("129"))


def test_a_deployment_has_one_hot_load_in_progress_at_a_time(api: InProcessApi) -> None:
    api(full("a"))
    assert "already in progress" in rejection(api, full("b")).message
    update = request("UpdateDeployment")
    update.hot_load.CopyFrom(api.deployment().spec.hot_load)
    assert rejection(api, update).code == "failed_precondition"
    api.pass_time(9)
    api(full("b"))


def test_an_id_can_be_used_once(api: InProcessApi) -> None:
    api(full(id=FIRST_ID))
    assert rejection(api, full(id=FIRST_ID)).code == "already_exists"


def test_the_deployment_must_exist_be_ready_and_have_hot_load_enabled() -> None:
    api = InProcessApi()
    assert rejection(api, full()).code == "not_found"
    api.sample("CreateGateway")
    api.sample("CreateDeployment.newer")
    assert rejection(api, full()).message == "the deployment is not READY"
    api.pass_time(10)
    assert rejection(api, full(), caller=STRANGER).code == "not_found"
    api(full())
    plain = InProcessApi(ready_after=0)
    plain.sample("CreateGateway")
    plain.sample("CreateDeployment")
    assert rejection(plain, full()).message == "hot-load is not enabled on this deployment"


def test_hot_load_needs_an_enabled_organization_one_zone_and_an_engine_that_supports_it() -> None:
    sent = request("CreateDeployment.newer")
    closed = InProcessApi(behavior=Behavior(hot_load_organizations=()))
    closed.sample("CreateGateway")
    assert rejection(closed, sent).message == "hot-load is not enabled for this organization"
    api = InProcessApi()
    gateway = request("CreateGateway")
    gateway.zones.append("US-WEST-04A")
    api(gateway)
    assert "one zone" in rejection(api, sent).message
    sent.runtime.engine = "vllm"
    assert rejection(api, sent).code == "invalid_argument"


def test_hot_load_settings_cannot_change_after_creation(api: InProcessApi) -> None:
    update = request("UpdateDeployment")
    assert rejection(api, update).message.startswith("hot_load: cannot be added, removed or changed")
    update.hot_load.CopyFrom(api.deployment().spec.hot_load)
    assert api(update).spec.HasField("hot_load")


def test_replicas_are_updated_one_half_after_the_other() -> None:
    api = hot_loading(replicas=3)
    load(api, full("a"))
    made = api(full("b")).spec.id

    def states() -> list[tuple[str, str]]:
        return [(Replica.State.Name(each.state), each.current_snapshot_identity) for each in replicas(api, made)]

    assert states() == [("PENDING_UPDATE", "a")] * 3
    api.pass_time(3)
    assert states() == [("UPDATING", "a")] * 3
    api.pass_time(3)
    assert states() == [("READY", "b"), ("UPDATING", "a"), ("UPDATING", "a")]
    api.pass_time(3)
    assert states() == [("READY", "b")] * 3
    first, *_, last = replicas(api, made)
    assert (first.name, first.zone) == ("llama-31-8b-0", "US-EAST-04A")
    assert first.finished_at.ToNanoseconds() < last.finished_at.ToNanoseconds()
    assert last.transitioned_at == last.finished_at == last.updated_at


def test_replicas_serve_the_base_weights_until_the_first_hot_load_finishes(api: InProcessApi) -> None:
    made = api(full()).spec.id
    assert {each.current_snapshot_identity for each in replicas(api, made)} == {"initial"}


def test_replicas_are_paginated_in_the_order_of_their_names() -> None:
    api = hot_loading(replicas=120)
    made = api(full()).spec.id
    names: list[str] = []
    token, sizes = "", []
    while True:
        page = api(types.ListHotLoadReplicasRequest(hot_load_id=made, page_token=token))
        names += [each.name for each in page.replicas]
        sizes.append(len(page.replicas))
        token = page.next_page_token
        if not token:
            break
    assert sizes == [50, 50, 20]
    assert names == sorted(names)
    assert len(set(names)) == 120


def test_hot_loads_are_paginated_newest_first(api: InProcessApi) -> None:
    made = [load(api, full(str(number))).spec.id for number in range(5)]
    listed: list[str] = []
    sent = types.ListHotLoadsRequest(max_page_size=2)
    while True:
        page = api(sent)
        listed += [each.spec.id for each in page.hot_loads]
        load(api, full("new"))
        if not page.next_page_token:
            break
        sent.page_token = page.next_page_token
    assert listed == made[::-1], "hot-loads created between two pages are on no later page"


@pytest.mark.parametrize(("requested", "expected"), [(0, 50), (7, 7), (1001, 60)])
def test_a_page_has_50_items_by_default(requested: int, expected: int) -> None:
    api = hot_loading(behavior=Behavior(hot_load_after=0))
    for number in range(60):
        load(api, full(str(number)))
    assert len(api(types.ListHotLoadsRequest(max_page_size=requested)).hot_loads) == expected


def test_a_page_token_is_valid_for_its_own_list_only(api: InProcessApi) -> None:
    for identity in "abc":
        load(api, full(identity))
    token = api(types.ListHotLoadsRequest(max_page_size=1)).next_page_token
    made = api(full()).spec.id
    for sent, caller in (
        (types.ListHotLoadsRequest(page_token=token, parent_deployment_id=DEPLOYMENT_ID), None),
        (types.ListHotLoadsRequest(page_token=token), STRANGER),
        (types.ListHotLoadReplicasRequest(page_token=token, hot_load_id=made), None),
        (types.ListHotLoadsRequest(page_token=token[:-1] + "_"), None),
        (types.ListHotLoadsRequest(page_token=token + "="), None),
        (types.ListHotLoadsRequest(page_token="nonsense"), None),
        (types.ListHotLoadsRequest(page_token="\N{SNOWMAN}"), None),
    ):
        error = rejection(api, sent, **({"caller": caller} if caller else {}))
        assert error.code == "invalid_argument"
        assert error.message.startswith("page_token: ")
    assert api(types.ListHotLoadsRequest(page_token=token, max_page_size=2)).hot_loads, "another page size is allowed"


def test_hot_loads_are_listed_by_deployment_and_organization(api: InProcessApi) -> None:
    api(full("a"))
    assert len(api(types.ListHotLoadsRequest(parent_deployment_id=DEPLOYMENT_ID)).hot_loads) == 1
    assert not api(types.ListHotLoadsRequest(parent_deployment_id=str(uuid4()))).hot_loads
    for sent in (types.ListHotLoadsRequest(), types.ListHotLoadsRequest(parent_deployment_id=DEPLOYMENT_ID)):
        assert not api(sent, STRANGER).hot_loads


def test_a_hot_load_of_another_organization_is_not_found(api: InProcessApi) -> None:
    api(full(id=FIRST_ID))
    for sent in (types.GetHotLoadRequest(id=FIRST_ID), types.ListHotLoadReplicasRequest(hot_load_id=FIRST_ID)):
        assert rejection(api, sent, caller=STRANGER).code == "not_found"


def test_cancel_is_not_implemented(api: InProcessApi) -> None:
    api(full(id=SECOND_ID))
    assert rejection(api, request("CancelHotLoad")).code == "unimplemented"


def test_cancel_can_be_enabled_and_rolls_nothing_back() -> None:
    api = hot_loading(behavior=Behavior(hot_load_after=9, cancel_hot_loads=True))
    api(full("a", id=SECOND_ID))
    api.pass_time(6)
    canceled = api.sample("CancelHotLoad")
    assert HotLoadState.of(canceled) is HotLoadState.CANCELED
    assert canceled.status.canceled_at == canceled.status.finished_at == canceled.status.updated_at
    api.pass_time(100)
    assert HotLoadState.of(get(api, SECOND_ID)) is HotLoadState.CANCELED
    assert [each.current_snapshot_identity for each in replicas(api, SECOND_ID)] == ["a", "initial"]
    assert rejection(api, request("CancelHotLoad")).code == "failed_precondition"
    api(full("b"))


def test_hot_loads_are_removed_with_their_deployment(api: InProcessApi) -> None:
    load(api, full(id=FIRST_ID))
    api.sample("DeleteDeployment")
    assert get(api, FIRST_ID)
    api.pass_time(10)
    assert rejection(api, types.GetHotLoadRequest(id=FIRST_ID)).code == "not_found"
