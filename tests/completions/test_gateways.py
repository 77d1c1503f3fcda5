"""Completions of a client's gateway: when the gateway is read, where the token goes, and the errors."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.protobuf.message import Message

from cwinference import AsyncClient, Client, State, errors, types
from tests.support.client_kinds import TOKEN
from tests.support.inference_kinds import MESSAGES, AnyInference
from tests.support.scripted_model_server import (
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    completion,
    json_response,
)
from tests.support.scripted_server import Failure, ReceivedRequest, ScriptedServer

READY = types.Status.STATUS_READY
WANDB = "wandb-key-of-the-tests"


def gateway(server: ScriptedModelServer | str, status: Any = READY, **spec: Any) -> types.Gateway:
    url = server if isinstance(server, str) else server.url
    spec = {"core_weave_auth": types.CoreWeaveAuth(), "body_based_routing": types.BodyBasedRouting(), **spec}
    endpoints = [url] if url else []
    return types.Gateway(
        spec=types.GatewaySpec(id="g-1", name="front", **spec),
        status=types.GatewayStatus(status=status, endpoints=endpoints),
    )


class HeldRead:
    """A read of the gateway that gets no response before it is released."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        """Its response; None: the gateway."""
        self._has_begun, self._is_released = threading.Event(), threading.Event()

    async def begun(self) -> None:
        """Wait until the API has received it."""
        assert await asyncio.to_thread(self._has_begun.wait, 10)

    def release(self) -> None:
        """Respond."""
        self._is_released.set()

    def wait(self) -> Failure | None:
        """Wait, if it is the first one; return how to respond then."""
        is_first = not self._has_begun.is_set()
        self._has_begun.set()
        assert self._is_released.wait(10)
        return self.failure if is_first else None


class Setup:
    """A management API with one gateway, a model server behind it, and a client."""

    def __init__(self, is_async: bool, client: Any, api: ScriptedServer, server: ScriptedModelServer) -> None:
        self.is_async = is_async
        self.client = client
        self.api = api
        self.server = server
        self.gateway = gateway(server)
        self.deployments: Message | Failure = types.ListDeploymentsResponse()
        self.held: HeldRead | None = None

    def inference(self, gateway: Any = "g-1", **options: Any) -> AnyInference:
        return AnyInference(self.client.inference(gateway, **options))

    @contextmanager
    def held_gateway(self) -> Generator["HeldRead"]:
        """Hold the first read of the gateway back until it is released."""
        self.held = HeldRead()
        try:
            yield self.held
        finally:
            self.held.release()

    @property
    def calls(self) -> list[str]:
        return [each.method.name for each in self.api.received]


@asynccontextmanager
async def open_setup(kind: str, respond: Any = None, **settings: Any) -> AsyncGenerator[Setup]:
    opened: list[Setup] = []

    def respond_as_api(received: ReceivedRequest) -> Message | Failure:
        if received.method.name == "GetGateway":
            failure = None if opened[0].held is None else opened[0].held.wait()
            if failure is not None:
                return failure
            return types.GetGatewayResponse(gateway=opened[0].gateway)
        return opened[0].deployments

    with (
        ScriptedServer("rest", respond_as_api) as api,
        ScriptedModelServer(respond or (lambda _: json_response(completion()))) as server,
    ):
        if kind.startswith("async"):
            async with AsyncClient(TOKEN, endpoint=api.endpoint, transport="rest", **settings) as client:
                opened.append(Setup(True, client, api, server))
                yield opened[0]
        else:
            with Client(TOKEN, endpoint=api.endpoint, transport="rest", **settings) as sync_client:
                opened.append(Setup(False, sync_client, api, server))
                yield opened[0]


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_gateway_given_by_id_is_read_once_at_the_first_request(kind: str) -> None:
    async with open_setup(kind) as setup:
        inference = setup.inference()
        assert setup.calls == []
        await inference.chat()
        await inference.complete()
        assert setup.calls == ["GetGateway"]
        assert inference.wrapped.base_url() == f"{setup.server.url}/v1"
    assert [each.headers["authorization"] for each in setup.server.requests] == [f"Bearer {TOKEN}"] * 2


async def test_the_url_is_unknown_before_the_first_request(kind: str) -> None:
    async with open_setup(kind) as setup:
        inference = setup.inference()
        with pytest.raises(errors.ConfigurationError, match="gateway has not been read yet"):
            inference.wrapped.base_url()
        with pytest.raises(errors.ConfigurationError, match="gateway has not been read yet"):
            inference.wrapped.openai()


async def test_the_message_of_a_ready_gateway_is_used_without_a_read(kind: str) -> None:
    async with open_setup(kind) as setup:
        inference = setup.inference(setup.gateway)
        assert inference.wrapped.base_url() == f"{setup.server.url}/v1"
        await inference.chat()
        assert setup.calls == []


async def test_an_outdated_gateway_message_is_read_again(kind: str) -> None:
    async with open_setup(kind) as setup:
        inference = setup.inference(gateway("", types.Status.STATUS_CREATING))
        with pytest.raises(errors.ConfigurationError, match="^gateway was CREATING, so its URL"):
            inference.wrapped.base_url()
        await inference.chat()
        assert setup.calls == ["GetGateway"]


NOT_READY = [State.CREATING, State.DELETING, State.FAILED, State.ERROR, State.UNKNOWN]


@pytest.mark.parametrize("state", NOT_READY)
async def test_a_gateway_that_is_not_ready_is_rejected_with_its_name_and_state(kind: str, state: State) -> None:
    async with open_setup(kind) as setup:
        setup.gateway.status.status = state.value
        inference = setup.inference()
        with pytest.raises(errors.ConfigurationError, match=f"front is {state.name}"):
            await inference.chat()
        setup.gateway.status.status = READY
        await inference.chat()
    assert len(setup.server.requests) == 1


async def test_a_gateway_that_does_not_exist_is_not_found(kind: str) -> None:
    async with open_setup(kind) as setup:
        setup.api._respond = lambda _: Failure("not_found", "no such gateway")
        with pytest.raises(errors.NotFound, match="no such gateway"):
            await setup.inference().chat()


async def test_a_gateway_with_wandb_auth_gets_the_wandb_key_and_never_the_token(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    async with open_setup(kind, respond_404) as setup:
        setup.gateway.spec.weights_and_biases_auth.SetInParent()
        with pytest.raises(errors.ConfigurationError, match="WANDB_API_KEY"):
            await setup.inference().chat()
        inference = setup.inference(token=WANDB)
        for _ in range(2):
            with pytest.raises(errors.NotFound):
                await inference.chat()
        monkeypatch.setenv("WANDB_API_KEY", "of-the-environment")
        with pytest.raises(errors.NotFound):
            await setup.inference().chat()
    sent = [each.headers["authorization"] for each in setup.server.requests]
    assert sent == [f"Bearer {WANDB}"] * 2 + ["Bearer of-the-environment"]
    assert {each.headers["authorization"] for each in setup.api.received} == {f"Bearer {TOKEN}"}


async def test_a_gateway_with_an_unknown_auth_gets_no_token_but_an_explicit_one(kind: str) -> None:
    async with open_setup(kind) as setup:
        setup.gateway = gateway(setup.server, core_weave_auth=None)
        with pytest.raises(errors.ConfigurationError, match="^gateway 'front' has an auth that this release does not"):
            await setup.inference().chat()
        assert setup.server.requests == []
        await setup.inference(token="another-token").chat()
    assert setup.server.requests[0].headers["authorization"] == "Bearer another-token"


async def test_an_explicit_token_takes_precedence_over_the_clients(kind: str) -> None:
    async with open_setup(kind) as setup:
        await setup.inference(token="another").chat()
    assert setup.server.requests[0].headers["authorization"] == "Bearer another"


OF_OTHERS = ["https://elsewhere.example", "https://front.example.evil.example", "https://user@front.example", "ftp://x"]


@pytest.mark.parametrize("endpoint", OF_OTHERS)
async def test_an_endpoint_that_does_not_belong_to_the_gateway_is_rejected(kind: str, endpoint: str) -> None:
    async with open_setup(kind) as setup:
        setup.gateway.spec.endpoint_configuration.additional_dns.append("front.example")
        with pytest.raises(errors.ConfigurationError, match="endpoint"):
            await setup.inference(endpoint=endpoint).chat()
    assert setup.server.requests == []


async def test_an_additional_dns_name_of_the_gateway_can_be_chosen(kind: str) -> None:
    async with open_setup(kind) as setup:
        setup.gateway.spec.endpoint_configuration.additional_dns.append("Front.example")
        inference = setup.inference(setup.gateway, endpoint="https://front.example")
        assert inference.wrapped.base_url() == "https://front.example/v1"
        assert setup.inference(setup.gateway, endpoint="front.example").wrapped.base_url() == "https://front.example/v1"


async def test_a_name_of_the_gateway_may_be_given_in_another_spelling(kind: str) -> None:
    async with open_setup(kind) as setup:
        setup.gateway.spec.endpoint_configuration.additional_dns.append("münchen.example")
        for endpoint in ("https://xn--mnchen-3ya.example", "https://MÜNCHEN.example."):
            assert setup.inference(setup.gateway, endpoint=endpoint).wrapped.base_url() == f"{endpoint}/v1"


@pytest.mark.parametrize("url", ["http://front.example", "ftp://front.example", "https://", "https://a@b"])
async def test_the_token_is_not_sent_to_an_unsafe_endpoint_of_the_gateway(kind: str, url: str) -> None:
    async with open_setup(kind) as setup:
        setup.gateway = gateway(url)
        with pytest.raises(errors.ConfigurationError, match="endpoint"):
            await setup.inference().chat()


INWARD = [
    "http://127.0.0.1:8080", "https://localhost", "https://10.0.0.1", "https://[fd00::1]", "https://169.254.169.254",
    "https://127.1",
]  # fmt: skip


@pytest.mark.parametrize("url", INWARD)
@pytest.mark.parametrize("client_class", [Client, AsyncClient])
async def test_a_gateway_of_a_public_api_cannot_direct_the_token_to_a_private_address(
    client_class: Any, url: str
) -> None:
    client = client_class(TOKEN, endpoint="https://api.example")
    host = urlsplit(url).hostname
    problem = f"^endpoint: the gateway's endpoint is {host}, a loopback or private address, to which the token is not"
    for arguments in ({}, {"token": WANDB}, {"endpoint": url}):
        with pytest.raises(errors.ConfigurationError, match=problem) as caught:
            client.inference(gateway(url), **arguments)
    allowed = client_class(TOKEN, endpoint="https://api.example", gateway_hosts=[host])
    assert str(caught.value).endswith(f"create the client with gateway_hosts={[host]}")
    assert str(caught.value.for_command).endswith("use --base-url and --token-file instead of --gateway")
    assert allowed.inference(gateway(url)).base_url() == f"{url}/v1"


@pytest.mark.parametrize("client_class", [Client, AsyncClient])
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "https://10.0.0.1"])
async def test_a_gateway_of_a_private_api_may_be_private_too(client_class: Any, endpoint: str) -> None:
    client = client_class(TOKEN, endpoint=endpoint)
    assert [client.inference(gateway(url)).base_url() for url in INWARD] == [f"{url}/v1" for url in INWARD]


async def test_a_gateway_that_was_read_directs_the_token_only_to_the_hosts_that_are_allowed(kind: str) -> None:
    async with open_setup(kind, gateway_hosts=("*.example", "front.test")) as setup:
        inference = setup.inference()
        problem = "to which the token is not sent; gateway_hosts allows \\*.example, front.test$"
        with pytest.raises(errors.ConfigurationError, match=problem):
            await inference.chat()
        with pytest.raises(errors.ConfigurationError, match=problem):
            await inference.read(inference.stream())
        for url in ("https://a.example", "https://front.test"):
            assert setup.inference(gateway(url)).wrapped.base_url() == f"{url}/v1"
    async with open_setup(kind, gateway_hosts=["127.0.0.1"]) as other:
        await other.inference().chat()
    assert (len(setup.server.requests), len(other.server.requests)) == (0, 1)


def respond_404(_: HttpRequest) -> ScriptedResponse:
    return json_response({"error": {"message": "The model does not exist.", "code": 404}}, 404)


async def test_not_found_for_an_unknown_model_lists_the_served_models(kind: str) -> None:
    def deployment(name: str, disabled: bool = False) -> types.Deployment:
        model = types.DeploymentModel(name=name)
        return types.Deployment(spec=types.DeploymentSpec(model=model, disabled=disabled))

    async with open_setup(kind, respond_404) as setup:
        setup.deployments = types.ListDeploymentsResponse(
            items=[deployment("b/two"), deployment("a/one"), deployment("off", disabled=True)]
        )
        inference = setup.inference()
        with pytest.raises(errors.NotFound, match="serves 'nope'; it serves: a/one, b/two"):
            await inference.chat(model="nope")
        with pytest.raises(errors.NotFound, match="it serves: a/one, b/two") as caught:
            await inference.chat(model="nope")
        assert setup.calls.count("ListDeployments") == 1
        assert caught.value.message.startswith("The model does not exist.")
        with pytest.raises(errors.NotFound) as caught:
            await setup.inference().chat(model="a/one")
        assert caught.value.message == "The model does not exist."
        setup.deployments = Failure("permission_denied", "no")
        with pytest.raises(errors.NotFound) as caught:
            await setup.inference().chat(model="nope")
        assert caught.value.message == "The model does not exist."
    assert setup.api.received[-1].request.parent_gateway_id == "g-1"


async def test_routing_is_taken_from_the_gateway(kind: str) -> None:
    async with open_setup(kind) as setup:
        setup.gateway.spec.path_based_routing.SetInParent()
        inference = setup.inference()
        await inference.chat()
        with pytest.raises(errors.ConfigurationError, match="model"):
            inference.wrapped.base_url()
        with pytest.raises(errors.ConfigurationError, match="path"):
            await inference.chat(model="..")
        setup.gateway.spec.header_based_routing.header_name = "x-model"
        inference = setup.inference()
        await inference.chat()
        with pytest.raises(errors.ConfigurationError, match="ASCII"):
            await inference.chat(model="modèle")
    assert [each.path for each in setup.server.requests] == ["/org%2Fmodel/v1/chat/completions", "/v1/chat/completions"]
    assert setup.server.requests[1].headers["x-model"] == MODEL


async def test_inferences_of_a_client_share_connections_until_it_is_closed(kind: str) -> None:
    async with open_setup(kind) as setup:
        inference = setup.inference(setup.gateway)
        for _ in range(5):
            inference = setup.inference(setup.gateway)
            await inference.chat()
            await inference.close()
        copy = setup.client.with_options(retry=None)
        await AnyInference(copy.inference(setup.gateway)).chat()
        assert setup.server.connections < 4  # one, if pyqwest has returned it to its pool before the next request
        await setup.client.close() if setup.is_async else setup.client.close()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await inference.chat()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            setup.client.inference("g-1")


@pytest.mark.parametrize("invalid", ["", None, 7, types.Deployment()])
async def test_a_value_that_is_not_a_gateway_is_rejected(kind: str, invalid: Any) -> None:
    async with open_setup(kind) as setup:
        with pytest.raises(errors.ConfigurationError, match="gateway"):
            setup.inference(invalid)


async def test_a_misspelled_option_gets_a_suggestion(kind: str) -> None:
    async with open_setup(kind) as setup:
        with pytest.raises(
            TypeError, match="^client.inference: unexpected keyword argument 'tokn'; did you mean 'token'\\?$"
        ):
            setup.inference(tokn="t")


async def test_concurrent_first_requests_read_the_gateway_once(kind: str) -> None:
    async with open_setup(kind) as setup:
        inference = setup.inference()
        completions = await asyncio.gather(*(inference.chat() for _ in range(20)))
        assert setup.calls == ["GetGateway"]
    assert len(completions) == len(setup.server.requests) == 20


async def test_concurrent_requests_for_an_unknown_model_all_say_which_models_are_served(kind: str) -> None:
    async with open_setup(kind, respond_404) as setup:
        inference = setup.inference()
        failures = await asyncio.gather(*(inference.chat(model="nope") for _ in range(20)), return_exceptions=True)
        assert setup.calls.count("ListDeployments") == 1
    assert all("serves 'nope'; it serves: none" in str(each) for each in failures)


async def test_whoever_waited_for_a_read_that_failed_reads_the_gateway_too(kind: str) -> None:
    async with open_setup(kind) as setup:
        with setup.held_gateway() as held:
            held.failure = Failure("permission_denied", "not the first one")
            inference = setup.inference()
            first = asyncio.create_task(inference.chat())
            await held.begun()
            others = [asyncio.create_task(inference.chat()) for _ in range(3)]
            await asyncio.sleep(0)
            held.release()
            with pytest.raises(errors.PermissionDenied):
                await first
            assert [each.text for each in await asyncio.gather(*others)] == ["Paris"] * 3


async def test_whoever_waits_for_the_read_of_another_request_has_a_timeout_of_its_own(kind: str) -> None:
    async with open_setup(kind) as setup:
        with setup.held_gateway() as held:
            inference = setup.inference()
            first = asyncio.create_task(inference.chat())
            await held.begun()
            with pytest.raises(errors.DeadlineExceeded):
                await inference.chat(timeout=0.05)
            held.release()
            assert (await first).text == "Paris"


async def test_when_a_read_is_canceled_the_others_read_the_gateway() -> None:
    async with open_setup("async") as setup:
        with setup.held_gateway() as held:
            inference = setup.inference()
            first = asyncio.create_task(inference.chat())
            await held.begun()
            other = asyncio.create_task(inference.chat())
            await asyncio.sleep(0)
            first.cancel()
            held.release()
            assert (await other).text == "Paris"
            assert first.cancelled()


async def test_a_hook_may_request_a_completion_while_the_gateway_is_read() -> None:
    """Nothing may wait for the read of which it is a part."""
    found = list[Any]()

    def on_call(method: str, *_: object) -> None:
        if method == "GetGateway" and len(found) == 1:
            found.append(None)
            found.append(found[0].chat.completions.create(model=MODEL, messages=MESSAGES).text)

    async with open_setup("sync", on_call=on_call) as setup:
        inference = setup.inference()
        found.append(inference.wrapped)
        await inference.chat(timeout=5)
    assert found[1:] == [None, "Paris"]


def test_the_repr_says_that_the_gateway_was_not_ready() -> None:
    gateway = types.Gateway(
        spec=types.GatewaySpec(id="x"), status=types.GatewayStatus(status=types.Status.STATUS_CREATING)
    )
    with Client("token", endpoint="http://127.0.0.1:9") as client:
        assert "a gateway that was CREATING" in repr(client.inference(gateway))
