"""The cost of importing the library, of keeping clients open, and of opening and closing many of them."""

import os
import subprocess
import sys
from collections.abc import Callable

from ._case import Case, Effort
from ._peer import Peer

_PROLOGUE = """
import gc, os, resource
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
def memory():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
def done(value):
    print(value, flush=True)
    os._exit(0)
"""
_FIRST_CLIENT = """
from cwinference import Client
client = Client("t", endpoint="http://127.0.0.1:9", timeout=0.01, retry=None)
try:
    client.gateways.get("x")
except Exception:
    pass
"""
_STUB = """
import grpc, grpc.aio
from coreweave.inference.v1alpha1 import gateway_pb2_grpc, deployment_pb2_grpc, capacity_claim_pb2_grpc
from coreweave.inference.v1alpha1.gateway_pb2 import GetGatewayRequest
stub = gateway_pb2_grpc.GatewayServiceStub(grpc.insecure_channel("127.0.0.1:9"))
try:
    stub.GetGateway(GetGatewayRequest(id="x"), timeout=0.01)
except grpc.RpcError:
    pass
"""
_BARE = f"{_PROLOGUE}\ndone((cpu(), memory()))"
_IMPORT = f"{_PROLOGUE}\n{_FIRST_CLIENT}\ndone((cpu(), memory()))"
_STUB_IMPORT = f"{_PROLOGUE}\n{_STUB}\ndone((cpu(), memory()))"
_HELD = f"""{_PROLOGUE}
from cwinference import Client
clients = [Client("t") for _ in range(100)]
before = memory()
clients += [Client("t") for _ in range(2000)]
done((memory() - before) / 2000)
"""
_CYCLES = f"""{_PROLOGUE}
from cwinference import Client
def cycle():
    with Client("t", endpoint="http://127.0.0.1:9", timeout=0.001, retry=None) as client:
        client.gateways
for _ in range(500):
    cycle()
before = memory()
for _ in range(10000):
    cycle()
done(memory() - before)
"""


def _run(program: str) -> str:
    """Run a program with bytecode caches, as an installed package has them, and without certificates to read."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "SSL_CERT_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def _of_the_stub(index: int) -> Callable[[Peer, Effort], list[float]]:
    """Return a function that measures what is more than in a bare interpreter, relative to the bare stub's more."""

    def measure(_: Peer, effort: Effort) -> list[float]:
        programs, found = (_IMPORT, _STUB_IMPORT, _BARE), list[float]()
        for program in programs:
            _run(program)
        for _turn in range(effort.pairs):
            ours, stub, bare = (eval(_run(each))[index] for each in programs)  # noqa: S307 - our own output
            found.append((ours - bare) / (stub - bare))
        return found

    return measure


def _held(_: Peer, effort: Effort) -> list[float]:
    return [float(_run(_HELD)) / 1000]


def _cycles(_: Peer, effort: Effort) -> list[float]:
    return [float(_run(_CYCLES)) / 1e6]


_STUB_ALONE = "grpcio and the generated stub, both without the bare interpreter"
CASES = [
    Case("import_cpu", "ratio", 1.1, _of_the_stub(0), against=_STUB_ALONE),
    Case("import_rss", "ratio", 1.03, _of_the_stub(1), against=_STUB_ALONE),
    Case("client_memory", "kB", 50, _held),
    Case("client_cycles", "MB after 10,000", 5, _cycles),
]
