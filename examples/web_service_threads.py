"""The same on threads: GATEWAYS=id,id gunicorn --worker-class gthread --threads 64 web_service_threads:app"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from cwinference import Client, errors

inference = Client().inference(os.environ["GATEWAYS"].split(","))
"""It connects at the first request, and so in each of gunicorn's workers by itself, also with --preload."""


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    try:
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0)))
        stream = inference.chat.completions.stream(body={**body, "stream": True})
        chunks = iter(stream)
        first = next(chunks)
    except (TypeError, ValueError, errors.InferenceError) as error:  # before the first byte, so that it can be a status
        status = status_of(error)
        start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Type", "application/json")])
        return [json.dumps({"error": {"message": str(error)}}).encode()]
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return events(stream, chunks, first)


def events(stream: Any, chunks: Iterator[Any], first: Any) -> Iterator[bytes]:
    with stream:  # gunicorn closes this generator when the caller has left, and that hangs up
        yield f"data: {json.dumps(first.raw)}\n\n".encode()
        for chunk in chunks:
            yield f"data: {json.dumps(chunk.raw)}\n\n".encode()
        yield b"data: [DONE]\n\n"


def status_of(error: Exception) -> int:
    if isinstance(error, TypeError | ValueError):  # the body is no JSON object, or no chat
        return 400
    status = getattr(error, "http_status", None)
    return status if status and status >= 400 else 502
