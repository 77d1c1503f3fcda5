"""A client connected to a server that answers as it is told."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from cwinference import AsyncClient

from .client_kinds import TOKEN, open_client
from .scripted_server import Answer, Peer


@asynccontextmanager
async def told(
    kind: str, answer: Answer, *, token: Any = TOKEN, **settings: Any
) -> AsyncGenerator[tuple[AsyncClient, Peer]]:
    """The client and its server, for as long as the block runs."""
    with Peer(kind.partition("-")[0], answer) as peer:
        async with open_client(kind, peer.endpoint, token, **{**peer.settings, **settings}) as client:
            yield client, peer
