"""A client connected to a server whose responses a function of the test decides."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from cwinference import AsyncClient

from .client_kinds import TOKEN, open_client
from .scripted_server import Responder, ScriptedServer


@asynccontextmanager
async def connected(
    kind: str, respond: Responder, *, token: Any = TOKEN, **settings: Any
) -> AsyncGenerator[tuple[AsyncClient, ScriptedServer]]:
    """Open a client and its server for as long as the block runs."""
    with ScriptedServer(kind.partition("-")[0], respond) as server:
        async with open_client(kind, server.endpoint, token, **{**server.settings, **settings}) as client:
            yield client, server
