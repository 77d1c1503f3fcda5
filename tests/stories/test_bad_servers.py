"""Servers that are down, silent, untrusted or drop connections cause a clear error in time, and no leaks."""

import asyncio
import gc
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from cwinference import TLS, AsyncClient, Retry, errors, types
from tests.support import certificates
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Raw, http_response
from tests.support.socket_servers import SocketServer, hang_up, http2_response, silence
from tests.support.waiting import wait_until_async

ONCE: dict[str, Any] = {"retry": None}


def gateway(received: Any) -> Any:
    """Respond with the requested gateway."""
    return types.GetGatewayResponse(gateway=types.Gateway(spec=types.GatewaySpec(id=received.request.id)))


async def failure(client: AsyncClient, **options: Any) -> Any:
    """Return the error of a call."""
    with pytest.raises(errors.InferenceError) as caught:
        await client.gateways.get("some-id", **options)
    return caught.value


async def test_a_call_to_a_silent_server_ends_in_deadline_exceeded(kind: str) -> None:
    with SocketServer(silence) as server:
        async with open_client(kind, server.endpoint) as client:
            error = await failure(client, timeout=0.2)
    assert type(error) is errors.DeadlineExceeded
    assert isinstance(error, TimeoutError)


async def test_a_timeout_of_one_millisecond_is_kept(kind: str) -> None:
    ended = threading.Event()

    def respond(received: Any) -> Any:
        ended.wait(60)
        return gateway(received)

    async with connected(kind, respond) as (client, _):
        error = await failure(client, timeout=0.001)
        ended.set()
    assert type(error) is errors.DeadlineExceeded


async def test_a_refused_connection_is_unavailable_and_cannot_have_succeeded(kind: str) -> None:
    async with open_client(kind, f"http://127.0.0.1:{_closed_port()}", **ONCE) as client:
        error = await failure(client)
    assert type(error) is errors.Unavailable
    assert (error.retryable, error.may_have_succeeded) == (True, False)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "tls-certificate-handshake.invalid"])
async def test_an_unknown_host_is_unavailable_and_retryable_whatever_its_name(kind: str, host: str) -> None:
    async with open_client(kind, f"https://{host}", **ONCE) as client:
        error = await failure(client, timeout=20)
    assert type(error) is errors.Unavailable
    assert (error.retryable, error.may_have_succeeded) == (True, False)


@pytest.mark.parametrize("host", ["no..name", f"{'a' * 64}.example"])
async def test_a_name_that_no_host_can_have_is_given_up_after_a_few_attempts(kind: str, host: str) -> None:
    async with open_client(kind, f"https://{host}", retry=Retry(initial_backoff=0)) as client:
        error = await failure(client)
    assert (type(error), error.attempts) == (errors.Unavailable, 4)


async def test_a_connection_lost_before_the_response_is_unavailable(kind: str) -> None:
    with SocketServer(hang_up) as server:
        async with open_client(kind, server.endpoint, **ONCE) as client:
            error = await failure(client)
    assert type(error) is errors.Unavailable


@pytest.mark.parametrize("kind", ["connect-sync", "connect-async", "rest-sync", "rest-async"])
async def test_a_connection_lost_during_the_response_is_unavailable_and_may_have_succeeded(kind: str) -> None:
    half = http_response(200, b"x" * 100, {"content-type": "application/json"})[:-50]
    async with connected(kind, lambda _: Raw(half), **ONCE) as (client, _):
        error = await failure(client)
    assert type(error) is errors.Unavailable
    assert error.may_have_succeeded


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async", "connect-sync", "connect-async"])
async def test_an_http2_connection_lost_during_the_response_is_unavailable_and_may_have_succeeded(kind: str) -> None:
    media = "application/grpc" if kind.startswith("grpc") else "application/proto"
    with SocketServer(http2_response(200, {"content-type": media}, b"\0\0\0\0\x20half", cut=True)) as server:
        async with open_client(kind, server.endpoint, **ONCE) as client:
            error = await failure(client)
    assert type(error) is errors.Unavailable
    assert error.may_have_succeeded


async def test_an_untrusted_certificate_is_unavailable_and_not_retried(kind: str, untrusted: dict[str, Any]) -> None:
    with SocketServer(silence, tls=untrusted["context"]) as server:
        endpoint = server.endpoint.replace("http://127.0.0.1", "https://localhost")
        async with open_client(kind, endpoint, retry=Retry(initial_backoff=0)) as client:
            error = await failure(client, timeout=20)
    assert type(error) is errors.Unavailable
    assert (error.attempts, error.retryable, error.may_have_succeeded) == (1, False, False)
    assert error.message.endswith("; trust its authority with tls=TLS(ca=...)")


