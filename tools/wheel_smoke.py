"""Make a call over each transport to a small server. `check_wheel.py` runs this in environments with only the wheel.

The arguments are names of other modules to import in the same process.
"""

import asyncio
import importlib.util
import pkgutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any, Literal

import coreweave.inference.v1alpha1 as generated
import grpc

from cwinference import AsyncClient, Client, types
from cwinference.transports import _grpc_blocking, _grpc_calls

RESPONSE = types.GetGatewayParametersResponse(zones=["US-EAST-04A"])
CONNECT_PATH = "/coreweave.inference.v1alpha1.GatewayService/GetGatewayParameters"


class Http(BaseHTTPRequestHandler):
    """Serves Connect by POST, and REST by GET."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        assert self.path == CONNECT_PATH
        self._respond("application/proto", RESPONSE.SerializeToString())

    def do_GET(self) -> None:
        assert self.path == "/v1alpha1/inference/gateways/parameters"
        self._respond("application/json", b'{"zones": ["US-EAST-04A"]}')

    def _respond(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Grpc(grpc.GenericRpcHandler):
    """Serves the same call over gRPC."""

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda body, context: RESPONSE.SerializeToString())


def call(transport: Literal["grpc", "connect", "rest"], port: int) -> None:
    http_version: Literal[1] | None = None if transport == "grpc" else 1
    with Client("token", endpoint=f"http://127.0.0.1:{port}", transport=transport, http_version=http_version) as client:
        assert client.gateways.parameters() == RESPONSE, transport


def call_by_grpc(port: int) -> None:
    async def get() -> None:
        async with AsyncClient("token", endpoint=f"http://127.0.0.1:{port}") as client:
            assert await client.gateways.parameters() == RESPONSE

    assert (_grpc_calls.is_direct, _grpc_blocking.is_direct) == (True, True), "this grpcio is called by its stubs only"
    for is_direct in (True, False):
        _grpc_calls.is_direct = _grpc_blocking.is_direct = is_direct
        call("grpc", port)
        asyncio.run(get())


def call_emulator() -> None:
    from cwinference.emulator import Emulator

    with Emulator() as emulator, Client(emulator.token, endpoint=emulator.endpoint) as client:
        assert client.gateways.parameters().zones


def has_stubs() -> bool:
    """Return whether the packages of the extra `stubs` are installed."""
    return importlib.util.find_spec("connectrpc") is not None


def check_asks_for_connectrpc(name: str) -> None:
    """Check that a generated Connect stub names the package that it needs."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
    else:
        missing = "nothing"
    assert missing in ("connectrpc", "protobuf"), f"{name} needs {missing}"


def main(neighbors: list[str]) -> None:
    for name in neighbors:
        importlib.import_module(name)
    for module in pkgutil.iter_modules(generated.__path__):
        if has_stubs() or not module.name.endswith("_connect"):
            importlib.import_module(f"{generated.__name__}.{module.name}")
        else:
            check_asks_for_connectrpc(f"{generated.__name__}.{module.name}")
    if importlib.util.find_spec("hypercorn"):
        call_emulator()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    threading.Thread(target=http.serve_forever).start()
    rpc = grpc.server(ThreadPoolExecutor(1), handlers=[Grpc()])
    port = rpc.add_insecure_port("127.0.0.1:0")
    rpc.start()
    try:
        call_by_grpc(port)
        call("connect", http.server_port)
        call("rest", http.server_port)
    finally:
        rpc.stop(None).wait()
        http.shutdown()
        http.server_close()
    names = ("grpcio", "protobuf", "msgspec", "pyqwest", "httptools", *(("connectrpc",) if has_stubs() else ()))
    print(", ".join(f"{name} {version(name)}" for name in names))


if __name__ == "__main__":
    main(sys.argv[1:])
