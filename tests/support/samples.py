"""The golden bodies in `tests/samples`, by the method they belong to."""

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
    """The samples of requests or of responses."""
    return sorted(path.name for path in DIRECTORY.glob(f"*Service.*.{part}*.json"))


def method_of(name: str) -> Method:
    """The method that a sample belongs to."""
    return BY_NAME[name.split(".")[1]]


def value(name: str) -> Any:
    """A sample as JSON."""
    return json.loads((DIRECTORY / name).read_text("utf-8"))


def request(name: str) -> Message:
    """A sample as a request message."""
    message: Message = ParseDict(value(name), method_of(name).request())
    return message


def response(name: str) -> Message:
    """A sample as a response message."""
    message: Message = ParseDict(value(name), method_of(name).response())
    return message


def response_to(method: Method) -> Message:
    """The plain response sample of a method."""
    service = method.service.rpartition(".")[2]
    return response(f"{service}.{method.name}.response.json")


def messages() -> Iterator[Message]:
    """Every request and response sample."""
    yield from map(request, names("request"))
    yield from map(response, names("response"))
