"""End to end: a gateway and a deployment of an emulator, created by a client, and completions over HTTP."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cwinference import Client, types
from cwinference.emulator import Emulator, EmulatorClock
from cwinference.errors import ConfigurationError
from tests.support.ready_gateways import MODEL, ROUTINGS, deploy, ready_gateway


def post(endpoint: str, token: str, **body: Any) -> Any:
    """Return the status, and the text or the error's code."""
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{endpoint}/v1/completions",
        json.dumps({"model": MODEL, "prompt": "Hi", **body}).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            return response.status, json.load(response)["choices"][0]["text"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]["code"]


def test_a_deployment_serves_from_ready_until_it_is_disabled_or_deleted() -> None:
    with ready_gateway() as ready:
        token = ready.emulator.token
        assert post(ready.endpoint, token) == (200, "This is the emulator's built-in text generator, not a model.")
        assert post(ready.endpoint, ready.emulator.viewer_token)[0] == 200
        assert post(ready.endpoint, "wrong") == (401, "invalid_api_key")
        assert post(ready.endpoint, token, model="other") == (404, "model_not_found")
        ready.client.deployments.modify(ready.deployment.spec.id, disabled=True, wait=True)
        assert post(ready.endpoint, token) == (404, "model_not_found")
        ready.client.deployments.delete(ready.deployment.spec.id)
        ready.client.deployments.wait_deleted(ready.deployment.spec.id)
        ready.client.gateways.delete(ready.gateway.spec.id)
        ready.client.gateways.wait_deleted(ready.gateway.spec.id)
        assert post(ready.endpoint, token) == (404, "gateway_not_found")


def test_nothing_serves_before_it_is_ready() -> None:
    with (
        Emulator(ready_after=5, clock=EmulatorClock(running=False)) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        gateway = client.gateways.create("front", core_weave_auth=types.CoreWeaveAuth(), **ROUTINGS["body"])
        endpoint = f"{emulator.endpoint}/gateway/{gateway.spec.id}"
        assert post(endpoint, emulator.token) == (503, "not_ready")
        emulator.clock.advance(5)
        assert post(endpoint, emulator.token) == (404, "model_not_found")
        deploy(client, gateway)
        assert post(endpoint, emulator.token) == (503, "not_ready")
        emulator.clock.advance(5)
        assert post(endpoint, emulator.token)[0] == 200


def test_a_missing_model_is_reported_before_anything_is_served() -> None:
    with pytest.raises(ConfigurationError, match=r"^model: no such file: nowhere\.gguf"):
        Emulator(model="nowhere.gguf").start()


def test_the_command_ends_with_code_2_and_one_line_when_the_model_server_is_down() -> None:
    command = [
        str(Path(sys.executable).with_name("cwinference")),
        "emulator",
        "--port",
        "0",
        "--model",
        "http://127.0.0.1:1",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("cwinference emulator: model: no server responds at http://127.0.0.1:1/v1: ")
    assert ended.stderr.count("\n") == 1
