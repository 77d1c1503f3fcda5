"""Hot-loads, and other messages with fields whose numbers are not published: they travel as JSON on all transports."""

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.message import Message

from cwinference import HotLoadState, Retry, errors, types
from tests.support import samples
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Failure, ReceivedRequest, Responder

BASE = "/v1alpha1/inference"
AT_ONCE = Retry(initial_backoff=0)
DOWN = Failure("unavailable", "down")
FULL = types.SnapshotType.SNAPSHOT_TYPE_FULL


def by_sample(received: ReceivedRequest) -> Message:
    return samples.response_to(received.method)


def hot_load(identity: str, state: str = "PENDING") -> types.HotLoad:
    number = types.HotLoadState.Value(f"HOT_LOAD_STATE_{state}")
    spec = types.HotLoadSpec(id="h", deployment_id="d", identity=identity, type=FULL)
    return types.HotLoad(spec=spec, status=types.HotLoadStatus(state=number))


def pages(*identities: Sequence[str]) -> Responder:
    """Return a responder that sends hot-loads in pages; the token of a page is its number."""

    def respond(received: ReceivedRequest) -> Message:
        number = int(received.request.page_token or 0)
        next_token = str(number + 1) if number + 1 < len(identities) else ""
        return types.ListHotLoadsResponse(hot_loads=map(hot_load, identities[number]), next_page_token=next_token)

    return respond


async def test_a_create_sends_all_arguments_and_a_generated_id(kind: str) -> None:
    expected = samples.request("HotLoadService.CreateHotLoad.request.json")
    fields = {each.name: value for each, value in expected.ListFields() if each.name != "hot_load_id"}
    async with connected(kind, by_sample) as (client, server):
        made = await client.hot_loads.create(**fields)
    (received,) = server.received
    assert received.path == f"{BASE}/hotLoads"
    assert received.request.hot_load_id
    received.request.hot_load_id = expected.hot_load_id  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert received.request == expected
    assert made == samples.response_to(received.method).hot_load  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(("method", "path"), [("get", "/hotLoads/some-id"), ("cancel", "/hotLoads/some-id:cancel")])
