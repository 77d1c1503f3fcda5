"""What `list()` returns is a list: it can be pickled, compared, sorted and extended like any other."""

import pickle
from typing import Any

import pytest

from tests.support import samples
from tests.support.connected_client import connected
from tests.support.scripted_server import ReceivedRequest

FIELDS = {"gateways": "items", "deployments": "items", "capacity_claims": "capacity_claims"}


def by_sample(received: ReceivedRequest) -> Any:
    return samples.response_to(received.method)


@pytest.mark.parametrize("resource", FIELDS)
async def test_a_list_is_a_list(kind: str, resource: str) -> None:
    async with connected(kind, by_sample) as (client, server):
        found = await getattr(client, resource).list()
    expected = list(getattr(by_sample(server.received[0]), FIELDS[resource]))
    assert type(found) is list
    assert expected
    assert found == expected
    assert pickle.loads(pickle.dumps(found)) == expected  # noqa: S301 - our own
    assert [*found, *found] == found + found
    found.sort(key=lambda each: each.spec.name)


async def test_an_empty_list_is_a_list(kind: str) -> None:
    async with connected(kind, lambda received: received.method.response()) as (client, _):
        assert await client.gateways.list() == []
        assert await client.deployments.list() == []
        assert await client.capacity_claims.list() == []
