"""Requests that are small on the wire take little memory, and get an error that clients can receive."""

import tracemalloc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from cwinference import errors, types
from cwinference.emulator import Emulator
from cwinference.emulator.interfaces import RpcError
from cwinference.emulator.protocols.codecs import JSON, MAX_MESSAGE_BYTES, PROTO
from cwinference.emulator.rules.checker import MAX_VIOLATIONS, check
from tests.support.client_kinds import KINDS, open_client

MEGABYTE = 1024 * 1024


def many(item: bytes, field: bytes = b'{"zones":[%s]}') -> bytes:
    """Return a request with as many items as the limit of 4 MiB allows."""
    count = (MAX_MESSAGE_BYTES - 100) // (len(item) + 1)
    return field % b",".join([item] * count)


@pytest.fixture
def _measured() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("_measured")
@pytest.mark.parametrize("item", [b'""', b"0", b"{}", b"null", b'"a"', b"[]"])
@pytest.mark.parametrize("field", [b'{"zones":[%s]}', b'{"unknown":[%s]}'])
def test_four_megabytes_of_small_items_take_a_hundred_at_most(item: bytes, field: bytes) -> None:
    text = many(item, field)
    tracemalloc.reset_peak()
    with suppress(RpcError):
        assert len(check(JSON.decode(text, types.CreateGatewayRequest))) <= MAX_VIOLATIONS
    assert tracemalloc.get_traced_memory()[1] < 130 * MEGABYTE


def test_violations_are_bounded_in_binary_too() -> None:
    request = PROTO.decode(b"\x1a\0" * 1_000_000, types.CreateGatewayRequest)
    assert len(check(request)) == MAX_VIOLATIONS


@pytest.mark.parametrize("kind", [each for each in KINDS if each.endswith("async")])
async def test_an_error_with_many_violations_reaches_the_client(kind: str) -> None:
    with Emulator() as emulator:
        async with open_client(kind, emulator.endpoint, token=emulator.token) as client:
            with pytest.raises(errors.InvalidArgument, match=r"zones\[0\]: value must be a valid zone"):
                await client.gateways.create(
                    "front",
                    zones=[f"é{number}" for number in range(5000)],
                    core_weave_auth=types.CoreWeaveAuth(),
                    path_based_routing=types.PathBasedRouting(),
                )
