"""pytest fixtures for programs that use cwinference: an emulator of the API, and clients connected to it.

Registered with pytest by the package, so this module imports nothing of it until a fixture is used; that is why it is a
package beside it.
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
    """An emulator of the API of this test's own: empty, on a free port, resources READY at once."""
    from cwinference.emulator import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def inference_client(inference_emulator: Emulator) -> Iterator[Client]:
    """A `Client` connected to `inference_emulator`, as an admin."""
    from cwinference import Client

    with Client(inference_emulator.token, endpoint=inference_emulator.endpoint) as client:
        yield client


@pytest.fixture
def inference_async_client(inference_emulator: Emulator) -> AsyncClient:
    """An `AsyncClient` connected to `inference_emulator`, as an admin. It is used, and may be closed, in any loop."""
    from cwinference import AsyncClient

    return AsyncClient(inference_emulator.token, endpoint=inference_emulator.endpoint)
