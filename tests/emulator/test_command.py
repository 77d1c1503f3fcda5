"""`cwinference emulator`: run as a process, and called for its exit codes and errors."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from cwinference import Client, State, errors, types
from cwinference._cli.main import main
from cwinference.emulator import Emulator
from tests.support import certificates

ROUTED: dict[str, Any] = {
    "core_weave_auth": types.CoreWeaveAuth(),
    "path_based_routing": types.PathBasedRouting(),
}


@contextmanager
def running(*arguments: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run the program; yield it and the endpoint that it printed."""
    code = "import sys; from cwinference._cli.main import main; sys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", code, "emulator", "--port", "0", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, "PYTHONDEVMODE": "1"}
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        try:
            assert first.startswith("listening on http://127.0.0.1:"), process.communicate()
            yield process, first.removeprefix("listening on ").strip()
        finally:
            process.kill()


def remaining_output(process: subprocess.Popen[str]) -> list[str]:
    """Return what else a program prints; it must exit with 0 and print no errors."""
    assert process.stdout is not None
    assert process.stderr is not None
    lines = process.stdout.read().splitlines()
    # On a busy machine asyncio's debug mode warns about slow callbacks.
    error_lines = [line for line in process.stderr.read().splitlines() if not line.startswith("Executing <")]
    assert (process.wait(timeout=60), error_lines) == (0, [])
    return lines


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_exits_cleanly(number: signal.Signals) -> None:
    with (
        running("--ready-after", "3600") as (process, endpoint),
        Client("CW-SECRET-emulator-admin", endpoint=endpoint) as client,
    ):
        gateway = client.gateways.create("front", **ROUTED)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.CREATING
        process.send_signal(number)
        assert remaining_output(process) == [
            "admin token: CW-SECRET-emulator-admin",
            "viewer token: CW-SECRET-emulator-viewer",
            f"page: {endpoint}/#token=CW-SECRET-emulator-admin",
        ]


def test_tokens_given_as_arguments_are_not_printed() -> None:
    with running("--token", "CW-SECRET-a", "--viewer-token", "CW-SECRET-v") as (process, endpoint):
        for token in ("CW-SECRET-a", "CW-SECRET-v"):
            with Client(token, endpoint=endpoint) as client:
                assert client.gateways.list() == []
        process.terminate()
        assert remaining_output(process) == [f"page: {endpoint}/"]


def test_no_page_is_named_where_there_is_none() -> None:
    with running("--public-url", "http://emulator.example:8080") as (process, _):
        process.terminate()
        assert [line for line in remaining_output(process) if line.startswith("page")] == []


def test_faults_can_be_given_as_arguments() -> None:
    with (
        running("--fault", "error method=ListGateways code=aborted", "--fault", "delay seconds=0") as (
            process,
            endpoint,
        ),
        Client("CW-SECRET-emulator-admin", endpoint=endpoint) as client,
    ):
        with pytest.raises(errors.Aborted):
            client.gateways.list()
        assert client.deployments.list() == []
        process.terminate()
        remaining_output(process)


def error_line(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    """Return the one line that an invalid command prints before it exits with 2."""
    try:
        code: object = main(["emulator", *arguments])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--port", "http"], "--port"),
        (["--port", "70000"], "port: expected a number from 0 to 65535"),
        (["--ready-after", "soon"], "--ready-after"),
        (["--ready-after", "-1"], "ready_after: expected a number of seconds, at least 0, got -1"),
        (["--rules", "mine"], "--rules"),
        (["--drift", "new_fields,all"], "drift: expected True, or a list of any of new_fields, moved_numbers"),
        (["--color", "red"], "--color"),
        (["--tls-cert", "nowhere.pem"], "tls_cert, tls_key: expected both or neither"),
        (["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"], "tls_cert: cannot read nowhere.pem: No such file"),
        (["--config", "nowhere.toml"], "config: nowhere.toml: No such file"),
        (["--state", "nowhere/at/all"], "state file nowhere/at/all"),
        (["--model", "gpt-9"], "model: expected"),
        (["--model", "http://127.0.0.1:9"], "model: no server responds at http://127.0.0.1:9"),
        (["--state", ""], "state: expected the path of a file"),
        (["--public-url", "example.com"], "public_url: expected"),
        (["--public-url", "http://localhost:port"], "public_url: expected"),
        (["--token", ""], "token: expected"),
        (["--cors-origin", "example.com"], "cors_origins: expected origins such as"),
        (["--seed", "nowhere.yaml"], "nowhere.yaml"),
        (["--replay", "nowhere.jsonl"], "replay: cannot read nowhere.jsonl"),
        (["--record", "nowhere/at/all"], "record: cannot write nowhere/at/all"),
        (["--first-token", "-1"], "first_token: expected a number from 0"),
        (["--clock", "late"], "--clock"),
        (["wait", "--for", "0"], "expected a duration above 0"),
        (["wait", "--endpoint", "nowhere"], "endpoint: expected http://<host>:<port>"),
        (["wait", "--endpoint", "file:///dev/null"], "endpoint: expected http://<host>:<port>"),
        (["--fault", ""], "--fault '': kind: expected one of error"),
        (["--fault", "explode"], "--fault 'explode': kind: expected one of error"),
        (["--fault", "error code=teapot"], "code: expected one of canceled"),
    ],
)
def test_an_invalid_argument_is_reported_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert problem in error_line(capsys, ["--port", "0", *arguments])


