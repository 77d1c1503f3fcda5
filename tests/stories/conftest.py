"""Each story runs over every transport, with both clients, on real sockets."""

import pytest

from tests.support.clients import KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which client tells the story: `grpc-sync`, `connect-json-async` and so on."""
    return str(request.param)
