"""Which weights responded: `completion.weights` and `stream.weights`, with a poller that is in nobody's way."""

import asyncio
import pickle
import queue
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from google.protobuf.message import Message

from cwinference import AsyncClient, Client, Clock, errors, types
from cwinference.inference import Weights
from tests.completions.test_gateways import gateway
from tests.support.client_kinds import TOKEN
from tests.support.inference_kinds import AnyInference
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    json_response,
    stream_response,
)
from tests.support.scripted_server import Failure, ReceivedRequest, ScriptedServer
from tests.support.waiting import wait_until_async


class Pauses:
    """The pauses between polls: they last until a test ends them."""

    def __init__(self) -> None:
        self._begun = queue.SimpleQueue[Future[None]]()
        self._last: Future[None] | None = None
        self._are_over = False

    def sleep(self, _: float) -> None:
        self._begin().result()

    async def sleep_async(self, _: float) -> None:
        await asyncio.wrap_future(self._begin())

    def wait(self) -> None:
        """Wait until a poll has ended and a pause has begun, unless that is so."""
        if self._last is None:
            self._last = self._begun.get(timeout=60)

    def end(self) -> None:
        """End the pause, so that there is another poll."""
        self.wait()
        pause, self._last = self._last, None
        if pause is not None and not pause.cancelled():
            pause.set_result(None)

    def end_all(self) -> None:
        """End the pause, and begin no more."""
        self._are_over = True
        while self._last is not None or not self._begun.empty():
            self.end()

    def _begin(self) -> "Future[None]":
        pause = Future[None]()
        self._begun.put(pause)
        if self._are_over:
            self.end()
        return pause


class HotLoads:
    """The management API of a gateway with deployments, and what they have loaded."""

    def __init__(self, server: ScriptedModelServer) -> None:
        self.gateway = gateway(server)
        self.loaded: dict[str, list[tuple[str, str]]] = {"d-1": []}
        """The hot-loads of each deployment, newest first, by identity and state."""
        self.polls = 0
        self.pauses = Pauses()
        self.fails = False
        self.calls: list[str] = []

    def respond(self, received: ReceivedRequest) -> Message | Failure:
        self.calls.append(received.method.name)
        if self.fails:
            return Failure("internal", "broken")
        if received.method.name == "GetGateway":
            return types.GetGatewayResponse(gateway=self.gateway)
        if received.method.name == "ListDeployments":
            model = types.DeploymentModel(name=MODEL)
            specs = [types.DeploymentSpec(id=each, name=each, model=model) for each in self.loaded]
            return types.ListDeploymentsResponse(items=[types.Deployment(spec=spec) for spec in specs])
        self.polls += 1
        found = self.loaded[received.request.parent_deployment_id]
        return types.ListHotLoadsResponse(
            hot_loads=[_hot_load(len(found) - at, *each) for at, each in enumerate(found)]
        )

    def poll(self) -> None:
        """Have what is loaded polled; return when it is known."""
        self.pauses.end()
        self.pauses.wait()


def _hot_load(number: int, identity: str, state: str) -> types.HotLoad:
    spec = types.HotLoadSpec(id=f"h-{number}", identity=identity)
    return types.HotLoad(
        spec=spec, status=types.HotLoadStatus(state=types.HotLoadState.Value(f"HOT_LOAD_STATE_{state}"))
    )


@contextmanager
def ending(pauses: Pauses) -> Generator[None]:
    """End the pauses after the block, in which a thread may still be."""
    try:
        yield
    finally:
        pauses.end_all()


