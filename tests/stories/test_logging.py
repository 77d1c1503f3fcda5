"""What the library logs: attempts at DEBUG, waits at INFO, and never a token or a body."""

import logging
import traceback
from functools import partial
from typing import Any

import pytest

from cwinference import AsyncClient, Client, Retry, errors, types
from tests.support import samples
from tests.support.client_kinds import open_client
from tests.support.connected_client import connected
from tests.support.fake_clock import FakeClock
from tests.support.scripted_server import Failure, ReceivedRequest

CANARY = "CW-SECRET-canary"
READY: Any = {"status": "STATUS_READY"}
AT_ONCE = Retry(initial_backoff=0)
SHOWN = {"grpc": "grpc", "connect": "connect", "connect-json": "connect", "rest": "rest"}


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the messages that the library logged."""
    return [record.getMessage() for record in caplog.records if record.name == "cwinference"]


async def test_every_call_and_failed_attempt_is_logged_at_debug(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    responses: list[Any] = [samples.response("GatewayService.GetGateway.response.json"), Failure("unavailable", "down")]
    caplog.set_level(logging.DEBUG, "cwinference")
    async with connected(kind, lambda _: responses.pop(), retry=AT_ONCE) as (client, _):
        await client.gateways.get("x")
    first, second = logged(caplog)
    assert first == "GetGateway: attempt 1: unavailable"
    assert second.startswith("GetGateway: ok after 2 attempts, 0.")


async def test_a_call_that_succeeds_at_once_is_logged_too(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cwinference")
    async with connected(kind, lambda received: samples.response_to(received.method)) as (client, _):
        await client.gateways.list()
    assert len(logged(caplog)) == 1
    assert logged(caplog)[0].startswith("ListGateways: ok after 1 attempts")


async def test_a_wait_logs_changes_of_state_at_info_and_nothing_else(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    states = ["READY", "CREATING", "CREATING"]

    def respond(_: ReceivedRequest) -> Any:
        status: Any = {"status": f"STATUS_{states.pop()}"}
        return types.GetGatewayResponse(gateway=types.Gateway(spec=types.GatewaySpec(name="front"), status=status))

    caplog.set_level(logging.INFO, "cwinference")
    async with connected(kind, respond, clock=FakeClock().clock) as (client, _):
        await client.gateways.wait("x")
    assert logged(caplog) == ["Gateway front: CREATING", "Gateway front: READY"]


async def test_a_server_cannot_forge_log_lines(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    responses: list[Any] = [
        types.GetGatewayResponse(gateway=types.Gateway(spec=types.GatewaySpec(name="a\nINFO b\x1b[2J"), status=READY)),
        Failure("unavailable", "a\n\x1b[2J"),
    ]
    caplog.set_level(logging.DEBUG, "cwinference")
    async with connected(kind, lambda _: responses.pop(), retry=None, clock=FakeClock().clock) as (client, _):
        await client.gateways.wait("x")
    assert len(logged(caplog)) == 5
    assert not any(set("\n\x1b") & set(line) for line in logged(caplog))


async def test_a_token_appears_nowhere(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    texts: list[str] = []
    echo = Failure("unauthenticated", f"who is {CANARY}?")
    async with connected(kind, lambda _: echo, token=CANARY) as (client, _):
        texts += [repr(client), repr(client.gateways), repr(client.hot_loads), repr(client.with_options(timeout=1))]
        modify = partial(client.gateways.modify, zones=["A"])
        for do in (client.gateways.get, client.hot_loads.get, modify, client.gateways.wait):
            with pytest.raises(errors.Unauthenticated) as caught:
                await do("x")
            texts += traceback.format_exception(caught.value)
            texts += [repr(caught.value), str(caught.value)]
    texts += [f"{record.getMessage()} {record.args} {record.exc_text}" for record in caplog.records]
    assert CANARY not in "".join(texts)


async def test_a_client_shows_where_it_connects_to(kind: str) -> None:
    transport, _, mode = kind.rpartition("-")
    async with open_client(kind, "http://localhost:8080/base/", CANARY) as client:
        name = "AsyncClient" if mode == "async" else "Client"
        shown = f"{name}(http://localhost:8080/base, transport={SHOWN[transport]}"
        assert repr(client) == f"{shown})"
        assert repr(client.gateways) == f"<Gateways of {shown})>"
        await client.close()
        assert repr(client) == f"{shown}, closed)"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_method_has_its_name_and_docstring(kind: Any) -> None:
    create = kind(CANARY).gateways.create
    assert create.__name__ == "create"
    assert create.__doc__.startswith(
        "Create a gateway, and return it at once, usually CREATING; with `wait=True` return it when it is READY."
    )


def test_the_library_prints_nothing_unless_logging_is_configured(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = logging.getLogger("cwinference").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
    assert capfd.readouterr().err == ""
