"""A service that streams chats with the models of gateways: GATEWAYS=id,id uvicorn web_service:app"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cwinference import AsyncClient, errors


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
    async with AsyncClient() as client, client.inference(os.environ["GATEWAYS"].split(",")) as inference:
        yield {"inference": inference}


async def chat(request: Request) -> Response:
    try:
        stream = request.state.inference.chat.completions.stream(body={**await request.json(), "stream": True})
        chunks = aiter(stream)
        opening: asyncio.Task[Any] = asyncio.ensure_future(anext(chunks))
        while not opening.done():
            await asyncio.wait([opening], timeout=0.2)
            if await request.is_disconnected():
                opening.cancel()  # the caller has left: hang up on the model
        first = await opening
    except asyncio.CancelledError:
        return Response(status_code=499)
    except errors.InferenceError as error:  # before the first byte, so that it can be a status
        return JSONResponse({"error": {"message": str(error)}}, status_of(error))
    return StreamingResponse(events(stream, chunks, first), media_type="text/event-stream")


async def events(stream: Any, chunks: AsyncIterator[Any], first: Any) -> AsyncIterator[str]:
    async with stream:  # left early when the caller leaves, and that hangs up
        yield f"data: {json.dumps(first.raw)}\n\n"
        async for chunk in chunks:
            yield f"data: {json.dumps(chunk.raw)}\n\n"
        yield "data: [DONE]\n\n"


def status_of(error: errors.InferenceError) -> int:
    status = 400 if isinstance(error, errors.ConfigurationError) else getattr(error, "http_status", None)
    return status if status and status >= 400 else 502


app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=lifespan)
