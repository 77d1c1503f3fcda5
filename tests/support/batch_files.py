"""Requests of a batch that a server echoes, and what is read from the files it writes."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .scripted_model_server import MODEL, Asked, Reply, completion, plain

NOBODY = "http://127.0.0.1:9"
"""Where nobody listens."""


def echo(got: Asked) -> Reply:
    """Answer with the request's own text."""
    return plain(completion(got.body["messages"][-1]["content"]))


def request(number: int, **more: Any) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"text {number}"}], **more}
    return {"custom_id": f"id-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answers(path: Path) -> dict[str, str]:
    """Texts by key; fails when a key stands twice."""
    found = lines(path)
    texts = {each["custom_id"]: each["response"]["body"]["choices"][0]["message"]["content"] for each in found}
    assert len(texts) == len(found)
    return texts


def expected(*numbers: int) -> dict[str, str]:
    return {f"id-{number}": f"text {number}" for number in numbers}


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread."""
    while not condition():
        threading.Event().wait(0.005)
