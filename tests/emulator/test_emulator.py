"""`Emulator` as users meet it: started, called by every client, driven by its clock, stopped."""

import gc
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pyqwest import SyncClient

from cwinference import TLS, Client, State, errors, types
from cwinference.emulator import Behavior, Clock, Emulator, Fate
from tests.support import certificates
from tests.support.client_kinds import KINDS, open_client

ROUTED: dict[str, Any] = {
    "core_weave_auth": types.CoreWeaveAuth(),
    "body_based_routing": types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI),
}

SERVED: dict[str, Any] = {
    "runtime": types.DeploymentRuntime(engine="vllm", version="0.22.0"),
    "resources": types.DeploymentResources(instance_type="gd-8xh100ib-i128", gpu_count=8),
    "model": types.DeploymentModel(name="org/llama", bucket="models", path="llama"),
    "autoscaling": types.DeploymentAutoscaling(min=1, max=2),
    "traffic": types.DeploymentTraffic(weight=100),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_gateway_lives_and_goes_over_every_transport(kind: str) -> None:
    with Emulator() as emulator:
        async with open_client(kind, emulator.endpoint, emulator.token) as client:
            zones = (await client.gateways.parameters()).zones
            gateway = await client.gateways.create("front", zones=zones[:1], **ROUTED)
            assert State.of(gateway) is State.CREATING
            gateway = await client.gateways.wait(gateway.spec.id)
            assert list(gateway.status.endpoints) == [f"{emulator.endpoint}/gateway/{gateway.spec.id}"]
            assert await client.gateways.list() == [gateway]
            await client.gateways.delete(gateway.spec.id)
            await client.gateways.wait_deleted(gateway.spec.id)
            assert not await client.gateways.list()


def test_a_request_that_breaks_rules_is_told_all_of_them() -> None:
    with (
        Emulator() as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
        pytest.raises(errors.InvalidArgument) as caught,
    ):
        client.gateways.create("no host label", zones=["nowhere"])
    detail: Any = caught.value.details[0]
    assert [each.field for each in detail.field_violations] == ["auth", "routing", "name", "zones[0]"]


def test_the_two_tokens_are_an_admin_and_a_viewer_of_one_organization() -> None:
    with Emulator() as emulator:
        with Client(emulator.token, endpoint=emulator.endpoint) as client:
            gateway = client.gateways.create("front", **ROUTED)
        with Client(emulator.viewer_token, endpoint=emulator.endpoint) as viewer:
            assert viewer.gateways.get(gateway.spec.id).spec.name == "front"
            with pytest.raises(errors.PermissionDenied):
                viewer.gateways.delete(gateway.spec.id)


def test_its_clock_can_be_driven() -> None:
    with (
        Emulator(ready_after=30, clock=Clock(running=False)) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        gateway = client.gateways.create("front", **ROUTED)
        emulator.clock.advance(29)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.CREATING
        emulator.clock.advance(1)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.READY


def test_a_resource_may_be_fated_to_fail() -> None:
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        emulator.fates["front"] = Fate(message="no address left")
        gateway = client.gateways.create("front", **ROUTED)
        with pytest.raises(errors.ResourceFailed, match="no address left"):
            client.gateways.wait(gateway.spec.id)


def test_a_deployment_answers_completions_below_its_gateways_endpoint() -> None:
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        gateway = client.gateways.create("front", **ROUTED, wait=True)
        client.deployments.create("llama", gateway_ids=[gateway.spec.id], **SERVED, wait=True)
        response = SyncClient().post(
            f"{gateway.status.endpoints[0]}/v1/chat/completions",
            {"authorization": f"Bearer {emulator.token}", "content-type": "application/json"},
            json.dumps({"model": "org/llama", "messages": [{"role": "user", "content": "Hi"}]}).encode(),
        )
        answer: Any = response.json()
        assert (response.status, answer["model"]) == (200, "org/llama")


def test_two_emulators_know_nothing_of_each_other() -> None:
    with Emulator() as one, Emulator() as other:
        with Client(one.token, endpoint=one.endpoint) as client:
            client.gateways.create("front", **ROUTED)
        with Client(other.token, endpoint=other.endpoint) as client:
            assert not client.gateways.list()


def test_it_serves_https_by_http_2_and_1(tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    with Emulator(tls_cert=cert, tls_key=key) as emulator:
        assert emulator.endpoint.startswith("https://127.0.0.1:")
        ways: list[tuple[Any, Any]] = [("grpc", None), ("connect", 1), ("connect", 2), ("rest", 1), ("rest", 2)]
        for transport, version in ways:
            with Client(
                emulator.token, endpoint=emulator.endpoint, transport=transport, http_version=version, tls=TLS(ca=cert)
            ) as client:
                assert client.gateways.parameters().zones


def test_its_state_outlives_it(tmp_path: Path) -> None:
    with Emulator(state=tmp_path / "state") as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        gateway = client.gateways.create("front", **ROUTED)
    with Emulator(state=tmp_path / "state") as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        again = client.gateways.get(gateway.spec.id)
        assert (again.spec, list(again.status.endpoints)) == (
            gateway.spec,
            [f"{emulator.endpoint}/gateway/{gateway.spec.id}"],
        )


def test_a_public_url_begins_the_endpoints_of_gateways() -> None:
    with (
        Emulator(public_url="https://models.example.com/") as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        gateway = client.gateways.wait(client.gateways.create("front", **ROUTED).spec.id)
        assert list(gateway.status.endpoints) == [f"https://models.example.com/gateway/{gateway.spec.id}"]


def test_a_file_gives_tokens_of_other_organizations_behaviour_and_parameters(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text(
        """
        [behaviour]
        ready_after = 60
        [[tokens]]
        token = "CW-SECRET-of-blue"
        organization = "cw2b3c"
        role = "admin"
        [parameters.zones]
        RNO2A = ["gb200-4x"]
        """
    )
    with Emulator(config=config) as emulator:
        with Client("CW-SECRET-of-blue", endpoint=emulator.endpoint) as blue:
            assert list(blue.gateways.parameters().zones) == ["RNO2A"]
            gateway = blue.gateways.create("front", **ROUTED)
            assert State.of(blue.gateways.get(gateway.spec.id)) is State.CREATING
        with Client(emulator.token, endpoint=emulator.endpoint) as other:
            with pytest.raises(errors.NotFound):
                other.gateways.get(gateway.spec.id)
            assert not other.gateways.list()


def test_a_file_tells_which_resources_come_to_a_bad_end(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text('[fates.front]\nmessage = "no address left"')
    with Emulator(config=config) as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        with pytest.raises(errors.ResourceFailed, match="no address left"):
            client.gateways.create("front", **ROUTED, wait=True)
        emulator.fates.clear()
        assert State.of(client.gateways.create("other", **ROUTED, wait=True)) is State.READY


def test_arguments_win_over_the_file_and_the_file_over_behaviour(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text("[behaviour]\nready_after = 60\ndelete_after = 60")
    behaviour = Behavior(ready_after=5, delete_after=5, update_after=60)
    with (
        Emulator(config=config, behaviour=behaviour, ready_after=0) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        gateway = client.gateways.wait(client.gateways.create("front", **ROUTED).spec.id)
        client.gateways.delete(gateway.spec.id)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.DELETING


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "not TOML"),
        ("colour = 1", "unknown name 'colour'"),
        ("behaviour = 1", "behaviour: expected a table"),
        ("[behaviour]\ncolour = 1", "behaviour: unknown name 'colour'"),
        ("[behaviour]\nready_after = 'soon'", "ready_after: expected a number of seconds from 0, got 'soon'"),
        ("[behaviour]\nready_after = -1", "ready_after: expected a number of seconds from 0, got -1"),
        ("[behaviour]\nquota = 1.5", "quota: expected a whole number from 0, got 1.5"),
        ("[behaviour]\nhot_load_organizations = [1]", "hot_load_organizations: expected a list of organizations"),
        ("[behaviour]\nhot_load_organizations = 'cw1a2b'", "hot_load_organizations: expected a list of organizations"),
        ("[behaviour]\nrules = 'none'", "rules: expected one of published, current, got 'none'"),
        ("[behaviour]\ncancel_hot_loads = 1", "cancel_hot_loads: expected true or false, got 1"),
        ("[tokens]", "expected a list of tables"),
        ("[[tokens]]\ntoken = 'x'", r"tokens\[1\]: needs a token and an organization"),
        ("[[tokens]]\ntoken = 'x'\norganization = 'y'\nrole = 'king'", "role: expected 'admin' or 'viewer'"),
        ("[[tokens]]\ntoken = 'a b'\norganization = 'y'\nrole = 'admin'", r"tokens\[1\]: token: expected printable"),
        ("[[tokens]]\ntoken = 1\norganization = 'y'\nrole = 'admin'", r"tokens\[1\]: token: expected printable"),
        ("[parameters]\nzones = 1", "zones: is not a table"),
        ("[fates]\nfront = 1", r"fates\.front: expected a table"),
        ("[fates.front]\ncolour = 1", r"fates\.front: unknown name 'colour'"),
        ("[fates.front]\nmessage = 1", r"fates\.front: message: expected a text, got 1"),
        ("[fates.front]\nstatus = 'READY'", r"fates\.front: status: expected FAILED or ERROR, got 'READY'"),
        ("[fates.front]\nrecovers_after = -1", r"fates\.front: recovers_after: expected a number of seconds"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, text: str, problem: str) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text(text)
    with pytest.raises(errors.ConfigurationError, match=problem) as caught:
        Emulator(config=config)
    assert "emulator.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"token": ""}, "token: expected"),
        ({"token": "a b"}, "token: expected"),
        ({"token": "same", "viewer_token": "same"}, "viewer_token: is the same"),
        ({"ready_after": -1}, "ready_after: expected a number of seconds from 0, got -1"),
        ({"ready_after": "soon"}, "ready_after: expected a number of seconds from 0, got 'soon'"),
        ({"rules": "mine"}, "rules: expected one of published, current, got 'mine'"),
        ({"public_url": "example.com"}, "public_url: expected http"),
        ({"public_url": "http://h:port"}, "public_url: expected http"),
        ({"public_url": "http://[::1"}, "public_url: expected http"),
        ({"public_url": "http://h:70000"}, "public_url: expected http"),
        ({"public_url": "http://h h"}, "public_url: expected http"),
        ({"public_url": "http://h?"}, "public_url: expected http"),
        ({"state": ""}, "state: expected the path of a file"),
        ({"config": "/nowhere/at/all"}, "config: /nowhere/at/all: No such file"),
        ({"state": "/nowhere/at/all"}, "state file /nowhere/at/all"),
        ({"tls_cert": "/nowhere"}, "they go together"),
        ({"tls_cert": "/nowhere", "tls_key": "/nowhere"}, "tls_cert: /nowhere: No such file"),
        ({"tls_cert": __file__, "tls_key": __file__}, "not a certificate and its key"),
        ({"model": "gpt-9"}, "model: expected"),
        ({"model": "/nowhere.gguf"}, r"model: .*/nowhere\.gguf|model: .*xllamacpp"),
        ({"model": "http://127.0.0.1:9"}, "model: no server answers"),
        ({"host": "x" * 100}, "host: 'xxx"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1:0"),
        ({"port": 70_000}, "port: expected 0 to 65535"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        Emulator(**settings).start()


def test_a_taken_port_is_refused() -> None:
    with Emulator() as emulator:
        port = int(emulator.endpoint.rpartition(":")[2])
        with pytest.raises(errors.ConfigurationError, match="in use"):
            Emulator(port=port).start()


def test_a_token_of_the_file_is_not_taken_from_its_organization(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text('[[tokens]]\ntoken = "CW-SECRET-x"\norganization = "cw2b3c"\nrole = "admin"\n')
    for argument in ("token", "viewer_token"):
        settings: Any = {argument: "CW-SECRET-x"}
        with pytest.raises(errors.ConfigurationError, match=f"^{argument}: config gives this token to somebody else"):
            Emulator(config=config, **settings)
    config.write_text('[[tokens]]\ntoken = "CW-SECRET-x"\norganization = "cw1a2b"\nrole = "admin"\n')
    assert Emulator(config=config, token="CW-SECRET-x").token == "CW-SECRET-x"


def test_it_starts_and_stops_in_no_time_and_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint, transport="rest") as client:
            client.gateways.parameters()
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.05  # a busy machine only ever adds to it
    assert set(threading.enumerate()) <= before
    gc.collect()


def test_it_stops_while_a_request_is_on_its_way() -> None:
    with Emulator() as emulator:
        connection = _half_a_request(emulator)
        begin = time.perf_counter()
    assert time.perf_counter() - begin < 2
    connection.close()


def _half_a_request(emulator: Emulator) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(emulator.endpoint.rpartition(":")[2])))
    connection.sendall(b"POST /v1alpha1/inference/gateways HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
    return connection


def test_it_is_not_running_outside_its_block() -> None:
    emulator = Emulator()
    assert repr(emulator) == "Emulator(not running)"
    with pytest.raises(RuntimeError, match="with"):
        _ = emulator.endpoint
    emulator.close()


def test_without_hypercorn_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['hypercorn'] = None\n"
        "from cwinference.emulator import Emulator\n"
        "from cwinference.errors import ConfigurationError\n"
        "try: Emulator().start()\n"
        "except ConfigurationError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'cwinference[emulator]'" in found.stdout
