"""Nodes of Ray on this machine, some of which are killed, and what a batch on them leaves behind."""

import json
import os
import signal
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

_NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


class RayCluster:
    """A head, and another node; this process is connected to the head."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        utility = import_module("ray.cluster_utils")
        ray: Any = import_module("ray")
        head = {**_NODE, "include_dashboard": False, "temp_dir": str(folder)}
        self._cluster = utility.Cluster(initialize_head=True, head_node_args=head)
        self._other = self._cluster.add_node(**_NODE)
        self.address: str = self._cluster.address
        ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")

    def kill_node(self) -> None:
        """Kill the node that is not the head, with all that runs there."""
        self._cluster.remove_node(self._other, allow_graceful=False)

    def workers(self) -> list[int]:
        """Return the processes of the actors that send requests, on both nodes."""
        raylets = {node.all_processes["raylet"][0].process.pid for node in self._cluster.list_all_nodes()}
        return [pid for pid in _processes() if "CompletedLines" in _title(pid) and _parent(pid) in raylets]

    def nodes_with_workers(self) -> int:
        """Return on how many nodes these are."""
        return len({_parent(pid) for pid in self.workers()})

    def kill_worker(self) -> None:
        """Kill one of the actors that send requests."""
        os.kill(self.workers()[0], signal.SIGKILL)

    def stop(self) -> None:
        """End all nodes."""
        import_module("ray").shutdown()
        self._cluster.shutdown()


def _processes() -> list[int]:
    return [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def rows_in(folder: Path) -> list[Any]:
    """Return all rows of a batch, completed and failed."""
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def keys_in(folder: Path) -> Counter[str]:
    """Return how often each `custom_id` occurs in the files of a batch."""
    return Counter(row["custom_id"] for row in rows_in(folder))


def once(*numbers: range) -> Counter[str]:
    """Return what `keys_in` returns when the requests with these numbers each have one outcome."""
    return Counter(f"id-{number}" for each in numbers for number in each)


def files_with(text: str, *folders: Path) -> list[Path]:
    """Return the files below folders that contain a text."""
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes()
    ]


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    """Wait until a function returns True. It is polled: what it asks for may happen in any process of a cluster."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)
