"""What the library tells while it works: attempts at DEBUG, waits at INFO, and never a token or a body."""

import logging
import traceback
from functools import partial
from typing import Any

import pytest

from cwinference import AsyncClient, Client, Retry, errors, types
from tests.support import samples
from tests.support.client_kinds import open_client
from tests.support.connected_client import told
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Failure, Received

CANARY = "CW-SECRET-canary"
READY: Any = {"status": "STATUS_READY"}
AT_ONCE = Retry(initial_backoff=0)
SHOWN = {"grpc": "grpc", "connect": "connect", "connect-json": "connect", "rest": "rest"}


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "cwinference"]


async def test_every_call_and_attempt_is_told_at_debug(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Any] = [samples.response("GatewayService.GetGateway.response.json"), Failure("unavailable", "down")]
    caplog.set_level(logging.DEBUG, "cwinference")
    async with told(kind, lambda _: answers.pop(), retry=AT_ONCE) as (client, _):
        await client.gateways.get("x")
    first, second = ours(caplog)
    assert first == "GetGateway: attempt 1: unavailable"
    assert second.startswith("GetGateway: ok after 2 attempts, 0.")


async def test_a_call_that_works_at_once_is_told_too(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cwinference")
    async with told(kind, lambda received: samples.response_to(received.method)) as (client, _):
        await client.gateways.list()
    assert len(ours(caplog)) == 1
    assert ours(caplog)[0].startswith("ListGateways: ok after 1 attempts")


async def test_a_wait_tells_its_changes_at_info_and_nothing_else(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    states = ["READY", "CREATING", "CREATING"]

    def answer(_: Received) -> Any:
        status: Any = {"status": f"STATUS_{states.pop()}"}
        return types.GetGatewayResponse(gateway=types.Gateway(spec=types.GatewaySpec(name="front"), status=status))

    caplog.set_level(logging.INFO, "cwinference")
    async with told(kind, answer, clock=FakeClock().clock) as (client, _):
        await client.gateways.wait("x")
    assert ours(caplog) == ["Gateway front: CREATING", "Gateway front: READY"]


async def test_a_server_cannot_forge_lines_of_the_log(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Any] = [
        types.GetGatewayResponse(gateway=types.Gateway(spec=types.GatewaySpec(name="a\nINFO b\x1b[2J"), status=READY)),
        Failure("unavailable", "a\n\x1b[2J"),
    ]
    caplog.set_level(logging.DEBUG, "cwinference")
    async with told(kind, lambda _: answers.pop(), retry=None, clock=FakeClock().clock) as (client, _):
        await client.gateways.wait("x")
    assert len(ours(caplog)) == 5
    assert not any(set("\n\x1b") & set(line) for line in ours(caplog))


async def test_no_token_shows_anywhere(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    texts: list[str] = []
    echo = Failure("unauthenticated", f"who is {CANARY}?")
    async with told(kind, lambda _: echo, token=CANARY) as (client, _):
        texts += [repr(client), repr(client.gateways), repr(client.hot_loads), repr(client.with_options(timeout=1))]
        modify = partial(client.gateways.modify, zones=["A"])
        for do in (client.gateways.get, client.hot_loads.get, modify, client.gateways.wait):
            with pytest.raises(errors.Unauthenticated) as caught:
                await do("x")
            texts += traceback.format_exception(caught.value)
            texts += [repr(caught.value), str(caught.value)]
    texts += [f"{record.getMessage()} {record.args} {record.exc_text}" for record in caplog.records]
    assert CANARY not in "".join(texts)


async def test_a_client_tells_where_it_leads(kind: str) -> None:
    transport, _, mode = kind.rpartition("-")
    async with open_client(kind, "http://localhost:8080/base/", CANARY) as client:
        name = "AsyncClient" if mode == "async" else "Client"
        shown = f"{name}(http://localhost:8080/base, transport={SHOWN[transport]}"
        assert repr(client) == f"{shown})"
        assert repr(client.gateways) == f"<Gateways of {shown})>"
        await client.close()
        assert repr(client) == f"{shown}, closed)"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_method_shows_its_own_signature_and_help(kind: Any) -> None:
    create = kind(CANARY).gateways.create
    assert create.__name__ == "create"
    assert create.__doc__.startswith("Ask for a new gateway")


def test_the_library_is_silent_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = logging.getLogger("cwinference").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
    assert capfd.readouterr().err == ""
