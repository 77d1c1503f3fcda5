"""A program that uses a client, forks, and tells how the calls of both processes end.

`python -m tests.support.forking KIND ENDPOINT used|unused|closed`
"""

import asyncio
import os
import sys
from typing import Any

from cwinference import AsyncClient, Client, errors

from .clients import TRANSPORTS


def new_client(kind: str, endpoint: str) -> Client | AsyncClient:
    transport, _, mode = kind.rpartition("-")
    settings: dict[str, Any] = {**TRANSPORTS[transport], "endpoint": endpoint}
    if transport == "connect":
        settings["http_version"] = 1
    return AsyncClient("token", **settings) if mode == "async" else Client("token", **settings)


def call(client: Client | AsyncClient, *, close: bool = False) -> str:
    """How a call ends: the name of what was read, or the error."""
    try:
        return _call(client, close) if isinstance(client, Client) else asyncio.run(_call_async(client, close))
    except errors.InferenceError as error:
        return f"{type(error).__name__}: {error}"


def _call(client: Client, close: bool) -> str:
    name = client.gateways.get("x", timeout=20).spec.name
    if close:
        client.close()
    return name


async def _call_async(client: AsyncClient, close: bool) -> str:
    name = (await client.gateways.get("x", timeout=20)).spec.name
    if close:
        await client.close()
    return name


def tell(who: str, what: str) -> None:
    os.write(1, f"{who}: {what}\n".encode())


def main(kind: str, endpoint: str, moment: str) -> None:
    """Tell what the parent got before, what the child got with the same client and a new one, and the parent after."""
    client = new_client(kind, endpoint)
    if moment != "unused":
        tell("before", call(client, close=moment == "closed"))
    child = os.fork()
    if child == 0:
        try:
            tell("same", call(client))
            tell("new", call(new_client(kind, endpoint)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    tell("after", call(client))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
