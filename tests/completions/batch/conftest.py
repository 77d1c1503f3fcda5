"""Each test runs with both kinds of `Inference`."""

import pytest


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return the kind of `Inference`."""
    return str(request.param)
