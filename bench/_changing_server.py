"""`python -m bench._changing_server`: lists 10,000 deployments, and to each list of changes 100 that have changed.

It serves gRPC in a process of its own, so that its work is not measured, and prints its port.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import grpc

from cwinference import types
from cwinference._wire.methods import METHODS

from ._peer import deployment

RESOURCES = 10_000
CHANGES = 100
_TURNS = RESOURCES // CHANGES
_PATH = METHODS[types.ListDeploymentsRequest].path


class _Lists(grpc.GenericRpcHandler):
    def __init__(self) -> None:
        sample = deployment(0)
        self._everything = _listed(sample, range(RESOURCES), 0)
        self._changes = [
            _listed(sample, range(CHANGES * turn, CHANGES * (turn + 1)), 20 * (turn + 1)) for turn in range(_TURNS)
        ]
        self._turns = count()

    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method != _PATH:
            return None
        decode, encode = types.ListDeploymentsRequest.FromString, bytes
        return grpc.unary_unary_rpc_method_handler(
            self._respond, request_deserializer=decode, response_serializer=encode
        )

    def _respond(self, request: types.ListDeploymentsRequest, _: Any) -> bytes:
        if not request.HasField("updated_after"):
            return self._everything
        return self._changes[next(self._turns) % _TURNS]


def _listed(sample: types.Deployment, numbers: Sequence[int], later: int) -> bytes:
    response = types.ListDeploymentsResponse()
    for number in numbers:
        each = response.items.add()
        each.CopyFrom(sample)
        each.spec.id = f"5b2d9c1e-7a44-4f0d-8b6a-{number:012d}"
        each.spec.name = f"deployment-{number}"
        each.spec.gateway_ids[:] = [f"3f0e6c0a-6f0b-4c5e-9a53-{number % 50:012d}"]
        each.status.updated_at.seconds += later
    return response.SerializeToString()


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((_Lists(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
