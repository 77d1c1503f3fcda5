"""Any request gets exactly one response from the emulator, and never one that reports an internal failure."""

from typing import Any

from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from cwinference._wire.methods import METHODS, Method
from cwinference.emulator.interfaces import Caller
from cwinference.emulator.protocols import connect as _connect
from cwinference.emulator.protocols import grpc as _grpc
from cwinference.emulator.protocols.app import ProtocolRouter
from cwinference.emulator.protocols.service import Service
from cwinference.emulator.tokens import Tokens

TOKEN = "CW-SECRET-of-an-admin"
KINDS = ["", "text/html", "application/connect+proto", *_connect.CODECS, *_grpc.CODECS, *_grpc.WEB_CODECS]
KNOWN = [method.path for method in METHODS.values()] + [
    str(method.http.template).replace("{id}", "7") for method in METHODS.values() if method.http
]
VERBS = ["GET", "POST", "PATCH", "DELETE", "HEAD", "PUT", "OPTIONS", "BREW"]
NAMES = [
    b"accept-encoding", b"authorization", b"connect-protocol-version", b"connect-timeout-ms", b"content-encoding",
    b"grpc-encoding", b"grpc-timeout",
]  # fmt: skip
VALUES = st.sampled_from([b"gzip", b"identity", b"1", b"0", b"1S", b"1", f"Bearer {TOKEN}".encode()]) | st.binary()
QUERIES = [b"encoding=json&message=%7B%7D", b"encoding=proto&base64=1&message=", b"id=7", b"updatedAfter=7"]
BODIES = st.binary() | st.sampled_from([b"{}", b"\0\0\0\0\0", b"AAAAAAA=", b'{"id": "7"}', b'{"updatedAfter": 7}'])


class EmptyApi:
    """An API that returns an empty response to every request."""

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        return method.response()


ROUTER = ProtocolRouter(Service(EmptyApi(), Tokens({TOKEN: Caller("cw1a2b")})), METHODS.values())


async def send_request(scope: dict[str, Any], pieces: list[bytes]) -> list[Any]:
    """Send a request to the application; return all events that it sends."""
    events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    incoming = iter([*events, {"type": "http.request", "body": b"", "more_body": False}])
    outgoing = list[Any]()

    async def receive() -> Any:
        return next(incoming)

    async def send(event: Any) -> None:
        outgoing.append(event)

    await ROUTER(scope, receive, send)
    return outgoing


@settings(max_examples=400, derandomize=True, deadline=None)
@given(
    verb=st.sampled_from(VERBS),
    path=st.sampled_from(KNOWN) | st.text(st.characters(max_codepoint=126, min_codepoint=33)).map("/{}".format),
    query=st.binary() | st.sampled_from(QUERIES),
    kind=st.sampled_from(KINDS),
    headers=st.lists(st.tuples(st.sampled_from(NAMES), VALUES)),
    pieces=st.lists(BODIES, max_size=3),
    version=st.sampled_from(["1.1", "2"]),
)
async def test_every_request_gets_exactly_one_response(
    verb: str,
    path: str,
    query: bytes,
    kind: str,
    headers: list[tuple[bytes, bytes]],
    pieces: list[bytes],
    version: str,
) -> None:
    scope = {
        "type": "http",
        "http_version": version,
        "method": verb,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode()), (b"content-type", kind.encode()), *headers],
    }
    outgoing = await send_request(scope, pieces)
    assert [event["type"] for event in outgoing][:2] == ["http.response.start", "http.response.body"]
    assert sum(event["type"] == "http.response.start" for event in outgoing) == 1
    assert outgoing[0]["status"] != 500
    assert "internal error in the emulator" not in repr(outgoing)
