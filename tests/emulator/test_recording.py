"""Record and replay: what was recorded once is the response to the same request later, and everything else as usual."""

import json
from pathlib import Path
from typing import Any

import pytest

from cwinference import Client, Inference, errors
from cwinference.emulator import Emulator
from cwinference.errors import ConfigurationError
from tests.support.ready_gateways import MODEL, ReadyGateway, ready_gateway

ASK: Any = [{"role": "user", "content": "Hi"}]
TRANSPORTS = ("grpc", "connect", "rest")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def client_of(emulator: Emulator, transport: Any = "grpc", token: str = "") -> Client:
    return Client(token or emulator.token, endpoint=emulator.endpoint, transport=transport, retry=None)


def inference_of(ready: ReadyGateway) -> Inference:
    routing = getattr(ready.gateway.spec, ready.gateway.spec.WhichOneof("routing") or "")
    return Inference(ready.endpoint, token=ready.emulator.token, routing=routing)


def create(client: Client) -> str:
    return client.gateways.create("front", core_weave_auth={}, path_based_routing={}).spec.id


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_calls_are_replayed_by_whatever_protocol_they_come(tmp_path: Path, transport: str) -> None:
    tape = tmp_path / "tape.jsonl"
    with Emulator(record=tape) as emulator, client_of(emulator) as client:
        gateway = create(client)
        with pytest.raises(errors.AlreadyExists):
            create(client)
        states = [client.gateways.get(gateway).status.status for _ in range(2)]
        assert client.gateways.get(gateway).status.status == states[1]
    found = lines_of(tape)
    assert [each["method"] for each in found] == ["CreateGateway"] * 2 + ["GetGateway"] * 3
    assert (found[0]["role"], found[0]["organization"], found[1]["error"]["code"]) == (
        "admin", "cw1a2b", "already_exists",
    )  # fmt: skip

    with Emulator(replay=tape, ready_after=1000) as emulator, client_of(emulator, transport) as client:
        assert create(client) == gateway  # although the client has made another id
        with pytest.raises(errors.AlreadyExists) as caught:
            create(client)
        assert caught.value.details
        assert [client.gateways.get(gateway).status.status for _ in range(4)] == [*states, states[1], states[1]]
        assert client.gateways.list() == []  # not recorded, so as usual: there is none


def test_completions_are_replayed_whichever_gateway_routes_them(tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    answers = iter(["one", "two"])
    with ready_gateway(record=tape, model=lambda body: next(answers)) as ready, inference_of(ready) as inference:
        first = inference.chat.completions.create(model=MODEL, messages=ASK)
        with inference.chat.completions.stream(model=MODEL, messages=ASK) as stream:
            assert "".join(chunk.text for chunk in stream) == "two"
        with pytest.raises(errors.InvalidArgument):
            inference.chat.completions.create(model=MODEL, messages=ASK, n=-1)

    with (
        ready_gateway(replay=tape, routing="path") as ready,
        Inference(
            ready.endpoint, token=ready.emulator.token, routing=ready.gateway.spec.path_based_routing
        ) as inference,
    ):
        assert inference.chat.completions.create(model=MODEL, messages=ASK).raw == first.raw
        with inference.chat.completions.stream(model=MODEL, messages=ASK) as stream:
            assert [chunk.text for chunk in stream if chunk.text] == ["two"]
        with pytest.raises(errors.InvalidArgument, match="n: expected an integer"):
            inference.chat.completions.create(model=MODEL, messages=ASK, n=-1)
        other = inference.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Ho"}])
        assert other.text.startswith("This is the emulator's built-in text generator")


def test_no_secret_is_in_a_recording_and_requests_with_secrets_match(tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    secret: Any = {"weights_and_biases_auth": {"api_key": "wandb-secret-1"}, "path_based_routing": {}}
    with Emulator(record=tape) as emulator, client_of(emulator) as client:
        with pytest.raises(errors.InvalidArgument):
            client.gateways.create("front", **secret)
        client.gateways.list()
    assert "wandb-secret" not in tape.read_text()
    assert "CW-SECRET" not in tape.read_text()
    assert tape.stat().st_mode & 0o077 == 0
    tape.write_text(tape.read_text().replace("not supported yet", "recorded"))
    with Emulator(replay=tape) as emulator:
        client = client_of(emulator, "rest")
        with client, pytest.raises(errors.InvalidArgument, match="recorded"):
            client.gateways.create("front", **secret)


def test_what_an_admin_did_is_not_replayed_to_a_viewer(tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    with Emulator(record=tape) as emulator, client_of(emulator) as client:
        create(client)
        assert len(client.gateways.list()) == 1
    with Emulator(replay=tape) as emulator:
        with client_of(emulator, token=emulator.viewer_token) as viewer:
            assert viewer.gateways.list() == []
            with pytest.raises(errors.PermissionDenied):
                create(viewer)
        with client_of(emulator, token="wrong") as stranger, pytest.raises(errors.Unauthenticated):
            stranger.gateways.list()
        with client_of(emulator) as client:
            assert len(client.gateways.list()) == 1


def test_faults_happen_to_what_is_replayed(tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    with Emulator(record=tape) as emulator, client_of(emulator) as client:
        client.gateways.list()
    with Emulator(replay=tape) as emulator, client_of(emulator) as client:
        emulator.faults.add("error", code="internal", times=1)
        with pytest.raises(errors.Internal):
            client.gateways.list()
        assert client.gateways.list() == []


def test_one_file_can_be_replayed_and_go_on(tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    tape.touch()
    with Emulator(record=tape, replay=tape) as emulator, client_of(emulator) as client:
        client.gateways.list()
    with Emulator(record=tape, replay=tape) as emulator, client_of(emulator) as client:
        client.gateways.list()
        client.deployments.list()
    assert [each["method"] for each in lines_of(tape)] == ["ListGateways", "ListDeployments"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object with method or route, and a request"),
        ('{"method":"GetGateway","request":{}}', "expected a response or an error"),
        ('{"route":"completions","request":{},"status":"200"}', "expected a status and a body"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_the_line(tmp_path: Path, line: str, text: str) -> None:
    tape = tmp_path / "tape.jsonl"
    tape.write_text(f"\n{line}\n")
    with pytest.raises(ConfigurationError, match=f"replay: .*tape.jsonl:2: {text}"):
        Emulator(replay=tape).start()


def test_files_that_cannot_be_opened_are_refused(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"replay": tmp_path / "none"}, {"record": tmp_path}]
    for settings in wrong:
        with pytest.raises(ConfigurationError, match=f"{next(iter(settings))}: cannot "):
            Emulator(**settings).start()


def test_a_response_of_a_newer_kind_cannot_be_replayed_and_says_so(tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    line = {"method": "ListGateways", "organization": "cw1a2b", "role": "admin", "request": {}}
    tape.write_text(json.dumps({**line, "response": {"items": 5}}) + "\n")
    with Emulator(replay=tape) as emulator:
        client = client_of(emulator)
        with client, pytest.raises(errors.Internal, match="the recording of ListGateways cannot be replayed"):
            client.gateways.list()