async def test_a_certificate_of_another_host_is_explained_and_not_retried(kind: str, tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path, "DNS:another.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with SocketServer(silence, tls=context) as server:
        endpoint = server.endpoint.replace("http://127.0.0.1", "https://localhost")
        async with open_client(kind, endpoint, tls=TLS(ca=certificate), retry=Retry(initial_backoff=0)) as client:
            error = await failure(client, timeout=20)
    assert type(error) is errors.Unavailable
    assert (error.attempts, error.retryable, error.may_have_succeeded) == (1, False, False)
    assert error.message.endswith("; the certificate is of another host: is this the right endpoint?")


async def test_https_to_a_port_without_tls_is_explained_and_not_retried(kind: str) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    with SocketServer(plain) as server:
        endpoint = server.endpoint.replace("http://", "https://")
        async with open_client(kind, endpoint, retry=Retry(initial_backoff=0)) as client:
            error = await failure(client, timeout=20)
    assert type(error) is errors.Unavailable
    assert (error.attempts, error.retryable, error.may_have_succeeded) == (1, False, False)
    assert error.message.endswith("; the server does not speak TLS: is the endpoint http://?")


@pytest.mark.parametrize("wait", ["wait", "wait_deleted"])
async def test_an_untrusted_certificate_ends_a_wait_at_once(kind: str, untrusted: dict[str, Any], wait: str) -> None:
    with SocketServer(silence, tls=untrusted["context"]) as server:
        endpoint = server.endpoint.replace("http://127.0.0.1", "https://localhost")
        async with open_client(kind, endpoint, clock=FakeClock().clock) as client:
            with pytest.raises(errors.Unavailable) as caught:
                await getattr(client.gateways, wait)("some-id", timeout=600)
    assert not caught.value.retryable


async def test_a_trusted_certificate_is_accepted(kind: str, untrusted: dict[str, Any]) -> None:
    with SocketServer(silence, tls=untrusted["context"]) as server:
        endpoint = server.endpoint.replace("http://127.0.0.1", "https://localhost")
        async with open_client(kind, endpoint, tls=TLS(ca=untrusted["ca"])) as client:
            error = await failure(client, timeout=0.5)
    assert type(error) is errors.DeadlineExceeded


async def test_500_concurrent_calls_succeed(kind: str) -> None:
    async with connected(kind, gateway) as (client, _):
        found = await asyncio.gather(*(client.gateways.get(f"gateway-{number}") for number in range(500)))
    assert [each.spec.id for each in found] == [f"gateway-{number}" for number in range(500)]


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async", "connect-json-async", "rest-async"])
async def test_a_canceled_call_ends_at_once_and_the_client_keeps_working(kind: str) -> None:
    started, go_on = threading.Event(), threading.Event()

    def respond(received: Any) -> Any:
        if received.request.id == "slow":
            started.set()
            go_on.wait(60)
        return gateway(received)

    async with connected(kind, respond) as (client, _):
        call = asyncio.create_task(client.gateways.get("slow"))
        await asyncio.to_thread(started.wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.gateways.get("quick")).spec.id == "quick"
        go_on.set()


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async", "rest-async"])
async def test_a_cancel_scope_of_anyio_recognizes_its_own_cancellation(kind: str) -> None:
    go_on = threading.Event()

    def respond(received: Any) -> Any:
        go_on.wait(60)
        return gateway(received)

    async with connected(kind, respond) as (client, _):
        with anyio.move_on_after(0.05) as scope:
            await client.gateways.get("x")
        with pytest.raises(TimeoutError), anyio.fail_after(0.05):
            await client.gateways.get("x")
        go_on.set()
    assert scope.cancelled_caught


async def test_a_closed_client_leaves_no_thread_and_no_socket(kind: str) -> None:
    async with connected(kind, gateway) as (client, _):
        await client.gateways.get("first")
    gc.collect()
    threads = names_of_threads()
    async with connected(kind, gateway) as (client, _):
        await client.gateways.get("second")
    gc.collect()
    await wait_until_async(lambda: names_of_threads() <= threads)


def names_of_threads() -> set[str]:
    """Return them without those of `asyncio.to_thread`."""
    return {each.name for each in threading.enumerate() if not each.name.startswith("asyncio_")}


async def test_a_call_of_a_closed_client_is_refused(kind: str) -> None:
    async with connected(kind, gateway) as (client, _):
        await client.close()
        with pytest.raises(errors.ConfigurationError, match="closed"):
            await client.gateways.get("x")


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
