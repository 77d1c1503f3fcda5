"""Each test runs over both kinds of `Inference` and both versions of HTTP, on real sockets."""

import pytest

from tests.support.inference_kinds import KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of `Inference` and its version of HTTP, such as `sync-1` or `async-2`."""
    return str(request.param)
