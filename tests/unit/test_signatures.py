"""What `help()` and `inspect.signature` show: arguments and results, not how methods are declared."""

import inspect
import pickle
import pydoc
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, cast

import pytest

from cwinference import TLS, AsyncClient, Client, Retry, errors, types
from cwinference.inference import AsyncInference, AsyncStream, BatchResult, Completion, Inference, Stats, Stream

URL = "http://127.0.0.1:9"
CLIENT, ASYNC = Client("token", endpoint=URL), AsyncClient("token", endpoint=URL)
INFERENCE, ASYNC_INFERENCE = Inference(URL, token="token"), AsyncInference(URL, token="token")


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
        (INFERENCE.chat.completions.create, Completion),
        (INFERENCE.chat.completions.stream, Stream),
        (ASYNC_INFERENCE.chat.completions.stream, AsyncStream),
    ],
)
def test_a_signature_shows_what_callers_get_and_which_options_they_have(method: Any, returns: Any) -> None:
    signature = inspect.signature(method)
    assert signature.return_annotation == returns
    assert {"timeout", "retry"} <= set(signature.parameters)
    assert "options" not in signature.parameters


@pytest.mark.parametrize("kind", [Retry, TLS, BatchResult, Stats])
def test_help_documents_every_field(kind: Any) -> None:
    text = inspect.getdoc(kind) or ""
    assert [name for name in kind.__annotations__ if f"    {name}: " not in text] == []


@pytest.mark.parametrize("kind", [Client, AsyncClient, Inference, AsyncInference, errors.ApiError])
def test_help_documents_every_argument(kind: Any) -> None:
    text = pydoc.render_doc(kind, renderer=cast(Any, pydoc).plaintext)
    assert [name for name in inspect.signature(kind).parameters if f"    {name}: " not in text] == []


@pytest.mark.parametrize("method", [CLIENT.gateways.get, ASYNC.hot_loads.list, type(CLIENT.deployments).modify])
def test_help_documents_the_options_that_all_calls_have(method: Any) -> None:
    text = inspect.getdoc(method) or ""
    assert "\n    timeout: seconds for " in text
    assert "\n    retry: how failures are retried" in text


@pytest.mark.parametrize(
    "thing",
    [CLIENT.gateways, cast(Any, Client).gateways, CLIENT.gateways.create, cast(Any, AsyncClient).gateways.create],
)
def test_help_shows_the_arguments(thing: Any) -> None:
    text = pydoc.render_doc(thing, renderer=cast(Any, pydoc).plaintext)
    assert "zones" in text
    assert "timeout: float | None = the client's default" in text
    assert "Generator" not in text


async def test_a_misspelled_keyword_is_reported_with_the_method_and_the_most_similar_keyword() -> None:
    def called(client: Any) -> Any:
        return client.deployments.modify("some-id", trafic=1)

    text = "^deployments.modify: unexpected keyword argument 'trafic'; did you mean 'traffic'\\?$"
    with pytest.raises(TypeError, match=text):
        await called(ASYNC)
    with pytest.raises(TypeError, match="^capacity_claims.list: .*; did you mean 'updated_after'"):
        CLIENT.capacity_claims.list(updated_afer=None)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_an_inherited_method_is_named_by_the_group_that_the_caller_has_used() -> None:
    with Client("token") as client:
        with pytest.raises(TypeError, match="^gateways.wait_all: unexpected keyword argument 'timout'; did you mean"):
            client.gateways.wait_all([], **cast(Any, {"timout": 1}))
        with pytest.raises(TypeError, match="^deployments.wait_deleted: unexpected keyword argument 'timout'; did you"):
            client.deployments.wait_deleted("id", **cast(Any, {"timout": 1}))


@pytest.mark.parametrize("client", [CLIENT, ASYNC])
def test_paged_methods_refuse_wrong_arguments_when_they_are_called(client: Any) -> None:
    text = "^hot_loads.list: unexpected keyword argument 'timout'; did you mean 'timeout'\\?$"
    with pytest.raises(TypeError, match=text):
        client.hot_loads.list(timout=1)
    with pytest.raises(TypeError, match="^hot_loads.replicas: unexpected keyword argument 'retries'"):
        client.hot_loads.replicas("some-id", retries=None)
    with pytest.raises(errors.ConfigurationError, match="^timeout: "):
        client.hot_loads.list(timeout=0)


@pytest.mark.parametrize("kind", [Client, AsyncClient, Inference, AsyncInference])
def test_an_instance_whose_constructor_failed_has_a_repr(kind: Any) -> None:
    assert repr(object.__new__(kind)) == f"<{kind.__name__}, not made>"


def test_both_kinds_are_documented_alike() -> None:
    assert inspect.getdoc(AsyncClient.inference) == inspect.getdoc(Client.inference)
    assert inspect.getdoc(AsyncInference.batch) == inspect.getdoc(Inference.batch)
    assert (inspect.getdoc(Inference.batch) or "").startswith("Request many completions")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_help_of_a_client_lists_its_resources_and_shows_what_each_is(kind: Any) -> None:
    text = pydoc.render_doc(kind, renderer=cast(Any, pydoc).plaintext)
    for name in ("gateways", "deployments", "capacity_claims", "hot_loads"):
        assert f"{name} = <class" in text
        assert "create(" in pydoc.render_doc(getattr(kind, name), renderer=cast(Any, pydoc).plaintext)


@pytest.mark.parametrize("thing", [CLIENT, ASYNC, INFERENCE, ASYNC_INFERENCE])
def test_the_error_of_pickling_a_client_says_what_to_do(thing: Any) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied, .*; make one in each worker process$"):
        pickle.dumps(thing)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: cast(Any, Client)(api_key="t"), "^Client: unexpected keyword argument 'api_key'"),
        (lambda: cast(Any, Client)(endpont=URL), "did you mean 'endpoint'"),
        (lambda: cast(Any, CLIENT).inference("id", timout=1), "^client.inference: .*did you mean 'timeout'"),
        (lambda: cast(Any, Inference)(URL, tokn="t"), "^Inference: .*did you mean 'token'"),
        (lambda: cast(Any, INFERENCE).batch([], out="x", orderd=True), "^inference.batch: .*'ordered'"),
    ],
)
def test_constructors_report_misspelled_keywords_too(call: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()
