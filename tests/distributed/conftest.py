"""A cluster of two nodes on this machine, by Ray's own cluster utility, for all tests of the folder."""

import os
import shutil
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.ray_cluster import RayCluster

TOKEN = "token-7c1d2f4e9b"
"""The token that the environment of all nodes has. Nothing may show it."""


@pytest.fixture(scope="session")
def cluster() -> Generator[RayCluster]:
    if find_spec("ray") is None:
        pytest.skip("`make distributed` runs these")
    # Ray makes sockets in it, whose paths may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        # Ray ends processes that idle if there are more than CPUs, and it takes seconds to start the next ones.
        "RAY_num_workers_soft_limit": "8",
        "RAY_idle_worker_killing_time_threshold_ms": "600000",
        "COREWEAVE_API_TOKEN": TOKEN,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    started = RayCluster(folder)
    try:
        yield started
    finally:
        started.stop()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Kill the node last, since others take less time with two."""
    items.sort(key=lambda item: "a_node_is_killed" in item.name)
