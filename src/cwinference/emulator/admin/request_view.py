"""What a recorded request was: its protocol, its method and its code, found out from bytes when somebody asks."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ..._wire.methods import Method
from ..protocols.app import GATEWAY_PREFIX
from ..protocols.codecs import GRPC_NUMBERS, HTTP_STATUS
from ..protocols.rest import ROOT
from . import masking
from .request_log import RecordedRequest

_CODES = {number: code for code, number in GRPC_NUMBERS.items()} | {0: "ok"}
_BY_STATUS: Mapping[int, str] = {
    **{status: code for code, status in HTTP_STATUS.items()},
    400: "invalid_argument",
    409: "already_exists",
    412: "failed_precondition",
    416: "out_of_range",
    500: "internal",
    502: "unavailable",
}
_CONNECT_CODE = re.compile(r'"code"\s*:\s*"(\w+)"')
_REST_NUMBER = re.compile(r'"code"\s*:\s*(\d{1,2})\b')
_WEB_STATUS = re.compile(rb"grpc-status: (\d+)")
_OK = range(200, 400)
_TEXT = re.compile(r"application/(?:[\w.+-]*\+)?json|text/|application/x-www-form-urlencoded")


def describe(request: RecordedRequest, at: float, method_of: Callable[[str, str], Method | None]) -> Mapping[str, Any]:
    """Return a recorded request as JSON, with secrets masked; `at` is when it arrived, in seconds since 1970."""
    headers = _headers(request)
    whole_path = request.path.decode("ascii", "replace")
    path = whole_path.partition("?")[0]
    kind = headers.get("content-type", "")
    method = method_of(request.verb, path)
    protocol = _protocol(path, kind, method)
    completion = path.partition("/v1/")[2] if protocol == "openai" else None
    return {
        "id": request.number,
        "at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "protocol": protocol,
        "method": method.name if method else completion or None,
        "code": _code(request, protocol, kind),
        "status": request.status or None,
        "ms": round(request.ms, 3),
        "verb": request.verb,
        "path": masking.path(whole_path),
        "headers": {name: masking.header(name, value) for name, value in headers.items()},
        "request": _text(request.request, kind, headers.get("content-encoding")),
        "response": _text(request.response, _response_kind(request, protocol, kind), None),
    }


def _headers(request: RecordedRequest) -> dict[str, str]:
    """Return the headers by their names; several of one name are joined."""
    headers: dict[str, str] = {}
    lines = request.headers.decode("latin-1").split("\n")
    for name, value in zip(lines[::2], lines[1::2], strict=False):  # the last value may be cut off
        if name:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _protocol(path: str, kind: str, method: Method | None) -> str:
    if path.startswith(GATEWAY_PREFIX):
        return "openai"
    if kind.startswith("application/grpc"):
        return "grpc-web" if kind.startswith("application/grpc-web") else "grpc"
    if path.startswith(ROOT):
        return "rest"
    return "connect" if method is not None else "http"


def _code(request: RecordedRequest, protocol: str, kind: str) -> str | None:
    if not request.status:
        return None
    if request.grpc_status is not None:
        return _CODES.get(int(request.grpc_status), "unknown")
    if protocol == "grpc-web" and request.status in _OK:
        found = _WEB_STATUS.search(_from_base64(request.response) if "-text" in kind else request.response)
        return _CODES.get(int(found[1]), "unknown") if found else "ok"
    if request.status in _OK:
        return "ok"
    text = request.response.decode("utf-8", "replace")
    if protocol == "connect" and (named := _CONNECT_CODE.search(text)):
        return named[1]
    if protocol == "rest" and (numbered := _REST_NUMBER.search(text)):
        return _CODES.get(int(numbered[1]), "unknown")
    return _BY_STATUS.get(request.status, "unknown")


def _from_base64(text: bytes) -> bytes:
    try:
        return b64decode(text[: len(text) // 4 * 4])
    except Base64Error:
        return b""


def _response_kind(request: RecordedRequest, protocol: str, kind: str) -> str:
    """Return the content type of the response as far as the request shows it; empty if it does not."""
    is_message = protocol.startswith("grpc") or (protocol == "connect" and request.status in _OK)
    return kind if is_message else ""


def _text(body: bytes, kind: str, encoding: str | None) -> str | None:
    """Return the beginning of a body; None if it is empty or not text."""
    if not body or (kind and not _TEXT.match(kind)) or encoding not in (None, "identity"):
        return None
    try:
        text = getincrementaldecoder("utf-8")().decode(body)  # which accepts that the last character is cut off
    except UnicodeDecodeError:
        return None
    return None if any(each < " " and each not in "\t\r\n" for each in text) else masking.body(text)
