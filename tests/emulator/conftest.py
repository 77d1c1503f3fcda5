"""The emulator's protocols over an API that answers as it is told."""

from collections.abc import Iterator

import pytest

from tests.support.emulated_protocols import Served, served


@pytest.fixture(scope="module")
def _running() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture
def server(_running: Served) -> Served:
    """A server that has been told nothing yet."""
    _running.api.answers.clear()
    _running.api.calls.clear()
    return _running
