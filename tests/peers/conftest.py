"""Ports for other projects' servers, which cannot choose a free one themselves."""

import socket

import pytest


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def free_port() -> int:
    """Return a port on which no server listened a moment ago."""
    return _free_port()


@pytest.fixture(scope="module")
def simulator_port() -> int:
    """Return another one, the same for all tests of the module."""
    return _free_port()