@asynccontextmanager
async def opened(kind: str, during: Any = None, **options: Any) -> AsyncGenerator[tuple[AnyInference, HotLoads]]:
    """Open an `Inference` of a gateway; `during` is called with the API while a request is on its way."""
    made: list[HotLoads] = []

    def respond(request: HttpRequest) -> ScriptedResponse:
        if during is not None:
            during(made[0])
        if request.body.get("stream"):
            return stream_response(chunk_event("Paris", "stop"), DONE)
        return json_response(completion())

    with ScriptedModelServer(respond) as server:
        made.append(HotLoads(server))
        pauses = made[0].pauses
        clock = Clock(sleep=pauses.sleep, sleep_async=pauses.sleep_async)
        with ScriptedServer("rest", made[0].respond) as api, ending(pauses):
            settings: Any = {"endpoint": api.endpoint, "transport": "rest", "clock": clock, "retry": None}
            if kind == "async":
                async with AsyncClient(TOKEN, **settings) as client, client.inference("g-1", **options) as inference:
                    yield AnyInference(inference), made[0]
            else:
                with (
                    Client(TOKEN, **settings) as sync_client,
                    sync_client.inference("g-1", **options) as sync_inference,
                ):
                    yield AnyInference(sync_inference), made[0]


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def synced(inference: AnyInference, api: HotLoads) -> None:
    """Let the poller find out what is loaded."""
    await inference.chat()  # which starts it, if it is the first one
    await asyncio.to_thread(api.pauses.wait)
    await asyncio.to_thread(api.poll)


async def test_a_completion_names_the_snapshot_before_and_after_it(kind: str) -> None:
    async with opened(kind, weights=True) as (inference, api):
        api.loaded["d-1"] = [("snap-2", "FAILED"), ("snap-1", "COMPLETED"), ("snap-0", "COMPLETED")]
        assert (await inference.chat()).weights is not None
        await synced(inference, api)
        response = await inference.chat()

    assert response.weights == Weights(before="snap-1", after="snap-1", loading=None, changed=False)
    assert pickle.loads(pickle.dumps(response)).weights == response.weights  # noqa: S301 - ours


async def test_it_says_when_they_changed_in_between_also_on_streams(kind: str) -> None:
    loaded = [("snap-2", "COMPLETED"), ("snap-1", "COMPLETED")]
    steps = [loaded, [("snap-3", "IN_PROGRESS"), *loaded]]
    ready: list[bool] = []

    def during(api: HotLoads) -> None:
        if ready and steps:
            api.loaded["d-1"] = steps.pop(0)
            api.poll()

    async with opened(kind, during, weights=True) as (inference, api):
        api.loaded["d-1"] = [("snap-1", "COMPLETED")]
        await synced(inference, api)
        ready.append(True)
        first = (await inference.chat()).weights
        stream = inference.stream()
        await inference.read(stream)
        api.loaded["d-1"] = [("snap-9", "COMPLETED")]
        await asyncio.to_thread(api.poll)
        second = stream.weights

    assert first == Weights(before="snap-1", after="snap-2", loading=None, changed=True)
    assert second == Weights(before="snap-2", after="snap-2", loading="snap-3", changed=False)


async def test_deployments_that_differ_and_polls_that_fail_claim_nothing(kind: str) -> None:
    nothing = Weights(before=None, after=None, loading=None, changed=False)
    async with opened(kind, weights=True) as (inference, api):
        api.loaded = {"d-1": [("snap-1", "COMPLETED")], "d-2": [("snap-2", "COMPLETED")]}
        await synced(inference, api)
        assert (await inference.chat()).weights == nothing
    async with opened(kind, weights=True) as (inference, api):
        await inference.chat()
        api.fails = True
        assert (await inference.chat()).text == "Paris"


@pytest.mark.parametrize("weights", ["yes", 1, None])
def test_weights_are_asked_for_by_true_or_false(weights: Any) -> None:
    with (
        Client(TOKEN, endpoint="http://127.0.0.1:1") as client,
        pytest.raises(errors.ConfigurationError, match="weights: expected True or False"),
    ):
        client.inference("g-1", weights=weights)


async def test_without_weights_nothing_is_polled(kind: str) -> None:
    async with opened(kind) as (inference, api):
        assert (await inference.chat()).weights is None
        stream = inference.stream()
        await inference.read(stream)
        assert stream.weights is None

    assert api.calls == ["GetGateway"]


async def test_polling_ends_when_the_inference_is_closed(kind: str) -> None:
    async with opened(kind, weights=True) as (inference, api):
        await synced(inference, api)
        poller = inference.wrapped._server.weights._poller
        before = api.polls
        await inference.close()
        if not inference.is_async:  # a task is canceled in its pause, but a thread goes on after it
            api.pauses.end()
        await wait_until_async(lambda: poller.has_ended() or api.polls > before)
        assert api.polls == before
