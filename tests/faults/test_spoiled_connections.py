"""Responses after which their connection is unusable: later calls use another one."""

import asyncio

import pytest

from cwinference import errors
from tests.support.client_kinds import open_client
from tests.support.http2_server import Headers, Http2Server


def unknown_encoding_first(number: int) -> Headers:
    return [("grpc-encoding", "nonexistent" if number == 1 else "identity")]


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async"])
async def test_an_unknown_encoding_fails_only_one_call(kind: str) -> None:
    with Http2Server(headers=unknown_encoding_first) as server:
        async with open_client(kind, server.endpoint, retry=None) as client:
            with pytest.raises(errors.Internal, match="grpc-encoding"):
                await client.gateways.get("some-id")
            for _ in range(3):
                assert (await client.gateways.get("some-id")).spec.id
    assert server.connections_made == 2


@pytest.mark.parametrize("late", [0.0, 0.02])
async def test_streams_that_end_late_are_soon_no_longer_reset(late: float) -> None:
    with Http2Server(late_end=late) as server:
        async with open_client("connect-async", server.endpoint, retry=None) as client:
            for _ in range(80):
                await asyncio.gather(*(client.gateways.get("some-id") for _ in range(16)))
    assert (server.responses_sent, server.connections_made) == (1280, 1)
    assert server.resets <= 300