def test_a_taken_port_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in error_line(capsys, ["--port", str(taken.getsockname()[1])])


def test_invalid_toml_is_reported_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text("a = [")
    assert "not TOML" in error_line(capsys, ["--config", str(config)])


def test_a_key_with_a_passphrase_is_reported_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    locked = tmp_path / "locked.pem"
    command = ["openssl", "ec", "-in", str(key), "-aes128", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    assert "tls_cert, tls_key" in error_line(capsys, ["--port", "0", "--tls-cert", str(cert), "--tls-key", str(locked)])


def test_a_host_that_others_can_reach_causes_a_warning() -> None:
    with running("--host", "0.0.0.0") as (process, _):  # noqa: S104 - only for a moment
        process.terminate()
        _, errors_printed = process.communicate(timeout=60)
    assert "warning: --host 0.0.0.0 lets anyone who can reach this machine use the emulator" in errors_printed


def test_it_starts_with_a_stack_and_is_driven_by_its_admin_routes(tmp_path: Path) -> None:
    stack = tmp_path / "stack.json"
    stack.write_text('{"gateways": {"front": {"core_weave_auth": {}, "path_based_routing": {}}}}')
    origin = "https://app.example.com"
    arguments = ["--seed", str(stack), "--clock", "stopped", "--cors-origin", origin, "--cors-origin", "http://b.test"]
    with running(*arguments) as (process, endpoint):
        assert main(["emulator", "wait", "--endpoint", endpoint, "--for", "30s"]) == 0
        connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
        headers = {"authorization": "Bearer CW-SECRET-emulator-admin", "origin": origin}
        connection.request("POST", "/_emulator/clock", b'{"advance": 1}', headers)
        response = connection.getresponse()
        assert (response.status, response.headers["access-control-allow-origin"]) == (200, origin)
        connection.close()
        with Client("CW-SECRET-emulator-admin", endpoint=endpoint) as client:
            [front] = client.gateways.list()
            assert State.of(front) is State.READY
        process.terminate()
        remaining_output(process)


def test_waiting_in_vain_ends_with_a_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code = main(["emulator", "wait", "--endpoint", f"http://127.0.0.1:{port}", "--for", "0.01s"])
    assert code == 6
    assert f"no emulator is ready at http://127.0.0.1:{port} after 0.01 s: " in capsys.readouterr().err


def test_waiting_tells_another_server_from_the_emulator(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with Emulator(public_url="https://models.example.com") as emulator:
        wrong = emulator.endpoint + "/base"
        assert main(["emulator", "wait", "--endpoint", wrong, "--for", "0.01s"]) == 6
        assert "HTTP 404" in capsys.readouterr().err
        assert main(["emulator", "wait", "--endpoint", emulator.endpoint]) == 0
    certificate, key = certificates.make(tmp_path)
    with Emulator(tls_cert=certificate, tls_key=key) as emulator:
        assert main(["emulator", "wait", "--endpoint", emulator.endpoint]) == 0


def test_waiting_without_an_endpoint_is_for_the_one_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Emulator() as emulator:
        for variable in ("CW_BASE_URL", "COREWEAVE_API_ENDPOINT"):  # the latter takes precedence
            monkeypatch.setenv(variable, emulator.endpoint)
            assert main(["emulator", "wait", "--for", "0.01s"]) == 0
            monkeypatch.setenv(variable, f"{emulator.endpoint}/base")
            assert main(["emulator", "wait", "--for", "0.01s"]) == 6
            assert f"no emulator is ready at {emulator.endpoint}/base after" in capsys.readouterr().err
        assert main(["emulator", "wait", "--endpoint", emulator.endpoint]) == 0


def test_the_descriptors_are_written_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "inference.binpb"
    assert main(["emulator", "descriptors", str(file)]) == 0
    names = [each.name for each in FileDescriptorSet.FromString(file.read_bytes()).file]
    assert "coreweave/inference/v1alpha1/gateway.proto" in names
