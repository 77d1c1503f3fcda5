"""The cost of importing the library, of keeping clients open, and of opening and closing many of them."""

import os
import subprocess
import sys
from collections.abc import Callable
from statistics import median

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


def _over_bare(program: str, index: int, unit: float) -> Callable[[Peer, Effort], float]:
    def measure(_: Peer, effort: Effort) -> float:
        found = list[float]()
        _run(program)
        for _turn in range(effort.pairs):
            with_it, bare = (eval(_run(each))[index] for each in (program, _BARE))  # noqa: S307 - our own output
            found.append(with_it - bare)
        return median(found) / unit

    return measure


def _held(_: Peer, effort: Effort) -> float:
    return float(_run(_HELD)) / 1000


def _cycles(_: Peer, effort: Effort) -> float:
    return float(_run(_CYCLES)) / 1e6


_OVER = "the bare interpreter (difference)"
CASES = [
    Case("import_cpu", "ms CPU", 90, _over_bare(_IMPORT, 0, 1e-3), against=_OVER),
    Case("import_cpu_of_the_bare_stub", "ms CPU", 90, _over_bare(_STUB_IMPORT, 0, 1e-3), against=_OVER),
    Case("import_rss", "MB", 25, _over_bare(_IMPORT, 1, 1e6), against=_OVER),
    Case("import_rss_of_the_bare_stub", "MB", 25, _over_bare(_STUB_IMPORT, 1, 1e6), against=_OVER),
    Case("client_memory", "kB", 50, _held),
    Case("client_cycles", "MB after 10,000", 5, _cycles),
]
