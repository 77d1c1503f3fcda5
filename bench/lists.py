"""Lists of 500 and of 10,000 deployments."""

import asyncio
from functools import partial
from typing import Any

import grpc.aio
import msgspec
from google.protobuf.descriptor import Descriptor
from google.protobuf.timestamp_pb2 import Timestamp

from cwinference import AsyncClient, types
from cwinference._wire.methods import METHODS

from ._case import Case, Effort
from ._measure import ratio_async, seconds_async
from ._peer import TOKEN, Peer, bodies

_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
_REST_CALLS = 12
_GRPC_CALLS = 60


def _grpc(peer: Peer, effort: Effort) -> list[float]:
    async def measure() -> list[float]:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{peer.port}", _LIMIT) as channel,
            AsyncClient(TOKEN, endpoint=peer.url) as client,
        ):
            stub = channel.unary_unary(
                METHODS[types.ListDeploymentsRequest].path,
                request_serializer=types.ListDeploymentsRequest.SerializeToString,
                response_deserializer=types.ListDeploymentsResponse.FromString,
            )
            metadata = (("authorization", f"Bearer {TOKEN}"),)

            async def theirs() -> object:
                return (await stub(types.ListDeploymentsRequest(), metadata=metadata, timeout=30)).items

            return await ratio_async(client.deployments.list, theirs, 1, _GRPC_CALLS, effort.pairs)

    return asyncio.run(measure())


def _rest(peer: Peer, effort: Effort) -> list[float]:
    """Measure a list over REST against what nobody can avoid: to parse its JSON, and to make its messages."""
    body = bodies()["list.json"]
    arguments = _as_arguments(types.ListDeploymentsResponse.DESCRIPTOR, msgspec.json.decode(body))

    async def unavoidable() -> object:
        msgspec.json.decode(body)
        return types.ListDeploymentsResponse(**arguments)

    async def measure() -> list[float]:
        async with AsyncClient(TOKEN, endpoint=peer.url, transport="rest") as client:
            return await ratio_async(client.deployments.list, unavoidable, 1, _REST_CALLS, effort.pairs)

    return asyncio.run(measure())


def _as_arguments(descriptor: Descriptor, value: Any) -> dict[str, Any]:
    """Return what the constructor of a message takes, for JSON as servers send it."""
    arguments = dict[str, Any]()
    for field in descriptor.fields:
        found = value.get(field.json_name)
        if found is None:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            arguments[field.name] = found
        elif field.message_type is not None:
            read = _timestamp if field.message_type.name == "Timestamp" else partial(_as_arguments, field.message_type)
            arguments[field.name] = [*map(read, found)] if field.is_repeated else read(found)
        else:
            arguments[field.name] = found
    return arguments


def _timestamp(value: str) -> Timestamp:
    time = Timestamp()
    time.FromJsonString(value)
    return time


def _huge(peer: Peer, effort: Effort) -> list[float]:
    async def measure(huge: Peer) -> list[float]:
        async with AsyncClient(TOKEN, endpoint=peer.url) as small, AsyncClient(TOKEN, endpoint=huge.url) as large:
            found = list[float]()
            for _ in range(max(3, effort.pairs // 2)):
                (few,) = await seconds_async(small.deployments.list, 1, 20, 1)
                (many,) = await seconds_async(large.deployments.list, 1, 2, 1)
                found.append(many / few)
            return found

    with peer.with_options("-list", "huge.bin") as huge:
        return asyncio.run(measure(huge))


CASES = [
    Case("list_500_grpc", "ratio", 0.95, _grpc, against="grpc.aio stub", guarded=True),
    Case("list_500_rest", "ratio", 1.15, _rest, against="msgspec and protobuf's constructors alone"),
    Case("list_10000_grpc", "times list_500_grpc", 21, _huge),
]
