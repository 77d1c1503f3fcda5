"""What `help()` and `inspect.signature` show: what callers give and get, not how it is done."""

import inspect
import pydoc
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import fields
from typing import Any, cast

import pytest

from cwinference import TLS, AsyncClient, Client, Retry, errors, types
from cwinference.inference import Answer, AsyncInference, AsyncStream, BatchResult, Inference, Stats, Stream

URL = "http://127.0.0.1:9"
CLIENT, ASYNC = Client("token", endpoint=URL), AsyncClient("token", endpoint=URL)
FRONT, ASYNC_FRONT = Inference(URL, token="token"), AsyncInference(URL, token="token")


@pytest.mark.parametrize(
    ("method", "returns"),
    [
        (CLIENT.gateways.get, types.Gateway),
        (CLIENT.gateways.create, types.Gateway),
        (CLIENT.gateways.list, Sequence[types.Gateway]),
        (CLIENT.hot_loads.list, Iterator[types.HotLoad]),
        (ASYNC.gateways.get, Coroutine[Any, Any, types.Gateway]),
        (ASYNC.gateways.create, Coroutine[Any, Any, types.Gateway]),
        (ASYNC.hot_loads.list, AsyncIterator[types.HotLoad]),
        (type(CLIENT.gateways).create, types.Gateway),
        (FRONT.chat.completions.create, Answer),
        (FRONT.chat.completions.stream, Stream),
        (ASYNC_FRONT.chat.completions.stream, AsyncStream),
    ],
)
def test_a_signature_shows_what_callers_get_and_the_options_they_have(method: Any, returns: Any) -> None:
    signature = inspect.signature(method)
    assert signature.return_annotation == returns
    assert {"timeout", "retry"} <= set(signature.parameters)
    assert "options" not in signature.parameters


@pytest.mark.parametrize("kind", [Retry, TLS, BatchResult, Stats])
def test_help_tells_what_every_field_is(kind: Any) -> None:
    told = inspect.getdoc(kind) or ""
    assert [each.name for each in fields(kind) if f"    {each.name}: " not in told] == []


@pytest.mark.parametrize("kind", [Client, AsyncClient, Inference, AsyncInference, errors.ApiError])
def test_help_tells_what_every_argument_is(kind: Any) -> None:
    told = inspect.getdoc(kind) or ""
    assert [name for name in inspect.signature(kind).parameters if f"    {name}: " not in told] == []


@pytest.mark.parametrize("method", [CLIENT.gateways.get, ASYNC.hot_loads.list, type(CLIENT.deployments).modify])
def test_help_tells_of_the_options_that_all_calls_have(method: Any) -> None:
    assert "\n`timeout` (seconds for the whole call" in (inspect.getdoc(method) or "")


@pytest.mark.parametrize("thing", [CLIENT.gateways, CLIENT.gateways.create, type(CLIENT.gateways).create])
def test_help_shows_the_arguments(thing: Any) -> None:
    text = pydoc.render_doc(thing, renderer=cast(Any, pydoc).plaintext)
    assert "zones" in text
    assert "timeout: float | None = the client's default" in text
    assert "Generator" not in text


async def test_a_misspelt_keyword_names_the_method_and_the_nearest_keyword() -> None:
    def called(client: Any) -> Any:
        return client.deployments.modify("some-id", trafic=1)

    told = "^deployments.modify: unexpected keyword argument 'trafic'; did you mean 'traffic'\\?$"
    with pytest.raises(TypeError, match=told):
        await called(ASYNC)
    with pytest.raises(TypeError, match="^capacity_claims.list: .*; did you mean 'updated_after'"):
        CLIENT.capacity_claims.list(updated_afer=None)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("client", [CLIENT, ASYNC])
def test_methods_that_give_pages_refuse_wrong_arguments_where_they_are_called(client: Any) -> None:
    told = "^hot_loads.list: unexpected keyword argument 'timout'; did you mean 'timeout'\\?$"
    with pytest.raises(TypeError, match=told):
        client.hot_loads.list(timout=1)
    with pytest.raises(TypeError, match="^hot_loads.replicas: unexpected keyword argument 'retries'"):
        client.hot_loads.replicas("some-id", retries=None)
    with pytest.raises(errors.ConfigurationError, match="^timeout: "):
        client.hot_loads.list(timeout=0)


@pytest.mark.parametrize("kind", [Client, AsyncClient, Inference, AsyncInference])
def test_what_could_not_be_made_can_be_shown(kind: Any) -> None:
    assert repr(object.__new__(kind)) == f"<{kind.__name__}, not made>"


def test_both_kinds_are_documented_alike() -> None:
    assert inspect.getdoc(AsyncClient.inference) == inspect.getdoc(Client.inference)
    assert inspect.getdoc(AsyncInference.batch) == inspect.getdoc(Inference.batch)
    assert (inspect.getdoc(Inference.batch) or "").startswith("Ask for many completions")
