"""Each story runs over both kinds of `Inference` and both versions of HTTP, on real sockets."""

import pytest

from tests.support.inference_kinds import KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which `Inference` tells the story: `sync-1`, `async-2` and so on."""
    return str(request.param)
