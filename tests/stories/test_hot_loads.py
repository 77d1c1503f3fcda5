"""Hot-loads, and the fields whose numbers are not public: they travel as JSON, whatever the transport."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.message import Message

from cwinference import HotLoadState, Retry, errors, types
from tests.support import samples
from tests.support.connected_client import told
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Answer, Failure, Received

BASE = "/v1alpha1/inference"
AT_ONCE = Retry(initial_backoff=0)
DOWN = Failure("unavailable", "down")
FULL = types.SnapshotType.SNAPSHOT_TYPE_FULL


def by_sample(received: Received) -> Message:
    return samples.response_to(received.method)


def hot_load(identity: str, state: str = "PENDING") -> types.HotLoad:
    number = types.HotLoadState.Value(f"HOT_LOAD_STATE_{state}")
    spec = types.HotLoadSpec(id="h", deployment_id="d", identity=identity)
    return types.HotLoad(spec=spec, status=types.HotLoadStatus(state=number))


def pages(*identities: Sequence[str]) -> Answer:
    """Hot-loads in pages; the token of a page is its number."""

    def answer(received: Received) -> Message:
        number = int(received.request.page_token or 0)
        following = str(number + 1) if number + 1 < len(identities) else ""
        return types.ListHotLoadsResponse(hot_loads=map(hot_load, identities[number]), next_page_token=following)

    return answer


async def test_a_create_sends_all_that_was_given_and_an_id_of_its_own(kind: str) -> None:
    expected = samples.request("HotLoadService.CreateHotLoad.request.json")
    fields = {each.name: value for each, value in expected.ListFields() if each.name != "hot_load_id"}
    async with told(kind, by_sample) as (client, peer):
        made = await client.hot_loads.create(**fields)
    (received,) = peer.received
    assert received.path == f"{BASE}/hotLoads"
    assert received.request.hot_load_id
    received.request.hot_load_id = expected.hot_load_id  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert received.request == expected
    assert made == samples.response_to(received.method).hot_load  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("method", "path"), [("get", "/hotLoads/some-id"), ("cancel", "/hotLoads/some-id:cancel")])
async def test_one_is_read_and_cancelled_by_its_id(kind: str, method: str, path: str) -> None:
    async with told(kind, by_sample) as (client, peer):
        found = await getattr(client.hot_loads, method)("some-id")
    assert isinstance(found, types.HotLoad)
    assert peer.received[0].path == BASE + path


async def test_calls_of_both_forms_take_turns(kind: str) -> None:
    async with told(kind, by_sample) as (client, peer):
        for _ in range(2):
            await client.gateways.get("some-id")
            await client.hot_loads.get("some-id")
    rest = f"{BASE}/gateways/some-id" if kind.startswith("rest") else peer.received[0].method.path
    assert [each.path for each in peer.received] == [rest, f"{BASE}/hotLoads/some-id"] * 2


async def test_a_list_goes_over_all_pages(kind: str) -> None:
    async with told(kind, pages(["a", "b"], [], ["c"])) as (client, peer):
        found = [each.spec.identity async for each in client.hot_loads.list("d")]
    assert found == ["a", "b", "c"]
    asked = [(each.request.parent_deployment_id, each.request.page_token) for each in peer.received]
    assert asked == [("d", ""), ("d", "1"), ("d", "2")]


async def test_a_page_is_asked_for_when_it_is_needed(kind: str) -> None:
    async with told(kind, pages(["a"], ["b"], ["c"])) as (client, peer):
        async for each in client.hot_loads.list():
            if each.spec.identity == "b":
                break
        assert len(peer.received) == 2


async def test_replicas_go_over_all_pages_too(kind: str) -> None:
    def answer(received: Received) -> Message:
        page = received.request.page_token or "first"
        following = {"first": "second"}.get(page, "")
        return types.ListHotLoadReplicasResponse(replicas=[types.HotLoadReplica(name=page)], next_page_token=following)

    async with told(kind, answer) as (client, peer):
        assert [each.name async for each in client.hot_loads.replicas("some-id")] == ["first", "second"]
    assert peer.received[0].path.startswith(f"{BASE}/hotLoads/some-id/replicas")


async def test_pages_that_go_in_a_circle_end_in_an_error(kind: str) -> None:
    circle = types.ListHotLoadsResponse(hot_loads=[hot_load("a")], next_page_token="1")
    async with told(kind, lambda _: circle) as (client, peer):
        with pytest.raises(errors.ProtocolError, match="the same page token twice"):
            _ = [each async for each in client.hot_loads.list()]
    assert len(peer.received) == 2


async def test_a_page_that_fails_is_asked_for_again(kind: str) -> None:
    answers = [DOWN, DOWN]
    working = pages(["a"], ["b"])

    def answer(received: Received) -> Any:
        return answers.pop() if answers and received.request.page_token else working(received)

    async with told(kind, answer, retry=AT_ONCE) as (client, _):
        assert [each.spec.identity async for each in client.hot_loads.list()] == ["a", "b"]


async def test_a_lost_create_is_found_again_by_deployment_and_identity(kind: str) -> None:
    def answer(received: Received) -> Any:
        if received.method.name == "GetHotLoad":
            return types.GetHotLoadResponse(hot_load=hot_load("step-1"))
        return Failure("already_exists", "taken") if len(peer.received) > 1 else DOWN

    async with told(kind, answer, retry=AT_ONCE) as (client, peer):
        assert await client.hot_loads.create("d", identity="step-1", type=FULL) == hot_load("step-1")
        peer.received.clear()
        with pytest.raises(errors.AlreadyExists):
            await client.hot_loads.create("d", identity="step-2", type=FULL)


async def test_a_cancel_is_sent_once(kind: str) -> None:
    async with told(kind, lambda _: DOWN, retry=AT_ONCE) as (client, peer):
        with pytest.raises(errors.Unavailable):
            await client.hot_loads.cancel("some-id")
    assert len(peer.received) == 1


async def test_a_service_without_cancel_says_unimplemented(kind: str) -> None:
    async with told(kind, lambda _: Failure("unimplemented", "not yet")) as (client, _):
        with pytest.raises(errors.Unimplemented):
            await client.hot_loads.cancel("some-id")


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELED"])
async def test_a_wait_ends_when_it_is_over(kind: str, end: str) -> None:
    states = [end, "IN_PROGRESS", "PENDING"]

    def answer(_: Received) -> Message:
        return types.GetHotLoadResponse(hot_load=hot_load("step-1", states.pop()))

    async with told(kind, answer, clock=FakeClock().clock) as (client, peer):
        if end == "COMPLETED":
            assert HotLoadState.of(await client.hot_loads.wait("h")) is HotLoadState.COMPLETED
        else:
            with pytest.raises(errors.ResourceFailed, match=f"HotLoad step-1 is {end}"):
                await client.hot_loads.wait("h")
    assert len(peer.received) == 3


async def test_a_deployment_with_a_hot_load_is_created_by_rest(kind: str) -> None:
    request: Any = samples.request("DeploymentService.CreateDeployment.request.newer.json")
    async with told(kind, by_sample) as (client, peer):
        await client.deployments.create(**{each.name: value for each, value in request.ListFields()})
    assert peer.received[0].path == f"{BASE}/deployments"
    assert peer.received[0].request == request
    assert peer.received[0].request.HasField("hot_load")


async def test_a_gateway_with_address_ranges_is_updated_by_rest(kind: str) -> None:
    configuration = types.EndpointConfiguration(allowed_source_ip_ranges=["10.0.0.0/8"])
    async with told(kind, by_sample) as (client, peer):
        await client.gateways.update("some-id", name="front", endpoint_configuration=configuration)
    assert peer.received[0].path == f"{BASE}/gateways/some-id"
    assert peer.received[0].request.endpoint_configuration == configuration


@pytest.mark.parametrize("kind", ["rest-sync", "rest-async"])
async def test_an_answer_in_json_shows_the_hot_load_of_a_deployment(kind: str) -> None:
    newer = samples.response("DeploymentService.GetDeployment.response.newer.json")
    async with told(kind, lambda _: newer) as (client, _):
        assert (await client.deployments.get("some-id")).spec.HasField("hot_load")


async def test_what_travels_as_json_ends_with_the_client(kind: str) -> None:
    async with told(kind, by_sample) as (client, _):
        await client.hot_loads.get("some-id")
        await client.close()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await client.hot_loads.get("some-id")
