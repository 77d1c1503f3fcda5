"""pytest fixtures for programs that use cwinference: an emulator of the API, and clients connected to it.

They are registered with pytest, which imports this module in every test run of an environment where cwinference is
installed. So it must be cheap to import: it is a package of its own, next to `cwinference`, and imports that one only
when a fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cwinference import AsyncClient, Client
    from cwinference.emulator import Emulator


@pytest.fixture
def inference_emulator() -> Iterator[Emulator]:
    """Run an emulator for one test: without resources, on a free port; created resources are READY at the next poll."""
    from cwinference.emulator import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def inference_client(inference_emulator: Emulator) -> Iterator[Client]:
    """Connect a `Client` to `inference_emulator`, as an admin; it is closed after the test."""
    from cwinference import Client

    with Client(inference_emulator.token, endpoint=inference_emulator.endpoint) as client:
        yield client


@pytest.fixture
def inference_async_client(inference_emulator: Emulator) -> AsyncClient:
    """Connect an `AsyncClient` to `inference_emulator`, as an admin; any event loop may use it and close it."""
    from cwinference import AsyncClient

    return AsyncClient(inference_emulator.token, endpoint=inference_emulator.endpoint)
