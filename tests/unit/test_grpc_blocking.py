"""How channels for threads are called: below their stubs only if nothing stands in the way, and to the same effect."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from cwinference import types
from cwinference._secrets import Secret
from cwinference.transports import _grpc_blocking
from cwinference.transports._grpc_blocking import SyncDirectConnection, open_blocking
from cwinference.transports._grpc_calls import SyncConnection
from cwinference.transports._grpc_errors import as_text
from cwinference.transports.base import ResponseMetadata

KINDS: list[Callable[[Any], SyncConnection]] = [SyncDirectConnection, SyncConnection]
TOKEN = (("authorization", "Bearer t"),)


class Server(grpc.GenericRpcHandler):
    """Does what the name of a method says: `/a.B/5` ends with the status 5."""

    def __init__(self) -> None:
        self.received = threading.Event()
        self.canceled = threading.Event()
        self.seconds_left: float | None = None

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        assert dict(handler_call_details.invocation_metadata)["authorization"] == "Bearer t"
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self.respond(name, body, context))

    def respond(self, name: str, body: bytes, context: Any) -> bytes:
        self.seconds_left = context.time_remaining()
        if name == "wait":
            context.add_callback(self.canceled.set)
            self.received.set()
            self.canceled.wait(10)
        context.send_initial_metadata((("x-head", "1"), ("x-head-bin", b"\xff")))
        context.set_trailing_metadata((("x-tail", "2"),))
        if name.isdecimal():
            context.set_code(CODES[int(name)])
            context.set_details("caf\u00e9: " + "x" * 300)
        return body


CODES = {code.value[0]: code for code in grpc.StatusCode}


@pytest.fixture
def server() -> Iterator[tuple[Server, int]]:
    handler = Server()
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, port
    handler.canceled.set()
    server.stop(None).wait()


def call_of(name: str, received: ResponseMetadata | None = None) -> Any:
    request = types.GetGatewayRequest(id="x")
    method = SimpleNamespace(path=f"/a.B/{name}", request=types.GetGatewayRequest)
    return SimpleNamespace(method=method, request=request, response_metadata=received)


def outcome(kind: Callable[[Any], SyncConnection], port: int, name: str, timeout: float | None = 10) -> tuple[Any, ...]:
    """The response and its metadata, or all that an error shows."""
    received = ResponseMetadata()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            response = kind(channel).send(call_of(name, received), "", Secret(TOKEN), timeout)
        except grpc.RpcError as raised:
            error: Any = raised
            assert isinstance(error.debug_error_string(), str)
            pairs = [*map(as_text, error.initial_metadata() or ())], [*map(as_text, error.trailing_metadata() or ())]
            return (error.code(), error.details(), *pairs)
    return response, received.headers, received.trailers


@pytest.mark.parametrize("name", ["get", *map(str, range(17))])
def test_both_ways_return_and_raise_the_same(name: str, server: tuple[Server, int]) -> None:
    direct, by_stubs = (outcome(kind, server[1], name) for kind in KINDS)
    assert direct == by_stubs
    assert ("x-tail", "2") in direct[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_has_the_time_that_it_was_given(kind: Any, server: tuple[Server, int]) -> None:
    outcome(kind, server[1], "get", 7.0)
    assert server[0].seconds_left is not None
    assert 5 < server[0].seconds_left < 7.5
    outcome(kind, server[1], "get", None)
    assert server[0].seconds_left is None or server[0].seconds_left > 1e6
    assert outcome(kind, server[1], "wait", 0.2)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server[0].canceled.wait(5)


@pytest.mark.parametrize("kind", KINDS)
def test_closing_ends_a_call_in_flight(kind: Any, server: tuple[Server, int]) -> None:
    connection = kind(grpc.insecure_channel(f"127.0.0.1:{server[1]}"))
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(connection.send, call_of("wait"), "", Secret(TOKEN), 10)
        assert server[0].received.wait(5)
        connection.close()
        error: Any = running.exception(5)
    assert error.code() is grpc.StatusCode.CANCELLED
    assert server[0].canceled.wait(5)
    with pytest.raises(ValueError, match="closed channel"):
        connection.send(call_of("get"), "", Secret(TOKEN), 10)


def test_a_call_ends_with_the_one_of_a_server_that_it_is_made_for(
    server: tuple[Server, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for of_server, own, expected in ((103.0, 9.0, 3.0), (103.0, None, 3.0), (103.0, 2.0, 2.0), (None, 2.0, 2.0)):
        monkeypatch.setattr(_grpc_blocking, "time", SimpleNamespace(time=lambda: 100.0))
        monkeypatch.setattr(_grpc_blocking, "_deadline_of_server", lambda at=of_server: at)
        assert _grpc_blocking._deadline(own) == 100.0 + expected


def test_a_plain_channel_is_called_below_its_stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_grpc_blocking, "is_direct", True)
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        assert type(open_blocking(channel)) is SyncDirectConnection
        assert type(open_blocking(grpc.intercept_channel(channel, Tracing()))) is SyncConnection
        monkeypatch.setattr("grpc._observability._OBSERVABILITY_PLUGIN", object())
        assert type(open_blocking(channel)) is SyncConnection


class Tracing(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg,unused-ignore]
    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(client_call_details, request)


def test_this_grpcio_has_what_direct_calls_need() -> None:
    assert _grpc_blocking._has_needed(_grpc_blocking._cython)


@pytest.mark.parametrize("name", _grpc_blocking._NEEDED)
@pytest.mark.parametrize("other", ["missing", "arguments", "order", "built in"])
def test_a_grpcio_without_a_function_is_called_by_its_stubs(name: str, other: str) -> None:
    cython = copy_of_cython()
    assert _grpc_blocking._has_needed(cython)
    kind, _, function = name.partition(".")
    if other == "missing":
        delattr(getattr(cython, kind), function)
    else:
        replacement: Any = {
            "arguments": lambda self, one, two, three, four, five, six, seven, eight, nine, ten: None,
            "order": lambda host, self, deadline, method, flags: None,
            "built in": dict.get.__get__({}),
        }[other]
        setattr(getattr(cython, kind), function, replacement)
    assert not _grpc_blocking._has_needed(cython)


@pytest.mark.parametrize(
    "name", ["SendMessageOperation", "ReceiveMessageOperation", "build_census_context", "PropagationConstants"]
)
def test_a_grpcio_with_other_operations_is_called_by_its_stubs(name: str) -> None:
    cython = copy_of_cython()
    setattr(cython, name, lambda: None)
    assert _grpc_blocking._has_needed(cython) == (name == "build_census_context")
    delattr(cython, name)
    assert not _grpc_blocking._has_needed(cython)


def copy_of_cython() -> Any:
    """Return an object with what is needed, which can be changed."""
    cython = SimpleNamespace(**vars(_grpc_blocking._cython))
    for kind in {name.partition(".")[0] for name in _grpc_blocking._NEEDED}:
        original = getattr(cython, kind)
        members = {name: getattr(original, name) for name in dir(original) if not name.startswith("__")}
        setattr(cython, kind, type(kind, (), {**members, "__init__": lambda self, *flags: None}))
    return cython
