"""Tests of a program that uses the API, without an account: pip install '.[emulator]' pytest; pytest examples

The fixtures come with the package: `inference_emulator` is new and empty in each test.
"""

import pytest

from cwinference import Client, State, errors, types
from cwinference.emulator import Emulator, EmulatorClock, Fate


def open_gateway(client: Client, name: str) -> types.Gateway:
    """Return a gateway that is READY. This is the program."""
    return client.gateways.ensure(name, core_weave_auth={}, path_based_routing={}, wait=True)


def test_a_gateway_is_opened_once(inference_client: Client) -> None:
    first, second = open_gateway(inference_client, "front"), open_gateway(inference_client, "front")
    assert first.spec.id == second.spec.id
    assert State.of(second) is State.READY


def test_a_failure_is_reported(inference_emulator: Emulator, inference_client: Client) -> None:
    inference_emulator.fates["front"] = Fate("FAILED", message="No address left.")
    with pytest.raises(errors.ResourceFailed, match="No address left"):
        open_gateway(inference_client, "front")


def test_an_outage_that_passes_goes_unnoticed(inference_emulator: Emulator, inference_client: Client) -> None:
    inference_emulator.faults.add("error", code="unavailable", times=2)
    assert open_gateway(inference_client, "front").spec.name == "front"


def test_a_gateway_takes_ten_minutes() -> None:
    clock = EmulatorClock(running=False)
    with (
        Emulator(ready_after=600, clock=clock) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        gateway = client.gateways.create("front", core_weave_auth={}, path_based_routing={})
        clock.advance(599)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.CREATING
        clock.advance(1)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.READY
