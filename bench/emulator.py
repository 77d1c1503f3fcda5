"""The emulator, compared with an empty connectrpc handler on the same server; its start, and a long list."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from cwinference import Client, types
from cwinference._wire.methods import METHODS
from cwinference.emulator import Emulator

from ._case import Case, Effort
from ._cores import elsewhere
from ._measure import in_flight
from ._peer import Peer

_AT_ONCE = 32
_METHOD = METHODS[types.GetGatewayRequest]
_READY = "listening on http://127.0.0.1:"
_EMPTY = """
import asyncio, socket
from hypercorn.asyncio import serve
from hypercorn.config import Config
from coreweave.inference.v1alpha1 import gateway_pb2, gateway_connect
from connectrpc.compat import google_protobuf_binary_codec

class Empty(gateway_connect.GatewayService):
    async def get_gateway(self, request, ctx):
        return gateway_pb2.GetGatewayResponse()

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
config = Config()
config.bind = [f"fd://{listener.fileno()}"]
config.keep_alive_max_requests = 2**31
config.h2_max_concurrent_streams = 1000
config.errorlog = None
print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
app = gateway_connect.GatewayServiceASGIApplication(Empty(), codecs=[google_protobuf_binary_codec()])
asyncio.run(serve(app, config))
"""


@contextmanager
def _serving(*command: str) -> Iterator[tuple[int, int]]:
    """Run a server in its own process, and yield its port and process id."""
    with elsewhere():
        process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            yield int(next(line for line in lines if line.startswith(_READY)).removeprefix(_READY)), process.pid
        finally:
            process.send_signal(signal.SIGKILL)


def _cpu_of(process: int) -> float:
    """Return the CPU time used by another process, in seconds."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _throughput(_: Peer, effort: Effort) -> list[float]:
    command = ("-c", "from cwinference._cli.main import main; main()", "emulator", "--port", "0", "--ready-after", "0")
    with _serving(*command) as (port, ours), _serving("-c", _EMPTY) as (empty_port, empty):
        with Client("CW-SECRET-emulator-admin", endpoint=f"http://127.0.0.1:{port}") as client:
            gateway_id = _make_gateway(client, "front").spec.id
        return asyncio.run(_rates(port, ours, empty_port, empty, gateway_id, effort))


async def _rates(port: int, ours: int, empty_port: int, empty: int, id: str, effort: Effort) -> list[float]:
    """Measure the emulator's calls per second of CPU time, relative to the empty handler's."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    metadata = (("authorization", "Bearer CW-SECRET-emulator-admin"),)

    def calling(channel: Any) -> Callable[[], Awaitable[object]]:
        stub = channel.unary_unary(
            _METHOD.path,
            request_serializer=types.GetGatewayRequest.SerializeToString,
            response_deserializer=types.GetGatewayResponse.FromString,
        )
        return lambda: stub(types.GetGatewayRequest(id=id), metadata=metadata, timeout=30)

    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{empty_port}", options) as empty_channel,
    ):
        sides = ((ours, calling(channel)), (empty, calling(empty_channel)))
        ratios = list[float]()
        for _ in range(effort.pairs):
            spent = list[float]()
            for process, call in sides:
                before = _cpu_of(process)
                await in_flight(call, _AT_ONCE, effort.calls)
                spent.append(_cpu_of(process) - before)
            ratios.append(spent[1] / spent[0])
        return ratios


def _make_gateway(client: Client, name: str) -> types.Gateway:
    return client.gateways.create(
        name,
        zones=client.gateways.parameters().zones[:1],
        core_weave_auth=types.CoreWeaveAuth(),
        body_based_routing=types.BodyBasedRouting(api_type=types.BodyBasedRouting.API_TYPE_OPENAI),
    )


def _many(_: Peer, effort: Effort) -> list[float]:
    """Measure the seconds to list 10,000 gateways in one response."""
    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        for number in range(10_000):
            _make_gateway(client, f"front-{number}")
        before = time.perf_counter()
        found = len(client.gateways.list())
        seconds = time.perf_counter() - before
    if found != 10_000:
        raise AssertionError(f"expected 10,000 gateways in the list, got {found}")
    return [seconds]


def _start(_: Peer, effort: Effort) -> list[float]:
    """Measure the milliseconds until a new emulator accepts connections."""
    found = list[float]()
    for _turn in range(effort.pairs):
        before = time.perf_counter()
        with Emulator():
            found.append(1000 * (time.perf_counter() - before))
    return found


_HANDLER = "an empty connectrpc handler on hypercorn; grpc.aio, 32 in flight; server's CPU"
CASES = [
    Case("emulator_throughput", "of the rate", 0.7, _throughput, at_least=True, against=_HANDLER, guarded=True),
    Case("emulator_list_10000", "s", 2, _many),
    Case("emulator_start", "ms", 50, _start),
]
