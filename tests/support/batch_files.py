"""Requests of a batch, a server that echoes them, and readers of the files that a batch writes."""

import json
from pathlib import Path
from typing import Any

from .scripted_model_server import MODEL, HttpRequest, ScriptedResponse, completion, json_response

UNREACHABLE = "http://127.0.0.1:9"
"""A URL where no server listens."""


def echo(request: HttpRequest) -> ScriptedResponse:
    """Respond with the request's own text."""
    return json_response(completion(request.body["messages"][-1]["content"]))


def batch_request(number: int, **more: Any) -> dict[str, Any]:
    """Return a request in OpenAI's batch form."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"text {number}"}], **more}
    return {"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def read_lines(path: Path) -> list[Any]:
    """Return the values of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_texts(path: Path) -> dict[str, str]:
    """Return the text of each completion by its `custom_id`, which must be unique."""
    found = read_lines(path)
    texts = {each["custom_id"]: each["response"]["body"]["choices"][0]["message"]["content"] for each in found}
    assert len(texts) == len(found)
    return texts


def echoed_texts(*numbers: int) -> dict[str, str]:
    """Return what `read_texts` returns when `echo` has responded to these requests."""
    return {f"id-{number}": f"text {number}" for number in numbers}
