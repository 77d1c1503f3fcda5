"""An emulator starts with a stack, which is READY at once, and a reset can return to it."""

import json
from pathlib import Path
from typing import Any

import pytest

from cwinference import TLS, Client, Inference, State
from cwinference.emulator import Emulator, EmulatorClock, Fate
from cwinference.errors import ConfigurationError
from cwinference.stacks import Stack
from tests.support import certificates
from tests.support.admin_requests import admin

STACK = """
version: 1
capacity_claims:
  gpus:
    resources: {instance_id: gd-8xh100ib-i128, instance_count: 2, capacity_type: MANAGED, zones: [US-EAST-04A]}
gateways:
  front:
    zones: [US-EAST-04A]
    core_weave_auth: {}
    body_based_routing: {api_type: OPENAI}
deployments:
  llama:
    gateways: [front]
    runtime: {engine: vllm, version: 0.22.0}
    resources: {instance_type: gd-8xh100ib-i128, gpu_count: 8}
    model: {name: meta/llama, bucket: models, path: llama}
    autoscaling: {min: 1, max: 2}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.yaml"
    path.write_text(STACK)
    return path


def states(emulator: Emulator) -> dict[str, str]:
    """Return the state of everything, by name, as a client without TLS sees it from the admin routes."""
    resources = admin(emulator, "GET", "state").json["resources"]
    return {each["resource"]["spec"]["name"]: each["resource"]["status"]["status"] for each in resources}


ALL_READY = dict.fromkeys(("gpus", "front", "llama"), "STATUS_READY")


@pytest.mark.parametrize(
    "settings", [{}, {"ready_after": 1000}, {"clock": EmulatorClock(running=False), "ready_after": 9}]
)
def test_all_of_a_stack_is_ready_when_the_emulator_is(stack: Path, settings: Any) -> None:
    with Emulator(seed=stack, **settings) as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        [gateway], [deployment], [claim] = (
            client.gateways.list(),
            client.deployments.list(),
            client.capacity_claims.list(),
        )
        assert {State.of(each) for each in (gateway, deployment, claim)} == {State.READY}
        assert gateway.status.endpoints[0] == f"{emulator.endpoint}/gateway/{gateway.spec.id}"
        assert claim.status.allocated_instances == 2
        assert client.plan(Stack.load(stack)).steps == ()
        if "ready_after" in settings:
            created = client.gateways.create("new", core_weave_auth={}, path_based_routing={})
            assert State.of(client.gateways.get(created.spec.id)) is State.CREATING


def test_a_reset_returns_to_the_stack(stack: Path) -> None:
    with Emulator(seed=Stack.load(stack)) as emulator:
        before = admin(emulator, "GET", "state").json["resources"]
        assert admin(emulator, "POST", "reset").json == {"resources": 0}
        assert admin(emulator, "POST", "reset", {"keep_seed": True}).json == {"resources": 3}
        assert admin(emulator, "GET", "state").json["resources"] == before
        emulator.reset()
        assert states(emulator) == {}
        emulator.reset(keep_seed=True)
        assert states(emulator) == ALL_READY


def test_what_was_recorded_with_a_seed_is_replayed_next_to_it(stack: Path, tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    ask: Any = {"model": "meta/llama", "messages": [{"role": "user", "content": "Hi"}]}
    with (
        Emulator(seed=stack, record=tape, model=lambda body: "recorded") as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        [gateway] = client.gateways.list()
        route = f"{emulator.endpoint}/gateway/{gateway.spec.id}"
        with Inference(route, token=emulator.token, routing=gateway.spec.body_based_routing) as inference:
            assert inference.chat.completions.create(**ask).text == "recorded"
    recorded = [json.loads(line) for line in tape.read_text("utf-8").splitlines()]
    assert [each.get("method") or each["route"] for each in recorded] == ["ListGateways", "chat/completions"]

    with (
        Emulator(seed=stack, replay=tape) as emulator,
        Client(emulator.token, endpoint=emulator.endpoint) as client,
    ):
        assert states(emulator) == ALL_READY
        assert client.gateways.list() == [gateway]  # as it was recorded
        assert client.gateways.get(gateway.spec.id).spec == gateway.spec  # as it is now
        route = f"{emulator.endpoint}/gateway/{gateway.spec.id}"
        with Inference(route, token=emulator.token, routing=gateway.spec.body_based_routing) as inference:
            assert inference.chat.completions.create(**ask).text == "recorded"


def test_a_state_file_that_has_the_stack_keeps_its_resources(stack: Path, tmp_path: Path) -> None:
    with Emulator(seed=stack, state=tmp_path / "state") as emulator:
        before = admin(emulator, "GET", "state").json["resources"]
    stack.write_text(STACK.replace("max: 2", "max: 3"))
    with Emulator(seed=stack, state=tmp_path / "state") as emulator:
        after = admin(emulator, "GET", "state").json["resources"]
        assert [each["resource"]["spec"]["id"] for each in after] == [each["resource"]["spec"]["id"] for each in before]
        assert after[2]["resource"]["spec"]["autoscaling"]["max"] == 3
        assert states(emulator) == ALL_READY


def test_fates_decide_about_the_seed_and_faults_do_not_concern_it(stack: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[fates.llama]\nstatus = "ERROR"\nrecovers_after = 5\n[[faults]]\nkind = "error"\n')
    clock = EmulatorClock(running=False)
    with Emulator(seed=stack, config=config, clock=clock) as emulator:
        assert states(emulator)["llama"] == "STATUS_ERROR"
        assert [each.happened for each in emulator.faults] == [0]
        assert admin(emulator, "GET", "requests").json == {"requests": []}
        clock.advance(5)
        assert states(emulator)["llama"] == "STATUS_READY"
        emulator.fates["front"] = Fate("FAILED", strikes_after=1)
        clock.advance(1)
        assert states(emulator)["front"] == "STATUS_FAILED"


def test_a_certificate_does_not_matter_to_the_seed(stack: Path, tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path)
    settings: Any = {"tls_cert": certificate, "tls_key": key, "public_url": "https://models.example.com"}
    with Emulator(seed=stack, **settings) as emulator:
        client = Client(emulator.token, endpoint=emulator.endpoint, tls=TLS(ca=certificate.read_bytes()))
        with client:
            [gateway] = client.gateways.list()
            assert gateway.status.endpoints[0].startswith("https://models.example.com/gateway/")


def test_a_stack_that_is_wrong_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text(STACK.replace("max: 2", "max: two"))
    with pytest.raises(ConfigurationError, match=r"stack\.yaml: line 17: deployments\.llama\.autoscaling\.max"):
        Emulator(seed=path)
    path.write_text(STACK.replace("engine: vllm", "engine: steam"))
    with pytest.raises(ConfigurationError, match="seed: .*runtime.engine"):
        Emulator(seed=path).start()
