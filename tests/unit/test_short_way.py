"""How much of the library a call goes through when nothing goes wrong."""

import sys
from pathlib import Path
from types import FrameType

import pytest

import cwinference
from cwinference import types
from tests.support.connected_client import connected

OURS = str(Path(cwinference.__file__).parent)


async def test_a_warm_call_enters_at_most_17_functions() -> None:
    """Each return into a coroutine counts too, since it costs as much. More are a way for all that nobody needs."""
    entered = list[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            entered.append(frame.f_code.co_name)

    async with connected("grpc-async", lambda _: types.GetGatewayResponse(gateway=types.Gateway())) as (client, _):
        await client.gateways.get("some-id")
        sys.setprofile(note)
        try:
            await client.gateways.get("some-id")
        finally:
            sys.setprofile(None)
    assert 10 < len(entered) <= 17, entered


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async", "rest-async"])
async def test_a_call_without_telemetry_enters_none_of_its_functions(kind: str) -> None:
    entered = list[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            entered.append(frame.f_code.co_filename.removeprefix(OURS))

    async with connected(kind, lambda _: types.GetGatewayResponse(gateway=types.Gateway())) as (client, _):
        await client.gateways.get("some-id")
        sys.setprofile(note)
        try:
            await client.gateways.get("some-id")
        finally:
            sys.setprofile(None)
    assert entered
    assert [name for name in entered if "telemetry" in name or "observation" in name or "attempts" in name] == []
