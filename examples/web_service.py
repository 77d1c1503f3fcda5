"""Streams chats with the models of gateways: GATEWAYS=id,id uvicorn web_service:app"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette import applications, requests, responses, routing

from cwinference import AsyncClient, AsyncInference, errors


@asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[dict[str, AsyncInference]]:
    gateways = os.environ["GATEWAYS"].split(",")
    async with AsyncClient() as client, client.inference(gateways) as inference:
        yield {"inference": inference}


async def chat(request: requests.Request) -> responses.Response:
    inference: AsyncInference = request.state.inference
    try:
        body = {**await request.json(), "stream": True}
        stream = inference.chat.completions.stream(body=body)
        opening = asyncio.ensure_future(anext(chunks := aiter(stream)))
        while not (await asyncio.wait([opening], timeout=0.2))[0]:
            if await request.is_disconnected():
                opening.cancel()  # the caller has left: stop the model
        first = await opening
    except asyncio.CancelledError:
        return responses.Response(status_code=499)
    except (TypeError, ValueError) as error:  # the body is no JSON object, or no chat
        return responses.JSONResponse({"error": {"message": str(error)}}, 400)
    except errors.InferenceError as error:  # in time to be a status
        status = getattr(error, "http_status", None) or 502
        content = {"error": {"message": str(error)}}
        return responses.JSONResponse(content, status if status >= 400 else 502)

    async def events() -> AsyncGenerator[str]:
        async with stream:  # left early when the caller leaves, which stops the model
            yield f"data: {json.dumps(first.raw)}\n\n"
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk.raw)}\n\n"
            yield "data: [DONE]\n\n"

    return responses.StreamingResponse(events(), media_type="text/event-stream")


chats = routing.Route("/v1/chat/completions", chat, methods=["POST"])
app = applications.Starlette(routes=[chats], lifespan=lifespan)
