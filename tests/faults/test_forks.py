"""Prefork servers, multiprocessing and completions after a fork: the parent continues, and no child hangs."""

import subprocess
import sys
from itertools import repeat
from pathlib import Path

import pytest

from cwinference import types
from tests.support.busy_fork_program import CHILDREN
from tests.support.fork_program import fork_outcomes
from tests.support.prefork_program import WORKERS
from tests.support.scripted_model_server import (
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    endless_silence,
    json_response,
    stream_response,
)
from tests.support.scripted_server import ReceivedRequest, ScriptedServer

ROOT = Path(__file__).parents[2]
ERROR_NAME = "ConfigurationError"
ERROR = "ConfigurationError: this process was forked "


def echo(received: ReceivedRequest) -> types.GetGatewayResponse:
    """Respond with a gateway whose name is its id."""
    spec = types.GatewaySpec(id=received.request.id, name=received.request.id)
    return types.GetGatewayResponse(gateway=types.Gateway(spec=spec))


def prefork_outcomes(kind: str, endpoint: str, how: str) -> tuple[str, list[str], str]:
    """Return the outcomes of the parent before the fork, of the workers, and of the parent after it."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.prefork_program", kind, endpoint, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    lines = [line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line]
    found = {who: [outcome for name, outcome in lines if name == who] for who in ("before", "worker", "after")}
    return found["before"][0], found["worker"], found["after"][0]


@pytest.mark.parametrize("how", ["fork", "multiprocessing"])
def test_forked_workers_can_use_the_sync_grpc_client(how: str) -> None:
    with ScriptedServer("grpc", echo) as server:
        assert prefork_outcomes("grpc-sync", server.endpoint, how) == ("x", ["x"] * WORKERS, "x")


@pytest.mark.parametrize(("kind", "how"), [
    ("grpc-async", "fork"), ("connect-sync", "fork"), ("rest-async", "multiprocessing")
])  # fmt: skip
def test_forked_workers_get_an_error_at_once_from_other_clients(kind: str, how: str) -> None:
    with ScriptedServer(kind.partition("-")[0], echo) as server:
        before, workers, after = prefork_outcomes(kind, server.endpoint, how)
    assert (before, after) == ("x", "x")
    assert len(workers) == WORKERS
    assert all(each.startswith(ERROR) for each in workers)


@pytest.mark.parametrize(("kind", "how"), [("completions-sync", "fork"), ("completions-async", "multiprocessing")])
def test_forked_workers_get_an_error_at_once_from_completions(kind: str, how: str) -> None:
    with ScriptedModelServer(lambda _: json_response(completion())) as server:
        before, workers, after = prefork_outcomes(kind, server.url, how)
    assert (before, after) == ("Paris", "Paris")
    assert len(workers) == WORKERS
    assert all(each.startswith(ERROR) for each in workers)


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async", "connect-sync", "rest-async"])
def test_locks_held_by_a_thread_of_the_parent_do_not_block_the_child(kind: str) -> None:
    with ScriptedServer(kind.partition("-")[0], echo) as server:
        assert fork_outcomes(kind, server.endpoint, "unused", "locked") == {"same": "x", "new": "x", "after": "x"}


def test_locks_do_not_block_a_child_that_can_keep_using_the_client() -> None:
    with ScriptedServer("grpc", echo) as server:
        outcomes = fork_outcomes("grpc-sync", server.endpoint, "used", "locked")
    assert outcomes == dict.fromkeys(("before", "same", "new", "after"), "x")


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async", "rest-sync"])
def test_locks_do_not_block_a_child_that_gets_an_error(kind: str) -> None:
    with ScriptedServer(kind.partition("-")[0], echo) as server:
        outcomes = fork_outcomes(kind, server.endpoint, "used", "locked")
    assert (outcomes["before"], outcomes["after"]) == ("x", "x")
    assert outcomes["same"].startswith(ERROR)
    assert outcomes["new"].startswith(ERROR)


@pytest.mark.parametrize("version", [1, 2])
def test_a_forked_child_gets_an_error_at_once_from_an_open_stream_and_a_queued_call(version: int) -> None:
    def respond(_: HttpRequest) -> ScriptedResponse:
        return stream_response(chunk_event("a"), chunk_event("b"), after=endless_silence())

    with ScriptedModelServer(respond, version) as server:
        outcomes = split_stream_outcomes(server.url, version)
    assert outcomes == {"stream": ERROR_NAME, "queue": ERROR_NAME, "child": "closed", "parent": "b"}


def test_a_forked_child_can_close_a_stream_that_its_parent_is_receiving() -> None:
    """A thread of pyqwest, which the child does not have, may hold the lock of the connection at any time."""
    with ScriptedModelServer(lambda _: stream_response(after=repeat(chunk_event("a"))), 2) as server:
        command = [sys.executable, "-W", "ignore", "-m", "tests.support.busy_fork_program", server.url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == CHILDREN


def split_stream_outcomes(url: str, version: int) -> dict[str, str]:
    """Return how a stream continues in a forked child and in its parent, and how a queued call of the child ends."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.split_stream_program", url, str(version)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())
