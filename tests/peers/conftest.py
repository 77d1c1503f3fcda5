"""Servers of others listen on ports that we choose."""

import socket

import pytest


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    return _free_port()


@pytest.fixture(scope="module")
def simulator_port() -> int:
    """Another one, for as long as the module runs."""
    return _free_port()
