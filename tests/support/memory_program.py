"""A program that makes two calls and prints how each ended, and by how many KiB its peak memory grew.

`python -m tests.support.memory_program KIND ENDPOINT LIMIT`, where LIMIT is the largest response allowed, in bytes.
"""

import asyncio
import resource
import sys

from cwinference import AsyncClient, errors

from .client_kinds import open_client


async def main(kind: str, endpoint: str, limit: int) -> None:
    version = {} if kind.startswith("grpc") else {"http_version": 1}
    async with open_client(kind, endpoint, retry=None, max_reply_bytes=limit, **version) as client:
        before = _peak()
        outcomes = [await _outcome(client), await _outcome(client)]
        print(*outcomes, _peak() - before)  # noqa: T201


async def _outcome(client: AsyncClient) -> str:
    try:
        return "ok" if (await client.gateways.get("x", timeout=60)).spec.id else "empty"
    except errors.InferenceError as error:
        return type(error).__name__


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
