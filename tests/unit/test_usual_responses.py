"""Usual responses are read at once: with the result that the parser gives, or not at all."""

import asyncio

import pyqwest
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwinference.transports._http1_response import Response
from cwinference.transports._http1_usual import usual_response

BODY = b'{"choices":[]}'
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"content-length: %d\r\n" % len(BODY)


class NoConnection:
    """In place of a connection; only its reader would wait on the event loop."""

    loop: asyncio.AbstractEventLoop

    def resume(self) -> None:
        pass


def parsed(data: bytes) -> Response:
    response = Response(NoConnection())
    response.receive(data)
    return response


def values(headers: pyqwest.Headers) -> list[tuple[str, str]]:
    return sorted(headers.items())


def check(data: bytes) -> bool:
    """Return whether it is usual; if it is, the parser must agree in everything."""
    usual = usual_response(data)
    if usual is None:
        return False
    response = parsed(data)
    assert (response.failure, response.is_complete, response.keeps_alive, response.status) == (None, True, True, 200)
    assert b"".join(response.take()) == usual.body
    assert values(response.headers) == values(usual.headers)
    return True


@pytest.mark.parametrize("head", [
    OK + LENGTH,
    b"HTTP/1.1 200 \r\n" + LENGTH,
    OK + b"Content-Length:%d\r\nDate: Mon, 30 Nov 2026 10:00:00 GMT\r\nX-Empty:\r\n" % len(BODY),
    OK + b"Server: nginx\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n" + LENGTH,
    OK + b"x: 1\r\nx: 2\r\nCONTENT-LENGTH: \t%d \r\n" % len(BODY),
    OK + LENGTH + b"x: content-length\r\nconnections: close\r\nxcontent-length: 1\r\n",
    OK + b"x: 1\r\n" * 49 + LENGTH + b"x: 2\r\n" * 49,
])  # fmt: skip
def test_a_usual_response_is_read_at_once(head: bytes) -> None:
    assert check(head + b"\r\n" + BODY)


@pytest.mark.parametrize("data", [
    OK + LENGTH + b"\r\n" + BODY[:-1],
    OK + LENGTH + b"\r\n" + BODY + b"x",
    OK + LENGTH[:-2],
    OK + b"\r\n" + BODY,
    OK + LENGTH + LENGTH + b"\r\n" + BODY,
    OK + LENGTH + b"content-length : 1\r\n\r\n" + BODY,
    OK + LENGTH + b"transfer-encoding: chunked\r\n\r\n" + BODY,
    OK + LENGTH + b"Content-Encoding: gzip\r\n\r\n" + BODY,
    OK + LENGTH + b"Connection: close\r\n\r\n" + BODY,
    OK + LENGTH + b"connection: keep-alive, close\r\n\r\n" + BODY,
    OK + LENGTH + b"Proxy-Connection: close\r\n\r\n" + BODY,
    OK + LENGTH + b"Upgrade: h2c\r\n\r\n" + BODY,
    OK + LENGTH + b" folded\r\n\r\n" + BODY,
    OK + LENGTH + b"x: \xff\r\n\r\n" + BODY,
    OK + LENGTH + b"x: \0\r\n\r\n" + BODY,
    OK + LENGTH + b"x y: 1\r\n\r\n" + BODY,
    OK + b"content-length: +14\r\n\r\n" + BODY,
    OK + b"content-length: 0x0e\r\n\r\n" + BODY,
    OK + b"content-length: 14, 14\r\n\r\n" + BODY,
    OK + b"x: 1\r\n" * 100 + LENGTH + b"\r\n" + BODY,
    OK + b"x: " + b"y" * 65536 + b"\r\n" + LENGTH + b"\r\n" + BODY,
    (OK + LENGTH + b"\r\n").replace(b"\r", b"") + BODY,
    OK.replace(b"1.1", b"1.0") + LENGTH + b"\r\n" + BODY,
    OK.replace(b"200", b"201") + LENGTH + b"\r\n" + BODY,
    OK.replace(b"200", b"503") + LENGTH + b"\r\n" + BODY,
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH + b"\r\n" + BODY,
    b"",
])  # fmt: skip
def test_whatever_is_not_clear_is_left_to_the_parser(data: bytes) -> None:
    assert not check(data)


PIECES = st.sampled_from([
    b"content-length", b"Content-Length: 3", b"content-length: 4\r\n", b"transfer-encoding: chunked", b"connection: ",
    b"keep-alive", b"close", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200", b"\r\n", b"\n", b"\r", b":", b" ", b"\t", b"x",
    b"x: 1\r\n", b"upgrade: h2c\r\n", b"content-encoding: br\r\n", b",", b"3", b"abc", b"\0", b"\xff", b"\x0b",
    b"trailer", b"proxy-connection: ",
])  # fmt: skip


@given(st.lists(PIECES, max_size=8).map(b"".join), st.lists(PIECES, max_size=4).map(b"".join))
def test_it_agrees_with_the_parser_whatever_the_head_contains(one: bytes, other: bytes) -> None:
    for body in (b"abc", b"abcd"):
        check(OK + one + b"\r\n\r\n" + body)
        check(OK + one + b"content-length: 3\r\n" + other + b"\r\n" + body)
