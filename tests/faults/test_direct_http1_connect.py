"""How completions on an event loop get a connection without pyqwest: to one address of a host, or one of several."""

import asyncio
import gc
import socket
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import AsyncInference
from cwinference.transports import _http1_connect
from tests.support.client_kinds import TOKEN
from tests.support.raw_model_server import BODY, LENGTH, OK, RawServer, always, chat
from tests.support.waiting import wait_until_async

PARIS = always(OK + LENGTH + b"\r\n" + BODY)
HERE = "127.0.0.1"

pytestmark = [
    pytest.mark.skipif("config.getoption('--pyqwest')"),
    pytest.mark.filterwarnings("ignore:the token is sent unencrypted"),
]


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> Callable[[str], None]:
    """Let every name have these addresses; return what makes connections to one of them hang."""
    loop: Any = asyncio.get_running_loop()
    create_connection = loop.create_connection
    hanging = set[str]()

    async def getaddrinfo(*_: object, **__: object) -> Any:
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in addresses]
        return [(family, 1, 6, "", (each, 0)) for family, each in zip(families, addresses, strict=True)]

    async def create(factory: Any, host: str, port: int, **more: Any) -> Any:
        if host in hanging:
            await asyncio.Event().wait()
        return await create_connection(factory, host, port, **more)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(loop, "create_connection", create)
    return hanging.add


async def at_name(server: RawServer) -> str:
    url = f"http://models.test:{server.port}"
    async with AsyncInference(url, token=TOKEN, retry=None, allow_plaintext=True) as inference:
        return await chat(inference)


@pytest.mark.parametrize("addresses", [[HERE], ["127.0.0.2", HERE], ["::1", "127.0.0.2", HERE], [HERE, "::1"]])
async def test_the_first_address_that_accepts_a_connection_is_used(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, *addresses)
    with RawServer(PARIS) as server:
        assert await at_name(server) == "Paris"
        assert len(server.connections) == 1


async def test_an_address_that_does_not_respond_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http1_connect, "HEAD_START", 0.01)
    resolve_to(monkeypatch, "::1", HERE)("::1")
    with RawServer(PARIS) as server:
        assert await asyncio.wait_for(at_name(server), 10) == "Paris"
    assert len(asyncio.all_tasks()) == 1


async def test_if_no_address_accepts_the_last_reason_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "::1", "127.0.0.2")
    with RawServer(PARIS) as server, pytest.raises(errors.Unavailable, match="no connection to .*refused") as caught:
        await at_name(server)
    assert not caught.value.may_have_succeeded


async def test_a_connection_that_comes_too_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http1_connect, "HEAD_START", 0.0)
    resolve_to(monkeypatch, HERE, "127.0.0.2")
    both, connect_to = asyncio.Barrier(2), _http1_connect._connect_to

    async def together(loop: asyncio.AbstractEventLoop, _: str, port: int) -> Any:
        connection = await connect_to(loop, HERE, port)
        await both.wait()
        return connection

    monkeypatch.setattr(_http1_connect, "_connect_to", together)
    with RawServer(PARIS) as server:
        assert await at_name(server) == "Paris"
        await wait_until_async(lambda: len(server._threads) == 3)  # one that accepts, and one for each connection
        for each in server._threads[1:]:  # their connections are closed
            await asyncio.to_thread(each.join, 5)
            assert not each.is_alive()


@pytest.mark.parametrize("addresses", [[HERE], ["127.0.0.2", HERE]])
async def test_a_call_that_is_canceled_while_it_connects_leaves_no_socket_open(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, *addresses)
    with RawServer(PARIS) as server, warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for turns in range(60):
            call = asyncio.create_task(at_name(server))
            for _ in range(turns % 20):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        assert [str(each.message) for each in found if each.category is ResourceWarning] == []
    assert len(asyncio.all_tasks()) == 1
