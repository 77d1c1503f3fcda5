"""REST/JSON by the http rules of the methods, with errors as the API's documentation shows them.

An error's `code` is its HTTP status, as documented, where a client can read the one code from it. Where several codes
share a status, `code` is gRPC's number instead.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict

from ..._wire.methods import HttpRule, Method
from ..interfaces import Refusal
from .asgi import Exchange
from .codecs import GRPC_NUMBERS, HTTP_STATUS, JSON, decompress, from_fields, json_object, pack
from .service import Service

ROOT = "/v1alpha1/inference"

_STATUS = {**HTTP_STATUS, "failed_precondition": 412, "out_of_range": 416}
_AMBIGUOUS = {"unknown", "aborted", "data_loss"}
_VARIABLE = re.compile(r"\\\{(\w+)\\\}")
_CONTENT_TYPE = b"application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """A path by which methods are reached, one for each verb."""

    pattern: re.Pattern[str]
    methods: Mapping[str, Method]


class Rest:
    """Answers REST calls by the service."""

    def __init__(self, service: Service, methods: Iterable[Method]) -> None:
        self._service = service
        self._routes = _routes(methods)

    async def call(self, exchange: Exchange) -> None:
        try:
            body = await exchange.body()
            reply = self._reply(exchange, body)
        except _Misdirected as error:
            await _answer_error(exchange, error.refusal, error.status, *error.headers)
        except Refusal as refusal:
            await _answer_error(exchange, refusal, _STATUS[refusal.code])
        else:
            await exchange.answer_message(_CONTENT_TYPE, reply)

    def method_of(self, verb: str, path: str) -> Method | None:
        """The method that is reached this way."""
        found = (route.methods.get(verb) for route in self._routes if route.pattern.fullmatch(path))
        return next(found, None)

    def _reply(self, exchange: Exchange, body: bytes) -> bytes:
        method, variables = self._find(exchange)
        if body and exchange.content_type not in ("application/json", ""):
            refusal = Refusal("invalid_argument", f"send application/json, not {exchange.content_type}")
            raise _Misdirected(415, refusal, (b"accept", b"application/json"))
        request = from_fields(_fields(method, exchange, body) | variables, method.request)
        return JSON.encode(self._service.call(method, request, exchange.header(b"authorization")))

    def _find(self, exchange: Exchange) -> tuple[Method, dict[str, Any]]:
        path = exchange.raw_path
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found is None:
                continue
            method = route.methods.get(exchange.verb)
            if method is not None:
                return method, {name: unquote(value) for name, value in found.groupdict().items()}
            allowed = ", ".join(sorted(route.methods))
            refusal = Refusal("unimplemented", f"{exchange.verb} is not allowed here, only {allowed}")
            raise _Misdirected(405, refusal, (b"allow", allowed.encode()))
        raise _Misdirected(404, Refusal("unimplemented", f"no method is reached by {exchange.verb} {path}"))


class _Misdirected(Exception):
    """A request that no method answers; its HTTP status is not that of its code."""

    def __init__(self, status: int, refusal: Refusal, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(refusal.message)
        self.status = status
        self.refusal = refusal
        self.headers = headers


def _routes(methods: Iterable[Method]) -> Sequence[Route]:
    """Literal paths before those with variables: `/gateways/parameters` before `/gateways/{id}`."""
    by_template: dict[str, dict[str, Method]] = {}
    for method in methods:
        if method.http is not None:
            by_template.setdefault(method.http.template, {})[method.http.verb] = method
    templates = sorted(by_template, key=lambda template: ("{" in template, -len(template)))
    return [Route(_pattern(template), by_template[template]) for template in templates]


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(_VARIABLE.sub(r"(?P<\1>[^/]+)", re.escape(template)))


def _fields(method: Method, exchange: Exchange, body: bytes) -> dict[str, Any]:
    """The request's fields as JSON, from the body or from the query."""
    rule: HttpRule | None = method.http
    if rule is None or rule.body != "*":
        return _from_query(cast(Any, method.request.DESCRIPTOR), exchange.scope["query_string"].decode("latin-1"))
    return json_object(decompress(body, exchange.header(b"content-encoding") or "") or b"{}")


def _from_query(descriptor: Descriptor, query: str) -> dict[str, Any]:
    """Query parameters by either name of a field; those that the request does not have are ignored."""
    known = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        field = known.get(name)
        if field is None:
            continue
        if field.is_repeated:
            fields.setdefault(field.json_name, []).append(value)
        elif field.json_name in fields:
            raise Refusal("invalid_argument", f"{field.name}: given more than once")
        else:
            fields[field.json_name] = value
    return fields


async def _answer_error(exchange: Exchange, refusal: Refusal, status: int, *headers: tuple[bytes, bytes]) -> None:
    documented = status == _STATUS[refusal.code] and refusal.code not in _AMBIGUOUS
    error = {
        "code": status if documented else GRPC_NUMBERS[refusal.code],
        "message": refusal.message,
        "details": [MessageToDict(each) for each in pack(refusal.details)],
    }
    await exchange.answer(
        status, [(b"content-type", _CONTENT_TYPE), *headers], json.dumps(error, ensure_ascii=False).encode()
    )
