"""The lines of a batch's files: how they are made, and what a line that was read back is."""

import json
import re
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple, cast

from ..._json import loads
from ..._text import printable
from ...errors import ApiError, InferenceError, ProtocolError
from .._sse import BYTE_ORDER_MARK

_encode = json.JSONEncoder(separators=(",", ":")).encode

_BEGINNING = b'{"custom_id":'
_BEFORE_STATUS = b',"response":{"status_code":'
_BEFORE_BODY = _BEFORE_STATUS + b'200,"body":'
_BEGUN_BODY = _BEFORE_BODY + b"{"
_AFTER_BODY = b'},"error":null'
_REPLACES = b',"replaces":true}\n'
_STRING = re.compile(rb'"[ !#-\[\]-\x7f]*(?:\\[ -~][ !#-\[\]-\x7f]*)*"')
_BEGUN_STRING = re.compile(rb'"[ !#-\[\]-\x7f]*(?:\\[ -~][ !#-\[\]-\x7f]*)*\\?')
"""A string as our encoder writes it, in ASCII; and one that may be cut off."""
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_LINE_ENDS_TO_SPACES = bytes.maketrans(b"\r\n", b"  ")
_LINE_NUMBER = re.compile(rb',"line":[0-9]+')

_REQUEST = ("body", "line", "messages", "method", "model", "prompt", "url")
"""Members of requests and of failures, which no line of OUT has."""
_LONGEST_TOKEN = len("-Infinity")
_MANY_BRACKETS = 200
_MARGIN = 100
"""By how many levels a body must be nested less deeply than what can be read here: it may be read from deeper code."""


class Entry(NamedTuple):
    """A line of OUT that was read back."""

    key: str
    digest: str | None
    """That of the request; None in a line of an earlier version under a `custom_id`."""
    is_completed: bool
    """Whether it is a whole successful response, and not a failed one."""
    replaces: bool
    """Whether earlier lines with this key are of a request that has changed since."""
    usage: Any
    """What the response says of tokens."""


def completion_line(key: str, body: bytes, digest: str, *, replaces: bool = False) -> bytes:
    """Return a completion in OpenAI's batch form, its JSON as received, except for what might split the line.

    With `replaces`, it says that earlier lines with its key are of another request, until these are removed.

    Some readers split lines at characters beyond ASCII, such as U+2028. In JSON, those occur in strings only, where
    they can be escaped, and ends of lines occur only outside. Raises ProtocolError if it could be written, but not read
    back.
    """
    body = kept_body(body)
    end = b',"request_digest":"' + digest.encode() + (b'"' + _REPLACES if replaces else b'"}\n')
    return b"".join([_BEGINNING, encode_basestring_ascii(key).encode(), _BEFORE_BODY, body, _AFTER_BODY, end])


def kept_body(body: bytes) -> bytes:
    """Return a body as it is in a line. Raises ProtocolError if it could be written, but not read back."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    if body.count(b"{") + body.count(b"[") > _MANY_BRACKETS:
        _check_depth(body)
    if not body.isascii():
        body = _BEYOND_ASCII.sub(_escaped, str(body, "utf-8")).encode()
    if b"\n" in body or b"\r" in body:
        body = body.translate(_LINE_ENDS_TO_SPACES)
    return body


def without_mark(line: bytes) -> bytes:
    """Return a line of `completion_line` that no longer says that it replaces others."""
    return line.removesuffix(_REPLACES) + b"}\n" if line.endswith(_REPLACES) else line


def failure_line(key: str, line: int, error: InferenceError) -> bytes:
    """Return a failure in the same form, with the line of the request."""
    status = error.http_status if isinstance(error, ApiError | ProtocolError) else None
    code = error.code if isinstance(error, ApiError) else type(error).__name__
    reported = {"code": code, "message": printable(str(error))}
    response = None if status is None else {"status_code": status, "body": None}
    return _encode({"custom_id": key, "line": line, "response": response, "error": reported}).encode() + b"\n"


def entry_in(line: bytes) -> Entry | None:
    """Return what a whole line of OUT is; None if it is not a response in OpenAI's batch form."""
    fields = _object(line)
    key, digest = fields.get("custom_id"), fields.get("request_digest")
    if not isinstance(key, str) or not isinstance(digest, str | None) or not {"response", "error"} <= fields.keys():
        return None
    if any(name in fields for name in _REQUEST):
        return None
    is_completed = _is_completed(fields.get("response"), fields["error"])
    if is_completed is None:
        return None
    usage = _as_object(_as_object(fields.get("response")).get("body")).get("usage")
    return Entry(key, digest, is_completed, fields.get("replaces") is True, usage)


