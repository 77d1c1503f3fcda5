"""The sample bodies in `tests/samples`, by the methods they belong to."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from cwinference._wire.methods import METHODS, Method

DIRECTORY = Path(__file__).parent.parent / "samples"
BY_NAME = {method.name: method for method in METHODS.values()}


@cache
def names(part: str) -> list[str]:
    """Return the names of the samples of requests (`part` is "request") or of responses ("response")."""
    return sorted(path.name for path in DIRECTORY.glob(f"*Service.*.{part}*.json"))


def method_of(name: str) -> Method:
    """Return the method that a sample belongs to."""
    return BY_NAME[name.split(".")[1]]


def value(name: str) -> Any:
    """Return a sample as JSON."""
    return json.loads((DIRECTORY / name).read_text("utf-8"))


def request(name: str) -> Message:
    """Return a sample as a request message."""
    message: Message = ParseDict(value(name), method_of(name).request())
    return message


def response(name: str) -> Message:
    """Return a sample as a response message."""
    message: Message = ParseDict(value(name), method_of(name).response())
    return message


def response_to(method: Method) -> Message:
    """Return the plain response sample of a method."""
    service = method.service.rpartition(".")[2]
    return response(f"{service}.{method.name}.response.json")


def messages() -> Iterator[Message]:
    """Yield every sample, requests first."""
    yield from map(request, names("request"))
    yield from map(response, names("response"))
