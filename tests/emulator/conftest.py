"""The emulator's protocols in front of a scripted API."""

from collections.abc import Iterator

import pytest

from tests.support.emulated_protocols import ApiServer, serve_api


@pytest.fixture(scope="module")
def _running() -> Iterator[ApiServer]:
    with serve_api() as running:
        yield running


@pytest.fixture
def server(_running: ApiServer) -> ApiServer:
    """Return a server without scripted responses and recorded calls."""
    _running.api.responses.clear()
    _running.api.calls.clear()
    return _running
