"""Completions of a client's gateway: when it is read, where the token goes, and what is said when it cannot work."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.message import Message

from cwinference import AsyncClient, Client, State, errors, types
from tests.support.client_kinds import TOKEN
from tests.support.inference_kinds import Front
from tests.support.scripted_model_server import MODEL, Asked, ModelServer, Reply, completion, plain
from tests.support.scripted_server import Failure, Peer, Received

READY = types.Status.STATUS_READY
WANDB = "wandb-key-of-the-tests"


def gateway(server: ModelServer | str, status: Any = READY, **spec: Any) -> types.Gateway:
    url = server if isinstance(server, str) else server.url
    spec = {"core_weave_auth": types.CoreWeaveAuth(), "body_based_routing": types.BodyBasedRouting(), **spec}
    endpoints = [url] if url else []
    return types.Gateway(
        spec=types.GatewaySpec(id="g-1", name="front", **spec),
        status=types.GatewayStatus(status=status, endpoints=endpoints),
    )


class World:
    """A management API that gives one gateway, a model server behind it, and a client."""

    def __init__(self, awaits: bool, client: Any, api: Peer, server: ModelServer) -> None:
        self.awaits = awaits
        self.client = client
        self.api = api
        self.server = server
        self.gateway = gateway(server)
        self.deployments: Message | Failure = types.ListDeploymentsResponse()

    def front(self, asked_for: Any = "g-1", **options: Any) -> Front:
        return Front(self.client.inference(asked_for, **options))

    @property
    def calls(self) -> list[str]:
        return [each.method.name for each in self.api.received]


@asynccontextmanager
async def world(kind: str, answer: Any = None) -> AsyncGenerator[World]:
    found: list[World] = []

    def api(received: Received) -> Message | Failure:
        if received.method.name == "GetGateway":
            return types.GetGatewayResponse(gateway=found[0].gateway)
        return found[0].deployments

    with Peer("rest", api) as peer, ModelServer(answer or (lambda _: plain(completion()))) as server:
        if kind.startswith("async"):
            async with AsyncClient(TOKEN, endpoint=peer.endpoint, transport="rest") as client:
                found.append(World(True, client, peer, server))
                yield found[0]
        else:
            with Client(TOKEN, endpoint=peer.endpoint, transport="rest") as blocking:
                found.append(World(False, blocking, peer, server))
                yield found[0]


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_gateway_by_id_is_read_at_the_first_request_and_not_again(kind: str) -> None:
    async with world(kind) as there:
        front = there.front()
        assert there.calls == []
        await front.chat()
        await front.complete()
        assert there.calls == ["GetGateway"]
        assert front.inference.base_url() == f"{there.server.url}/v1"
    assert [each.headers["authorization"] for each in there.server.asked] == [f"Bearer {TOKEN}"] * 2


async def test_before_the_first_request_the_url_is_not_known(kind: str) -> None:
    async with world(kind) as there:
        front = there.front()
        with pytest.raises(errors.ConfigurationError, match="not read yet"):
            front.inference.base_url()
        with pytest.raises(errors.ConfigurationError, match="not read yet"):
            front.inference.openai()


async def test_the_message_of_a_ready_gateway_needs_no_read(kind: str) -> None:
    async with world(kind) as there:
        front = there.front(there.gateway)
        assert front.inference.base_url() == f"{there.server.url}/v1"
        await front.chat()
        assert there.calls == []


async def test_a_message_that_is_old_is_read_again(kind: str) -> None:
    async with world(kind) as there:
        front = there.front(gateway("", types.Status.STATUS_CREATING))
        with pytest.raises(errors.ConfigurationError, match="^gateway: it is a gateway that was CREATING, so its URL"):
            front.inference.base_url()
        await front.chat()
        assert there.calls == ["GetGateway"]


NOT_READY = [State.CREATING, State.DELETING, State.FAILED, State.ERROR, State.UNKNOWN]


@pytest.mark.parametrize("state", NOT_READY)
async def test_a_gateway_that_is_not_ready_is_refused_by_name_and_state(kind: str, state: State) -> None:
    async with world(kind) as there:
        there.gateway.status.status = state.value
        front = there.front()
        with pytest.raises(errors.ConfigurationError, match=f"front is {state.name}"):
            await front.chat()
        there.gateway.status.status = READY
        await front.chat()
    assert len(there.server.asked) == 1


async def test_a_gateway_that_does_not_exist_is_not_found(kind: str) -> None:
    async with world(kind) as there:
        there.api._answer = lambda _: Failure("not_found", "no such gateway")
        with pytest.raises(errors.NotFound, match="no such gateway"):
            await there.front().chat()


async def test_a_gateway_with_wandb_auth_gets_the_wandb_key_and_never_the_token(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    async with world(kind, answer_404) as there:
        there.gateway.spec.weights_and_biases_auth.SetInParent()
        with pytest.raises(errors.ConfigurationError, match="WANDB_API_KEY"):
            await there.front().chat()
        front = there.front(token=WANDB)
        for _ in range(2):
            with pytest.raises(errors.NotFound):
                await front.chat()
        monkeypatch.setenv("WANDB_API_KEY", "of-the-environment")
        with pytest.raises(errors.NotFound):
            await there.front().chat()
    sent = [each.headers["authorization"] for each in there.server.asked]
    assert sent == [f"Bearer {WANDB}"] * 2 + ["Bearer of-the-environment"]
    assert {each.headers["authorization"] for each in there.api.received} == {f"Bearer {TOKEN}"}


async def test_a_token_of_its_own_goes_before_the_clients(kind: str) -> None:
    async with world(kind) as there:
        await there.front(token="another").chat()
    assert there.server.asked[0].headers["authorization"] == "Bearer another"


FOREIGN = ["https://elsewhere.example", "https://front.example.evil.example", "https://user@front.example", "ftp://x"]


@pytest.mark.parametrize("endpoint", FOREIGN)
async def test_an_endpoint_that_is_not_the_gateways_is_refused(kind: str, endpoint: str) -> None:
    async with world(kind) as there:
        there.gateway.spec.endpoint_configuration.additional_dns.append("front.example")
        with pytest.raises(errors.ConfigurationError, match="endpoint"):
            await there.front(endpoint=endpoint).chat()
    assert there.server.asked == []


async def test_a_dns_name_of_the_gateways_own_is_used(kind: str) -> None:
    async with world(kind) as there:
        there.gateway.spec.endpoint_configuration.additional_dns.append("Front.example")
        front = there.front(there.gateway, endpoint="https://front.example")
        assert front.inference.base_url() == "https://front.example/v1"
        assert there.front(there.gateway, endpoint="front.example").inference.base_url() == "https://front.example/v1"


@pytest.mark.parametrize("url", ["http://front.example", "ftp://front.example", "https://", "https://a@b"])
async def test_a_gateways_endpoint_that_may_not_get_the_token_is_refused(kind: str, url: str) -> None:
    async with world(kind) as there:
        there.gateway = gateway(url)
        with pytest.raises(errors.ConfigurationError, match="endpoint"):
            await there.front().chat()


def answer_404(_: Asked) -> Reply:
    return plain({"error": {"message": "The model does not exist.", "code": 404}}, 404)


async def test_a_model_that_nobody_serves_is_told_with_those_that_are(kind: str) -> None:
    def deployment(name: str, disabled: bool = False) -> types.Deployment:
        model = types.DeploymentModel(name=name)
        return types.Deployment(spec=types.DeploymentSpec(model=model, disabled=disabled))

    async with world(kind, answer_404) as there:
        there.deployments = types.ListDeploymentsResponse(
            items=[deployment("b/two"), deployment("a/one"), deployment("off", disabled=True)]
        )
        front = there.front()
        with pytest.raises(errors.NotFound, match="serves 'nope'; it serves: a/one, b/two"):
            await front.chat(model="nope")
        with pytest.raises(errors.NotFound, match="it serves: a/one, b/two") as caught:
            await front.chat(model="nope")
        assert there.calls.count("ListDeployments") == 1
        assert caught.value.message.startswith("The model does not exist.")
        with pytest.raises(errors.NotFound) as caught:
            await there.front().chat(model="a/one")
        assert caught.value.message == "The model does not exist."
        there.deployments = Failure("permission_denied", "no")
        with pytest.raises(errors.NotFound) as caught:
            await there.front().chat(model="nope")
        assert caught.value.message == "The model does not exist."
    assert there.api.received[-1].request.parent_gateway_id == "g-1"


async def test_routing_is_taken_from_the_gateway(kind: str) -> None:
    async with world(kind) as there:
        there.gateway.spec.path_based_routing.SetInParent()
        front = there.front()
        await front.chat()
        with pytest.raises(errors.ConfigurationError, match="model"):
            front.inference.base_url()
        with pytest.raises(errors.ConfigurationError, match="path"):
            await front.chat(model="..")
        there.gateway.spec.header_based_routing.header_name = "x-model"
        front = there.front()
        await front.chat()
        with pytest.raises(errors.ConfigurationError, match="ASCII"):
            await front.chat(model="modèle")
    assert [each.path for each in there.server.asked] == ["/org%2Fmodel/v1/chat/completions", "/v1/chat/completions"]
    assert there.server.asked[1].headers["x-model"] == MODEL


async def test_fronts_of_one_client_share_connections_which_end_with_the_client(kind: str) -> None:
    async with world(kind) as there:
        front = there.front(there.gateway)
        for _ in range(5):
            front = there.front(there.gateway)
            await front.chat()
            await front.do(_close) if there.awaits else front.inference.close()
        copy = there.client.with_options(retry=None)
        await Front(copy.inference(there.gateway)).chat()
        assert there.server.connections < 4  # one, if pyqwest has it back before the next request
        await there.client.close() if there.awaits else there.client.close()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await front.chat()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            there.client.inference("g-1")


async def _close(inference: Any) -> None:
    await inference.close()


@pytest.mark.parametrize("wrong", ["", None, 7, types.Deployment()])
async def test_what_is_no_gateway_is_refused(kind: str, wrong: Any) -> None:
    async with world(kind) as there:
        with pytest.raises(errors.ConfigurationError, match="gateway"):
            there.front(wrong)


async def test_a_misspelt_option_of_inference_is_told_with_those_that_there_are(kind: str) -> None:
    async with world(kind) as there:
        with pytest.raises(TypeError, match="^client.inference: unexpected keyword argument 'tokn'; it takes token, "):
            there.front(tokn="t")


async def test_many_first_requests_at_once_work(kind: str) -> None:
    async with world(kind) as there:
        front = there.front()
        answers = await asyncio.gather(*(front.chat() for _ in range(20)))
    assert len(answers) == len(there.server.asked) == 20


def test_a_message_of_a_gateway_that_is_not_ready_shows_its_state() -> None:
    gateway = types.Gateway(
        spec=types.GatewaySpec(id="x"), status=types.GatewayStatus(status=types.Status.STATUS_CREATING)
    )
    with Client("token", endpoint="http://127.0.0.1:9") as client:
        assert "a gateway that was CREATING" in repr(client.inference(gateway))
