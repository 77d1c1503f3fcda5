"""`cwinference emulator`, as a process and by its exit codes."""

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

from cwinference import Client, State, errors, types
from cwinference._cli.main import main
from tests.support import certificates

ROUTED: dict[str, Any] = {
    "core_weave_auth": types.CoreWeaveAuth(),
    "path_based_routing": types.PathBasedRouting(),
}


@contextmanager
def running(*arguments: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The program and the endpoint that it printed."""
    code = "import sys; from cwinference._cli.main import main; sys.exit(main())"
    command = [sys.executable, "-W", "error", "-c", code, "emulator", "--port", "0", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, "PYTHONDEVMODE": "1"}) as it:
        assert it.stdout is not None
        first = it.stdout.readline()
        try:
            assert first.startswith("listening on http://127.0.0.1:"), it.communicate()
            yield it, first.removeprefix("listening on ").strip()
        finally:
            it.kill()


def told(it: subprocess.Popen[str]) -> list[str]:
    """What else a program prints that ends by itself, without complaint but for that of a busy machine."""
    assert it.stdout is not None
    assert it.stderr is not None
    lines = it.stdout.read().splitlines()
    complaints = [line for line in it.stderr.read().splitlines() if not line.startswith("Executing <")]
    assert (it.wait(timeout=10), complaints) == (0, [])
    return lines


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_stops_cleanly(number: signal.Signals) -> None:
    with (
        running("--ready-after", "3600") as (it, endpoint),
        Client("CW-SECRET-emulator-admin", endpoint=endpoint) as client,
    ):
        gateway = client.gateways.create("front", **ROUTED)
        assert State.of(client.gateways.get(gateway.spec.id)) is State.CREATING
        it.send_signal(number)
        assert told(it) == ["admin token: CW-SECRET-emulator-admin", "viewer token: CW-SECRET-emulator-viewer"]


def test_tokens_that_are_given_are_not_printed() -> None:
    with running("--token", "CW-SECRET-a", "--viewer-token", "CW-SECRET-v") as (it, endpoint):
        for token in ("CW-SECRET-a", "CW-SECRET-v"):
            with Client(token, endpoint=endpoint) as client:
                assert client.gateways.list() == []
        it.terminate()
        assert told(it) == []


def test_faults_may_be_given() -> None:
    with (
        running("--fault", "error method=ListGateways code=aborted", "--fault", "delay seconds=0") as (it, endpoint),
        Client("CW-SECRET-emulator-admin", endpoint=endpoint) as client,
    ):
        with pytest.raises(errors.Aborted):
            client.gateways.list()
        assert client.deployments.list() == []
        it.terminate()
        told(it)


def refusal(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str:
    """The one line that a wrong command prints before it exits with 2."""
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
        (["--port", "70000"], "port: expected 0 to 65535"),
        (["--ready-after", "soon"], "--ready-after"),
        (["--ready-after", "-1"], "ready_after: expected a number of seconds from 0, got -1"),
        (["--rules", "mine"], "--rules"),
        (["--colour", "red"], "--colour"),
        (["--tls-cert", "nowhere.pem"], "they go together"),
        (["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"], "tls_cert: nowhere.pem: No such file"),
        (["--config", "nowhere.toml"], "config: nowhere.toml: No such file"),
        (["--state", "nowhere/at/all"], "state file nowhere/at/all"),
        (["--model", "gpt-9"], "model: expected"),
        (["--model", "http://127.0.0.1:9"], "model: no server answers at http://127.0.0.1:9"),
        (["--state", ""], "state: expected the path of a file"),
        (["--public-url", "example.com"], "public_url: expected"),
        (["--public-url", "http://localhost:port"], "public_url: expected"),
        (["--token", ""], "token: expected"),
        (["--fault", ""], "--fault '': kind: expected one of error"),
        (["--fault", "explode"], "--fault 'explode': kind: expected one of error"),
        (["--fault", "error code=teapot"], "code: expected one of canceled"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert problem in refusal(capsys, ["--port", "0", *arguments])


def test_a_taken_port_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in refusal(capsys, ["--port", str(taken.getsockname()[1])])


def test_broken_toml_is_said_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text("a = [")
    assert "not TOML" in refusal(capsys, ["--config", str(config)])


def test_a_key_behind_a_passphrase_is_said_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cert, key = certificates.make(tmp_path)
    locked = tmp_path / "locked.pem"
    command = ["openssl", "ec", "-in", str(key), "-aes128", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    assert "tls_cert, tls_key" in refusal(capsys, ["--port", "0", "--tls-cert", str(cert), "--tls-key", str(locked)])


def test_a_host_that_others_can_reach_is_warned_of() -> None:
    with running("--host", "0.0.0.0") as (it, _):  # noqa: S104 - for a moment
        it.terminate()
        _, complaint = it.communicate(timeout=10)
    assert "warning: --host 0.0.0.0 lets anyone who can reach this machine use the emulator" in complaint
