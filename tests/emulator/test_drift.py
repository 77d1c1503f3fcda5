"""What drifts in the emulator's responses, in binary and as JSON, and that no request does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from google.protobuf.descriptor import Descriptor

from cwinference import Client, errors, types
from cwinference._wire.methods import METHODS
from cwinference.doctor._pairs import unknown_fields
from cwinference.emulator import Behavior, Emulator
from cwinference.emulator.behavior import DRIFT_KINDS
from cwinference.emulator.protocols.drift import MOVED_NUMBERS, NEW_FIELDS

ROOT = "/v1alpha1/inference"


def gateway_of(emulator: Emulator, transport: Any) -> types.Gateway:
    """Return a gateway as a client gets it."""
    with Client(emulator.token, endpoint=emulator.endpoint, transport=transport) as client:
        return client.gateways.ensure("front", core_weave_auth={}, path_based_routing={}, wait=True)


def json_of(emulator: Emulator, path: str) -> Any:
    """Return the JSON of a read."""
    request = Request(emulator.endpoint + ROOT + path, headers={"authorization": f"Bearer {emulator.token}"})  # noqa: S310
    with urlopen(request, timeout=10) as response:  # noqa: S310 - it is the emulator's own URL
        return json.loads(response.read())


@pytest.mark.parametrize("transport", ["grpc", "connect"])
def test_binary_has_new_numbers(transport: str) -> None:
    with Emulator(drift=True) as emulator:
        gateway = gateway_of(emulator, transport)
    assert unknown_fields(gateway.spec) == {(12, 2): [b"SUN 02:00"]}
    [endpoint] = unknown_fields(gateway.status)[8, 2]
    assert endpoint.startswith(b"http://127.0.0.1:")
    assert list(gateway.status.endpoints) == []
    assert gateway.status.conditions[-1].status == 3


@pytest.mark.parametrize("drift", [*((each,) for each in DRIFT_KINDS), ()])
def test_json_has_new_keys_and_names_but_nothing_moves_in_it(drift: Any) -> None:
    with Emulator(drift=drift) as emulator:
        gateway_of(emulator, "rest")
        [gateway] = json_of(emulator, "/gateways")["items"]
        parameters = json_of(emulator, "/gateways/parameters")
    assert ("maintenanceWindow" in gateway["spec"], "defaultZone" in parameters) == ("new_fields" in drift,) * 2
    assert len(gateway["status"]["endpoints"]) == 1
    assert len(parameters["zones"]) > 1
    statuses = {each["status"] for each in gateway["status"]["conditions"]}
    assert ("STATUS_UNKNOWN" in statuses) is ("new_enum_values" in drift)


def test_resources_are_as_ever_apart_from_what_drifts() -> None:
    with Emulator(drift=True) as drifting, Emulator() as plain:
        found, expected = (gateway_of(each, "rest") for each in (drifting, plain))
    assert found.status.status == expected.status.status
    assert len(found.status.conditions) == len(expected.status.conditions) + 1
    found.spec.id = expected.spec.id
    assert found.spec == expected.spec


def test_what_has_new_fields_is_not_overwritten_by_modify() -> None:
    with Emulator(drift=["new_fields"]) as emulator:
        gateway_id = gateway_of(emulator, "rest").spec.id
        with (
            Client(emulator.token, endpoint=emulator.endpoint) as client,
            pytest.raises(errors.ConfigurationError, match="maintenanceWindow"),
        ):
            client.gateways.modify(gateway_id, zones=["US-EAST-04A"])


def test_no_message_that_requests_have_drifts() -> None:
    """So whatever is sent is understood, however much drifts."""
    sent = {each.name for request in METHODS for each in inside(request.DESCRIPTOR)}
    assert sent & {*NEW_FIELDS, *(name for name, _ in MOVED_NUMBERS)} == set()


def inside(message: Any) -> Iterator[Descriptor]:
    """Yield the type of a message, and those of all messages that it may contain."""
    yield message
    for field in message.fields:
        if field.message_type is not None:
            yield from inside(field.message_type)


def test_new_numbers_are_free_and_moved_ones_exist() -> None:
    by_name = {each.name: each for method in METHODS.values() for each in inside(method.response.DESCRIPTOR)}
    for name, new in NEW_FIELDS.items():
        assert new.number not in by_name[name].fields_by_number
        assert new.json_name not in {each.json_name for each in by_name[name].fields}
    for (name, number), moved in MOVED_NUMBERS.items():
        assert number in by_name[name].fields_by_number
        assert moved not in by_name[name].fields_by_number
        assert name not in NEW_FIELDS or moved != NEW_FIELDS[name].number


def test_the_toml_file_can_say_what_drifts(tmp_path: Path) -> None:
    path = tmp_path / "emulator.toml"
    path.write_text('[behavior]\ndrift = ["new_fields"]\n')
    with Emulator(config=path) as emulator:
        assert "defaultZone" in json_of(emulator, "/gateways/parameters")
    with Emulator(config=path, drift=False) as emulator:
        assert "defaultZone" not in json_of(emulator, "/gateways/parameters")


@pytest.mark.parametrize("drift", ["new_fields", ["newer_fields"], 1, [1]])
def test_other_drifts_are_refused(drift: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^drift: expected True, or a list of any of new_fields, "):
        Emulator(drift=drift)


@pytest.mark.parametrize(("drift", "kinds"), [(True, DRIFT_KINDS), (False, ()), (["new_fields"], ("new_fields",))])
def test_true_is_all_of_them(drift: Any, kinds: Any) -> None:
    assert Behavior(drift=drift).drift_kinds == kinds
