"""A service that streams chats with the models of gateways: GATEWAYS=id,id uvicorn web_service:app"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette import applications, requests, responses, routing

from cwinference import AsyncClient, AsyncInference, errors


@asynccontextmanager
async def lifespan(app: applications.Starlette) -> AsyncGenerator[dict[str, AsyncInference]]:
    async with AsyncClient() as client, client.inference(os.environ["GATEWAYS"].split(",")) as inference:
        yield {"inference": inference}


async def chat(request: requests.Request) -> responses.Response:
    inference: AsyncInference = request.state.inference
    try:
        stream = inference.chat.completions.stream(body={**await request.json(), "stream": True})
        opening = asyncio.ensure_future(anext(chunks := aiter(stream)))
        while not (await asyncio.wait([opening], timeout=0.2))[0]:
            if await request.is_disconnected():
                opening.cancel()  # the caller has left: stop the model
        first = await opening
    except asyncio.CancelledError:
        return responses.Response(status_code=499)
    except errors.InferenceError as error:  # in time to be a status
        status = 400 if isinstance(error, errors.ConfigurationError) else getattr(error, "http_status", None) or 502
        return responses.JSONResponse({"error": {"message": str(error)}}, status if status >= 400 else 502)

    async def events() -> AsyncGenerator[str]:
        async with stream:  # left early when the caller leaves, which stops the model
            yield f"data: {json.dumps(first.raw)}\n\n"
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk.raw)}\n\n"
            yield "data: [DONE]\n\n"

    return responses.StreamingResponse(events(), media_type="text/event-stream")


app = applications.Starlette(routes=[routing.Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=lifespan)