async def test_a_hot_load_is_read_and_canceled_by_its_id(kind: str, method: str, path: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        found = await getattr(client.hot_loads, method)("some-id")
    assert isinstance(found, types.HotLoad)
    assert server.received[0].path == BASE + path


async def test_binary_and_json_calls_alternate(kind: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        for _ in range(2):
            await client.gateways.get("some-id")
            await client.hot_loads.get("some-id")
    rest = f"{BASE}/gateways/some-id" if kind.startswith("rest") else server.received[0].method.path
    assert [each.path for each in server.received] == [rest, f"{BASE}/hotLoads/some-id"] * 2


async def test_a_list_iterates_over_all_pages(kind: str) -> None:
    async with connected(kind, pages(["a", "b"], [], ["c"])) as (client, server):
        found = [each.spec.identity async for each in client.hot_loads.list("d")]
    assert found == ["a", "b", "c"]
    sent = [(each.request.parent_deployment_id, each.request.page_token) for each in server.received]
    assert sent == [("d", ""), ("d", "1"), ("d", "2")]


async def test_a_page_is_requested_only_when_it_is_needed(kind: str) -> None:
    async with connected(kind, pages(["a"], ["b"], ["c"])) as (client, server):
        async for each in client.hot_loads.list():
            if each.spec.identity == "b":
                break
        assert len(server.received) == 2


async def test_replicas_iterate_over_all_pages_too(kind: str) -> None:
    def respond(received: ReceivedRequest) -> Message:
        page = received.request.page_token or "first"
        next_token = {"first": "second"}.get(page, "")
        return types.ListHotLoadReplicasResponse(replicas=[types.HotLoadReplica(name=page)], next_page_token=next_token)

    async with connected(kind, respond) as (client, server):
        assert [each.name async for each in client.hot_loads.replicas("some-id")] == ["first", "second"]
    assert server.received[0].path.startswith(f"{BASE}/hotLoads/some-id/replicas")


async def test_a_circle_of_page_tokens_ends_in_an_error(kind: str) -> None:
    circle = types.ListHotLoadsResponse(hot_loads=[hot_load("a")], next_page_token="1")
    async with connected(kind, lambda _: circle) as (client, server):
        with pytest.raises(errors.ProtocolError, match="the same page token twice"):
            _ = [each async for each in client.hot_loads.list()]
    assert len(server.received) == 2


async def test_a_page_that_fails_is_requested_again(kind: str) -> None:
    failures = [DOWN, DOWN]
    working = pages(["a"], ["b"])

    def respond(received: ReceivedRequest) -> Any:
        return failures.pop() if failures and received.request.page_token else working(received)

    async with connected(kind, respond, retry=AT_ONCE) as (client, _):
        assert [each.spec.identity async for each in client.hot_loads.list()] == ["a", "b"]


async def test_a_create_whose_response_was_lost_is_found_by_deployment_and_identity(kind: str) -> None:
    def respond(received: ReceivedRequest) -> Any:
        if received.method.name == "GetHotLoad":
            return types.GetHotLoadResponse(hot_load=hot_load("step-1"))
        return Failure("already_exists", "taken") if len(server.received) > 1 else DOWN

    async with connected(kind, respond, retry=AT_ONCE) as (client, server):
        assert await client.hot_loads.create("d", identity="step-1", type=FULL) == hot_load("step-1")
        server.received.clear()
        with pytest.raises(errors.AlreadyExists):
            await client.hot_loads.create("d", identity="step-2", type=FULL)


async def test_a_cancel_is_not_retried(kind: str) -> None:
    async with connected(kind, lambda _: DOWN, retry=AT_ONCE) as (client, server):
        with pytest.raises(errors.Unavailable):
            await client.hot_loads.cancel("some-id")
    assert len(server.received) == 1


async def test_cancel_raises_unimplemented_if_the_service_does_not_support_it(kind: str) -> None:
    async with connected(kind, lambda _: Failure("unimplemented", "not yet")) as (client, _):
        with pytest.raises(errors.Unimplemented):
            await client.hot_loads.cancel("some-id")


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELED"])
async def test_a_wait_ends_with_a_final_state(kind: str, end: str) -> None:
    states = [end, "IN_PROGRESS", "PENDING"]

    def respond(_: ReceivedRequest) -> Message:
        return types.GetHotLoadResponse(hot_load=hot_load("step-1", states.pop()))

    async with connected(kind, respond, clock=FakeClock().clock) as (client, server):
        if end == "COMPLETED":
            assert HotLoadState.of(await client.hot_loads.wait("h")) is HotLoadState.COMPLETED
        else:
            with pytest.raises(errors.ResourceFailed, match=f"HotLoad step-1 is {end}"):
                await client.hot_loads.wait("h")
    assert len(server.received) == 3


async def test_a_deployment_with_a_hot_load_is_created_by_rest(kind: str) -> None:
    request: Any = samples.request("DeploymentService.CreateDeployment.request.newer.json")
    async with connected(kind, by_sample) as (client, server):
        await client.deployments.create(**{each.name: value for each, value in request.ListFields()})
    assert server.received[0].path == f"{BASE}/deployments"
    assert server.received[0].request == request
    assert server.received[0].request.HasField("hot_load")


async def test_a_gateway_with_address_ranges_is_updated_by_rest(kind: str) -> None:
    configuration = types.EndpointConfiguration(allowed_source_ip_ranges=["10.0.0.0/8"])
    async with connected(kind, by_sample) as (client, server):
        await client.gateways.update("some-id", name="front", endpoint_configuration=configuration)
    assert server.received[0].path == f"{BASE}/gateways/some-id"
    assert server.received[0].request.endpoint_configuration == configuration


@pytest.mark.parametrize("kind", ["rest-sync", "rest-async"])
async def test_a_response_in_json_contains_the_hot_load_settings_of_a_deployment(kind: str) -> None:
    newer = samples.response("DeploymentService.GetDeployment.response.newer.json")
    async with connected(kind, lambda _: newer) as (client, _):
        assert (await client.deployments.get("some-id")).spec.HasField("hot_load")


async def test_json_calls_end_with_the_client_too(kind: str) -> None:
    async with connected(kind, by_sample) as (client, _):
        await client.hot_loads.get("some-id")
        await client.close()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await client.hot_loads.get("some-id")
