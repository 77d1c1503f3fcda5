"""The emulator in its own process, which injects faults and reloads on command."""

import json
import logging
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from cwinference.emulator import Emulator

TOKEN = "CW-SECRET-of-the-soak"
COMMAND_TIMEOUT = 60
"""Seconds in which the emulator has to respond to a command."""

FAULTS: Sequence[Mapping[str, Any]] = (
    {"kind": "error", "code": "unavailable", "probability": 0.004},
    {"kind": "error", "code": "resource_exhausted", "probability": 0.001},
    {"kind": "error", "after_work": True, "method": "CreateGateway", "probability": 0.03},
    {"kind": "error", "after_work": True, "method": "DeleteGateway", "probability": 0.03},
    {"kind": "page", "probability": 0.001},
    {"kind": "delay", "seconds": 0.05, "probability": 0.01},
    {"kind": "drip", "size": 40, "seconds": 0.005, "probability": 0.002},
    {"kind": "cut", "when": "before", "probability": 0.0005},
    {"kind": "cut", "when": "after", "probability": 0.0005},
    {"kind": "cut", "when": "response", "probability": 0.0005},
    {"kind": "cut", "when": "response", "path": "/gateway/*", "probability": 0.01},
    {"kind": "refuse", "probability": 0.001},
    {"kind": "goaway", "probability": 0.001},
    {"kind": "garbage", "probability": 0.001},
    {"kind": "content_type", "probability": 0.0005},
    {"kind": "oversized", "size": 2_000_000, "method": "GetGateway", "probability": 0.0002},
    {"kind": "half_open", "path": "/gateway/*", "probability": 0.0005},
    {"kind": "skew", "method": "GetGateway", "probability": 0.01},
    {"kind": "duplicate", "method": "UpdateGateway", "probability": 0.05},
    {"kind": "duplicate", "path": "/gateway/*", "probability": 0.01},
)
"""The faults, with their probability for each call."""


class EmulatorProcess:
    """The side of the load: sends commands to the process."""

    def __init__(self, process: subprocess.Popen[str], error_file: Path) -> None:
        self._process = process
        self._error_file = error_file
        self.pid = process.pid
        self.endpoint: str = self._read()["endpoint"]

    def begin(self, seed: int) -> None:
        """Inject faults from now on."""
        self._command({"begin": seed})

    def reload(self) -> None:
        """Close all connections after a moment and serve again, on the same port, with the same state."""
        self._command({"reload": True})

    def calls(self) -> int:
        """Return how many calls it received since `begin`."""
        return int(self._command({})["calls"])

    def end(self) -> tuple[int, Mapping[str, int]]:
        """Inject no more faults; return the number of calls, and how often each kind of fault was injected."""
        response = self._command({"end": True})
        return int(response["calls"]), cast("Mapping[str, int]", response["faults"])

    def error_output(self) -> str:
        """Return what it wrote to standard error."""
        return self._error_file.read_text("utf-8")

    def _command(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], COMMAND_TIMEOUT)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError(f"the emulator {'has exited' if ready else 'does not respond'}: {self.error_output()}")
        return cast("Mapping[str, Any]", json.loads(line))


@contextmanager
def emulator_process() -> Generator[EmulatorProcess]:
    """Run the process for as long as the block."""
    pipe = subprocess.PIPE
    with tempfile.TemporaryDirectory() as folder:
        error_file = Path(folder) / "stderr.txt"
        command = [sys.executable, "-m", __name__, str(Path(folder) / "state.sqlite")]
        with (
            error_file.open("w") as errors,
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
        ):
            try:
                yield EmulatorProcess(process, error_file)
            finally:
                process.kill()


def serve(state: str) -> None:
    """Serve, and execute the commands on standard input until it ends."""
    logging.basicConfig()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Emulator(port=port, ready_after=0.02, token=TOKEN, state=state) as emulator:
        faults = emulator.faults
        every = faults.add("delay", seconds=0, probability=0)
        kinds = list[Any]()
        _respond({"endpoint": emulator.endpoint})
        for line in sys.stdin:
            command = json.loads(line)
            if "begin" in command:
                every = faults.add("delay", seconds=0)
                kinds = [faults.add(**each, seed=command["begin"] * 100 + index) for index, each in enumerate(FAULTS)]
            if "reload" in command:
                emulator.close()
                emulator.start()
            if "end" in command:
                faults.clear()
            happened = dict.fromkeys((each.kind for each in kinds), 0)
            for each in kinds:
                happened[each.kind] += each.happened
            _respond({"calls": every.happened, "faults": happened})


def _respond(response: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(response) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
