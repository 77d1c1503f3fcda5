"""Reads a whole response over HTTP/1.1 at once, if it is a usual one and has arrived in one piece.

Most are. They have a success's status, one content-length, and nothing that changes what their bytes mean; to find that
out by one regular expression takes a fraction of the time of a parser with a callback for each header. Whatever is not
clear is left to it.
"""

import re
from typing import NamedTuple

import pyqwest

_OTHERS = (
    rb"(?:(?!(?:content-length|content-encoding|transfer-encoding|trailer|upgrade"
    rb"|(?:proxy-)?connection(?!:[\t ]*keep-alive[\t ]*\r)):)"  # what follows is none of these
    rb"[-!#$%&'*+.^_`|~0-9a-z]++:[\t -~]*+\r\n){0,49}"
)
_SIZE = rb"content-length:[\t ]*+(?P<size>[0-9]{1,15})[\t ]*+\r\n"
_HEAD = re.compile(rb"HTTP/1\.1 200 [\t -~]*+\r\n(?i:(?P<fields>%b%b%b))\r\n" % (_OTHERS, _SIZE, _OTHERS))
"""The head of a usual response: one content-length, between few lines that change nothing."""
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
    body = data[head.end() :]
    return UsualResponse(head["fields"], body) if len(body) == int(head["size"]) else None
