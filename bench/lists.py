"""Lists of 500 and of 10,000 deployments."""

import asyncio
from statistics import median

import grpc.aio

from cwinference import AsyncClient, types
from cwinference._wire.methods import METHODS

from ._case import Case, Effort
from ._measure import ratio_async, seconds_async
from ._peer import TOKEN, Peer

_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
_REST_CALLS = 12
_GRPC_CALLS = 60


def _grpc(peer: Peer, effort: Effort) -> float:
    async def measure() -> float:
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


def _rest(peer: Peer, effort: Effort) -> float:
    async def measure() -> float:
        async with AsyncClient(TOKEN, endpoint=peer.url, transport="rest") as client:
            return 1000 * await seconds_async(client.deployments.list, 1, _REST_CALLS, effort.pairs)

    return asyncio.run(measure())


def _huge(peer: Peer, effort: Effort) -> float:
    async def measure(huge: Peer) -> float:
        async with AsyncClient(TOKEN, endpoint=peer.url) as small, AsyncClient(TOKEN, endpoint=huge.url) as large:
            found = list[float]()
            for _ in range(max(3, effort.pairs // 2)):
                few = await seconds_async(small.deployments.list, 1, 20, 1)
                found.append(await seconds_async(large.deployments.list, 1, 2, 1) / few)
            return median(found)

    with peer.with_options("-list", "huge.bin") as huge:
        return asyncio.run(measure(huge))


CASES = [
    Case("list_500_grpc", "ratio", 1.05, _grpc, against="grpc.aio stub", guarded=True),
    Case("list_500_rest", "ms CPU", 10, _rest, against="json_format: about 75 ms"),
    Case("list_10000_grpc", "times list_500_grpc", 21, _huge),
]
