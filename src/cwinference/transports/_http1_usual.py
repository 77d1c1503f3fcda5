"""Reads a whole response over HTTP/1.1 at once, if it is a usual one and has arrived in one piece.

Most are. They have a success's status, one content-length, and nothing that changes what their bytes mean; to find that
out takes a fraction of the time of a parser with a callback for each header. Whatever is not clear is left to it.
"""

import re
from typing import NamedTuple

import pyqwest

_HEAD = re.compile(rb"HTTP/1\.1 200 [\t -~]*\r\n((?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~]*\r\n){1,100})\r\n")
_SIZE = re.compile(rb"^content-length:[ \t]*([0-9]{1,15})[ \t]*\r$", re.MULTILINE)
_UNUSUAL = re.compile(
    rb"^(?:transfer-encoding|content-encoding|upgrade|trailer|(?:proxy-)?connection:(?![ \t]*keep-alive[ \t]*\r$))",
    re.MULTILINE,
)
_LARGEST_HEAD = 64 * 1024


class UsualResponse(NamedTuple):
    """A success that is complete, without a content coding, after which the connection stays open."""

    fields: bytes
    """The lines of its headers."""
    body: bytes

    @property
    def headers(self) -> pyqwest.Headers:
        """Its headers."""
        lines = str(self.fields, "ascii").split("\r\n")[:-1]
        return pyqwest.Headers(
            [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
        )


def usual_response(data: bytes) -> UsualResponse | None:
    """Return the response that some bytes are; None if they have to be parsed to know."""
    head = _HEAD.match(data)
    if head is None or head.end() > _LARGEST_HEAD:
        return None
    fields = head[1]
    lowered = fields.lower()
    sizes = _SIZE.findall(lowered)
    if len(sizes) != 1 or lowered.count(b"content-length") != 1 or _UNUSUAL.search(lowered):
        return None
    body = data[head.end() :]
    return UsualResponse(fields, body) if len(body) == int(sizes[0]) else None
