"""A request that the server certainly did not process is retried by our rules, never by gRPC itself."""

import pytest

from cwinference import Retry, errors
from tests.support.client_kinds import open_client
from tests.support.http2_server import Http2Server


@pytest.fixture(params=["grpc-sync", "grpc-async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(("retry", "attempts"), [(None, 1), (Retry(max_attempts=2, initial_backoff=0), 2)])
async def test_grpc_retries_nothing_by_itself(kind: str, retry: Retry | None, attempts: int) -> None:
    with Http2Server(goaway_after=0) as server:
        async with open_client(kind, server.endpoint, retry=retry) as client:
            with pytest.raises(errors.Unavailable) as caught:
                await client.gateways.get("some-id")
        assert (caught.value.attempts, server.connections_made) == (attempts, attempts)
