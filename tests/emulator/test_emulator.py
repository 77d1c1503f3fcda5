"""`Emulator` as users know it: started, called by every client, moved in time by its clock, stopped."""

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
from cwinference.emulator import Behavior, Emulator, EmulatorClock, Fate
from tests.support import certificates
from tests.support.client_kinds import KINDS, open_client
from tests.support.pipes import pipe_with
from tests.support.waiting import wait_until

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
async def test_a_gateway_is_created_and_deleted_over_every_transport(kind: str) -> None:
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


def test_an_invalid_request_is_rejected_with_all_violations() -> None:
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


def test_its_clock_can_be_advanced() -> None:
    with (
        Emulator(ready_after=30, clock=EmulatorClock(running=False)) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        gateway = client.gateways.create("front", **ROUTED)
        emulator.clock.advance(29)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.CREATING
        emulator.clock.advance(1)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.READY


def test_what_is_no_fate_is_refused_when_it_is_assigned() -> None:
    emulator = Emulator()
    nothing: Any = None
    with pytest.raises(errors.ConfigurationError, match="fates: expected a Fate, got NoneType; to take one away, use"):
        emulator.fates["llama"] = nothing
    assert emulator.fates == {}


def test_a_resource_with_a_fate_fails() -> None:
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        emulator.fates["front"] = Fate(message="no address left")
        gateway = client.gateways.create("front", **ROUTED)
        with pytest.raises(errors.ResourceFailed, match="no address left"):
            client.gateways.wait(gateway.spec.id)


def test_a_deployment_serves_completions_at_its_gateways_endpoint() -> None:
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        gateway = client.gateways.create("front", **ROUTED, wait=True)
        client.deployments.create("llama", gateway_ids=[gateway.spec.id], **SERVED, wait=True)
        response = SyncClient().post(
            f"{gateway.status.endpoints[0]}/v1/chat/completions",
            {"authorization": f"Bearer {emulator.token}", "content-type": "application/json"},
            json.dumps({"model": "org/llama", "messages": [{"role": "user", "content": "Hi"}]}).encode(),
        )
        completion: Any = response.json()
        assert (response.status, completion["model"]) == (200, "org/llama")


def test_two_emulators_are_independent() -> None:
    with Emulator() as one, Emulator() as other:
        with Client(one.token, endpoint=one.endpoint) as client:
            client.gateways.create("front", **ROUTED)
        with Client(other.token, endpoint=other.endpoint) as client:
            assert not client.gateways.list()


def test_it_serves_https_over_http_2_and_1(tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    with Emulator(tls_cert=cert, tls_key=key) as emulator:
        assert emulator.endpoint.startswith("https://127.0.0.1:")
        combinations: list[tuple[Any, Any]] = [("grpc", None), ("connect", 1), ("connect", 2), ("rest", 1), ("rest", 2)]
        for transport, version in combinations:
            with Client(
                emulator.token, endpoint=emulator.endpoint, transport=transport, http_version=version, tls=TLS(ca=cert)
            ) as client:
                assert client.gateways.parameters().zones


def test_certificate_and_key_may_be_pipes(tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    with (
        pipe_with(tmp_path / "cert-pipe", cert.read_bytes()) as cert_pipe,
        pipe_with(tmp_path / "key-pipe", key.read_bytes()) as key_pipe,
        Emulator(tls_cert=cert_pipe, tls_key=key_pipe) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint, tls=TLS(ca=cert)) as client,
    ):
        assert client.gateways.parameters().zones


def test_its_state_survives_a_restart(tmp_path: Path) -> None:
    with Emulator(state=tmp_path / "state") as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        gateway = client.gateways.create("front", **ROUTED)
    with Emulator(state=tmp_path / "state") as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        restored = client.gateways.get(gateway.spec.id)
        assert (restored.spec, list(restored.status.endpoints)) == (
            gateway.spec,
            [f"{emulator.endpoint}/gateway/{gateway.spec.id}"],
        )


def test_the_endpoints_of_gateways_begin_with_the_public_url() -> None:
    with (
        Emulator(public_url="https://models.example.com/") as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        gateway = client.gateways.wait(client.gateways.create("front", **ROUTED).spec.id)
        assert list(gateway.status.endpoints) == [f"https://models.example.com/gateway/{gateway.spec.id}"]


def test_a_config_file_sets_tokens_behavior_and_parameters(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text(
        """
        [behavior]
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


def test_a_config_file_sets_fates(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text('[fates.front]\nmessage = "no address left"')
    with Emulator(config=config) as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        with pytest.raises(errors.ResourceFailed, match="no address left"):
            client.gateways.create("front", **ROUTED, wait=True)
        emulator.fates.clear()
        assert State.of(client.gateways.create("other", **ROUTED, wait=True)) is State.READY


def test_arguments_override_the_config_file_and_the_file_overrides_behavior(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text("[behavior]\nready_after = 60\ndelete_after = 60")
    behavior = Behavior(ready_after=5, delete_after=5, update_after=60)
    with (
        Emulator(config=config, behavior=behavior, ready_after=0) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        gateway = client.gateways.wait(client.gateways.create("front", **ROUTED).spec.id)
        client.gateways.delete(gateway.spec.id)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.DELETING


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "not TOML"),
        ("color = 1", "unknown key 'color'"),
        ("behavior = 1", "behavior: expected a table"),
        ("[behavior]\ncolor = 1", "behavior: unknown key 'color'"),
        ("[behavior]\nready_after = 'soon'", "ready_after: expected a number of seconds, at least 0, got 'soon'"),
        ("[behavior]\nready_after = -1", "ready_after: expected a number of seconds, at least 0, got -1"),
        ("[behavior]\nquota = 1.5", "quota: expected a whole number, at least 0, got 1.5"),
        ("[behavior]\nhot_load_organizations = [1]", "hot_load_organizations: expected a list of organizations"),
        ("[behavior]\nhot_load_organizations = 'cw1a2b'", "hot_load_organizations: expected a list of organizations"),
        ("[behavior]\nrules = 'none'", "rules: expected one of published, current, got 'none'"),
        ("[behavior]\ncancel_hot_loads = 1", "cancel_hot_loads: expected true or false, got 1"),
        ("[tokens]", "expected a list of tables"),
        ("[[tokens]]\ntoken = 'x'", r"tokens\[1\]: expected a token and an organization"),
        ("[[tokens]]\ntoken = 'x'\norganization = 'y'\nrole = 'king'", "role: expected 'admin' or 'viewer'"),
        ("[[tokens]]\ntoken = 'a b'\norganization = 'y'\nrole = 'admin'", r"tokens\[1\]: token: expected printable"),
        ("[[tokens]]\ntoken = 1\norganization = 'y'\nrole = 'admin'", r"tokens\[1\]: token: expected printable"),
        ("[parameters]\nzones = 1", "zones: expected a table"),
        ("[fates]\nfront = 1", r"fates\.front: expected a table"),
        ("[fates.front]\ncolor = 1", r"fates\.front: unknown key 'color'"),
        ("[fates.front]\nmessage = 1", r"fates\.front: message: expected a string, got 1"),
        ("[fates.front]\nstatus = 'READY'", r"fates\.front: status: expected FAILED or ERROR, got 'READY'"),
        ("[fates.front]\nrecovers_after = -1", r"fates\.front: recovers_after: expected a number of seconds"),
    ],
)
def test_the_error_for_an_invalid_config_file_says_where(tmp_path: Path, text: str, problem: str) -> None:
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
        ({"ready_after": -1}, "ready_after: expected a number of seconds, at least 0, got -1"),
        ({"ready_after": "soon"}, "ready_after: expected a number of seconds, at least 0, got 'soon'"),
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
        ({"tls_cert": "/nowhere"}, "tls_cert, tls_key: expected both or neither"),
        ({"tls_cert": "/nowhere", "tls_key": "/nowhere"}, "tls_cert: cannot read /nowhere: No such file"),
        ({"tls_cert": __file__, "tls_key": __file__}, "expected a certificate and its private key"),
        ({"model": "gpt-9"}, "model: expected"),
        ({"model": "/nowhere.gguf"}, r"model: .*/nowhere\.gguf|model: .*xllamacpp"),
        ({"model": "http://127.0.0.1:9"}, "model: no server responds"),
        ({"host": "x" * 100}, "host: expected a host name or an address, got 'xxx"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1:0"),
        ({"port": 70_000}, "port: expected a number from 0 to 65535"),
    ],
)
def test_the_error_for_an_invalid_argument_names_it(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        Emulator(**settings).start()


def test_a_taken_port_is_an_error() -> None:
    with Emulator() as emulator:
        port = int(emulator.endpoint.rpartition(":")[2])
        with pytest.raises(errors.ConfigurationError, match="in use"):
            Emulator(port=port).start()


def test_a_token_of_the_config_file_keeps_its_organization(tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text('[[tokens]]\ntoken = "CW-SECRET-x"\norganization = "cw2b3c"\nrole = "admin"\n')
    for argument in ("token", "viewer_token"):
        settings: Any = {argument: "CW-SECRET-x"}
        with pytest.raises(
            errors.ConfigurationError, match=f"^{argument}: config assigns this token to another organization"
        ):
            Emulator(config=config, **settings)
    config.write_text('[[tokens]]\ntoken = "CW-SECRET-x"\norganization = "cw1a2b"\nrole = "admin"\n')
    assert Emulator(config=config, token="CW-SECRET-x").token == "CW-SECRET-x"


def test_it_starts_and_stops_quickly_and_leaves_no_threads() -> None:
    before = set(threading.enumerate())
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint, transport="rest") as client:
            client.gateways.parameters()
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.5  # the fastest run: load on the machine can only add time
    wait_until(lambda: set(threading.enumerate()) <= before)  # a helper of the client stays for 2 s
    gc.collect()


def test_it_stops_while_a_request_is_incomplete() -> None:
    with Emulator() as emulator:
        connection = _incomplete_request(emulator)
        begin = time.perf_counter()
    assert time.perf_counter() - begin < 20
    connection.close()


def _incomplete_request(emulator: Emulator) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(emulator.endpoint.rpartition(":")[2])))
    connection.sendall(b"POST /v1alpha1/inference/gateways HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
    return connection


def test_it_is_not_running_outside_the_with_block() -> None:
    emulator = Emulator()
    assert repr(emulator) == "Emulator(not running)"
    with pytest.raises(RuntimeError, match="with"):
        _ = emulator.endpoint
    emulator.close()


@pytest.mark.parametrize("package", ["h11", "h2", "hypercorn", "hyperframe"])
def test_without_a_package_of_the_extra_the_error_names_the_extra(package: str) -> None:
    code = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from cwinference.emulator import Emulator\n"
        "from cwinference.errors import ConfigurationError\n"
        "try: Emulator().start()\n"
        "except ConfigurationError as error: print(error)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    advice = "pip install 'cwinference[emulator]'"
    assert completed.stdout == f"the emulator needs {package}, which is not installed: {advice}\n"
