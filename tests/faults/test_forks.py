"""Prefork servers, multiprocessing and completions after a fork: the parent goes on, no child hangs."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from cwinference import types
from tests.support.fork_program import forked
from tests.support.prefork_program import WORKERS
from tests.support.scripted_model_server import ModelServer, completion, piece, plain, silence, streamed
from tests.support.scripted_server import Peer, Received

ROOT = Path(__file__).parents[2]
REFUSED_BY = "ConfigurationError"
REFUSED = "ConfigurationError: this process was forked "


def echo(received: Received) -> types.GetGatewayResponse:
    """A gateway named like its id."""
    spec = types.GatewaySpec(id=received.request.id, name=received.request.id)
    return types.GetGatewayResponse(gateway=types.Gateway(spec=spec))


def prefork(kind: str, endpoint: str, how: str) -> tuple[str, list[str], str]:
    """What the parent got before, the workers, and the parent after; within 10 s."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.prefork_program", kind, endpoint, how]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert time.monotonic() - started < 10
    lines = [line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line]
    found = {who: [what for name, what in lines if name == who] for who in ("before", "worker", "after")}
    return found["before"][0], found["worker"], found["after"][0]


@pytest.mark.parametrize("how", ["fork", "multiprocessing"])
def test_workers_with_the_blocking_client_of_grpc_work(how: str) -> None:
    with Peer("grpc", echo) as peer:
        assert prefork("grpc-sync", peer.endpoint, how) == ("x", ["x"] * WORKERS, "x")


@pytest.mark.parametrize(("kind", "how"), [
    ("grpc-async", "fork"), ("connect-sync", "fork"), ("rest-async", "multiprocessing")
])  # fmt: skip
def test_workers_with_any_other_are_told_at_once(kind: str, how: str) -> None:
    with Peer(kind.partition("-")[0], echo) as peer:
        before, workers, after = prefork(kind, peer.endpoint, how)
    assert (before, after) == ("x", "x")
    assert len(workers) == WORKERS
    assert all(each.startswith(REFUSED) for each in workers)


@pytest.mark.parametrize(("kind", "how"), [("completions-sync", "fork"), ("completions-async", "multiprocessing")])
def test_completions_in_workers_are_told_at_once(kind: str, how: str) -> None:
    with ModelServer(lambda _: plain(completion())) as server:
        before, workers, after = prefork(kind, server.url, how)
    assert (before, after) == ("Paris", "Paris")
    assert len(workers) == WORKERS
    assert all(each.startswith(REFUSED) for each in workers)


@pytest.mark.parametrize("kind", ["grpc-sync", "grpc-async", "connect-sync", "rest-async"])
def test_locks_that_a_thread_of_the_parent_holds_do_not_bind_the_child(kind: str) -> None:
    with Peer(kind.partition("-")[0], echo) as peer:
        assert forked(kind, peer.endpoint, "unused", "locked") == {"same": "x", "new": "x", "after": "x"}


def test_nor_after_use_where_the_child_works_on() -> None:
    with Peer("grpc", echo) as peer:
        ends = forked("grpc-sync", peer.endpoint, "used", "locked")
    assert ends == dict.fromkeys(("before", "same", "new", "after"), "x")


@pytest.mark.parametrize("kind", ["grpc-async", "connect-async", "rest-sync"])
def test_nor_where_the_child_is_told_that_it_cannot(kind: str) -> None:
    with Peer(kind.partition("-")[0], echo) as peer:
        ends = forked(kind, peer.endpoint, "used", "locked")
    assert (ends["before"], ends["after"]) == ("x", "x")
    assert ends["same"].startswith(REFUSED)
    assert ends["new"].startswith(REFUSED)


@pytest.mark.parametrize("version", [1, 2])
def test_a_stream_begun_before_and_a_call_that_would_queue_are_told_at_once_too(version: int) -> None:
    with ModelServer(lambda _: streamed(piece("a"), piece("b"), after=silence()), version) as server:
        ends = split_stream(server.url, version)
    assert ends == {"stream": REFUSED_BY, "queue": REFUSED_BY, "child": "closed", "parent": "b"}


def split_stream(url: str, version: int) -> dict[str, str]:
    """How a stream goes on in a forked child and in its parent, and how a call of the child queues behind it."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.split_stream_program", url, str(version)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())