def failed_key(line: bytes) -> str | None:
    """Return the key of a whole line that `failure_line` made; None if it is another one."""
    fields = _object(line)
    response, error = fields.get("response", ""), _as_object(fields.get("error"))
    is_ours = (
        fields.keys() == {"custom_id", "line", "response", "error"}
        and isinstance(fields["custom_id"], str)
        and isinstance(fields["line"], int)
        and (response is None or "status_code" in _as_object(response))
        and isinstance(error.get("code"), str)
        and isinstance(error.get("message"), str)
    )
    return str(fields["custom_id"]) if is_ours else None


def begins_completion(line: bytes, *, surely: bool) -> bool:
    """Return whether it may be the unfinished beginning of a line that `completion_line` makes.

    With `surely`, it has to be long enough to be nothing else.
    """
    if not _is_cut_off(line):
        return False
    rest = _after_key(line)
    if rest is None:
        return not surely and _may_be_begun_key(line)
    if rest.startswith(_BEFORE_STATUS):
        return rest.startswith(_BEGUN_BODY) or _BEGUN_BODY.startswith(rest)
    return not surely and _BEGUN_BODY.startswith(rest)


def begins_failure(line: bytes, *, surely: bool) -> bool:
    """Return the same for a line that `failure_line` makes."""
    if not _is_cut_off(line):
        return False
    rest = _after_key(line)
    if rest is None:
        return not surely and _may_be_begun_key(line)
    number = _LINE_NUMBER.match(rest)
    if number is None:
        return not surely and b',"line":'.startswith(rest)
    rest = rest[number.end() :]
    return rest.startswith(b',"response":') or (not surely and b',"response":'.startswith(rest))


def _is_completed(response: object, error: object) -> bool | None:
    """Return whether a response is a whole successful one, or a failed one; None if it is neither."""
    fields = _as_object(response)
    status, body = fields.get("status_code"), _as_object(fields.get("body"))
    if error is not None:
        is_reported = bool(error) and isinstance(error, dict | str)
        return False if is_reported and (response is None or "status_code" in fields) else None
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        return None
    if not 200 <= status <= 299 or body.get("error"):
        return False
    return True if isinstance(body.get("choices"), list) else None


def _object(line: bytes) -> dict[str, Any]:
    """Return the JSON object in a line; an empty one if there is none."""
    try:
        return _as_object(loads(line, _strictly))
    except (ValueError, RecursionError):
        return {}


def _strictly(line: bytes) -> Any:
    return json.loads(str(line, "utf-8"))


def _check_depth(body: bytes) -> None:
    try:
        json.loads(b"[" * _MARGIN + body + b"]" * _MARGIN)
    except (ValueError, RecursionError):
        raise ProtocolError("the response is nested too deeply for a file", http_status=200) from None


def _escaped(characters: re.Match[str]) -> str:
    return encode_basestring_ascii(characters[0])[1:-1]


def _as_object(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _is_cut_off(line: bytes) -> bool:
    """Return whether it is no JSON, but might be with something after it."""
    try:
        json.loads(str(line, "ascii"))
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated string") or error.pos >= len(line) - _LONGEST_TOKEN
    except (ValueError, RecursionError):
        return False
    return False


def _after_key(line: bytes) -> bytes | None:
    """Return what follows after the key at the beginning of a line; None if there is no whole key."""
    key = _STRING.match(line, len(_BEGINNING)) if line.startswith(_BEGINNING) else None
    return None if key is None else line[key.end() :]


def _may_be_begun_key(line: bytes) -> bool:
    if not line.startswith(_BEGINNING):
        return _BEGINNING.startswith(line)
    return line == _BEGINNING or _BEGUN_STRING.fullmatch(line, len(_BEGINNING)) is not None
