"""REST with JSON, by the methods' `google.api.http` rules, with errors in the form that the API's documentation shows.

The documentation gives an error's HTTP status as its `code`. Where several status codes share one HTTP status, a client
could not tell them apart by that; `code` is the gRPC number of the status code then.
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
from ..interfaces import RpcError
from .asgi import AsgiExchange
from .codecs import GRPC_NUMBERS, HTTP_STATUS, JSON, decompress, pack
from .proto_json import JsonFields, fill_message, parse_object
from .service import Service

ROOT = "/v1alpha1/inference"

_STATUS = {**HTTP_STATUS, "failed_precondition": 412, "out_of_range": 416}
"""HTTP status of each code, which differs from Connect's for two of them."""
_AMBIGUOUS = {"unknown", "aborted", "data_loss"}
"""Codes whose HTTP status belongs to a more common code."""
_VARIABLE = re.compile(r"\\\{(\w+)\\\}")
_CONTENT_TYPE = b"application/json"


@dataclass(frozen=True, slots=True)
class RestRoute:
    """A path, and the methods that are reached by it: one for each HTTP verb."""

    pattern: re.Pattern[str]
    methods: Mapping[str, Method]


class RestHandler:
    """Handles REST calls."""

    def __init__(self, service: Service, methods: Iterable[Method]) -> None:
        self._service = service
        self._routes = _routes(methods)

    async def call(self, exchange: AsgiExchange) -> None:
        """Handle a request to the path of a method, or to none."""
        try:
            method, variables = self._match(exchange)
            response = self._call(exchange, method, variables, await exchange.body())
        except _HttpError as error:
            await _respond_error(exchange, error.error, error.status, *error.headers)
        except RpcError as error:
            await _respond_error(exchange, error, _STATUS[error.code])
        else:
            await exchange.respond_message(_CONTENT_TYPE, response)

    def method_of(self, verb: str, path: str) -> Method | None:
        """Return the method that is reached by a verb and a path, or None."""
        found = (route.methods.get(verb) for route in self._routes if route.pattern.fullmatch(path))
        return next(found, None)

    def _call(self, exchange: AsgiExchange, method: Method, variables: Mapping[str, str], body: bytes) -> bytes:
        if body and exchange.content_type not in ("application/json", ""):
            error = RpcError("invalid_argument", f"expected application/json, got {exchange.content_type}")
            raise _HttpError(415, error, (b"accept", b"application/json"))
        request = method.request()
        fill_message(request, _fields(method, exchange, body))
        for name, value in variables.items():
            setattr(request, name, value)
        authorization = exchange.header(b"authorization")
        return self._service.respond(JSON, method, request, authorization, exchange.interceptors)

    def _match(self, exchange: AsgiExchange) -> tuple[Method, dict[str, str]]:
        path = exchange.raw_path
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found is None:
                continue
            method = route.methods.get(exchange.verb)
            if method is not None:
                return method, {name: unquote(value) for name, value in found.groupdict().items()}
            allowed = ", ".join(sorted(route.methods))
            error = RpcError("unimplemented", f"{exchange.verb} is not allowed here, only {allowed}")
            raise _HttpError(405, error, (b"allow", allowed.encode()))
        raise _HttpError(404, RpcError("unimplemented", f"no method at {exchange.verb} {path}"))


class _HttpError(Exception):
    """A request that HTTP alone refuses: its status is not the one of the error's code."""

    def __init__(self, status: int, error: RpcError, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = headers


def _routes(methods: Iterable[Method]) -> Sequence[RestRoute]:
    """Return the routes in the order to try them: `/gateways/{id}` also matches `/gateways/parameters`, and is last."""
    by_template: dict[str, dict[str, Method]] = {}
    for method in methods:
        if method.http is not None:
            by_template.setdefault(method.http.template, {})[method.http.verb] = method
    templates = sorted(by_template, key=lambda template: ("{" in template, -len(template)))
    return [RestRoute(_pattern(template), by_template[template]) for template in templates]


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(_VARIABLE.sub(r"(?P<\1>[^/]+)", re.escape(template)))


def _fields(method: Method, exchange: AsgiExchange, body: bytes) -> JsonFields:
    """Read the request's fields, in JSON form, from the body or from the query."""
    rule: HttpRule | None = method.http
    if rule is None or rule.body != "*":
        return _from_query(cast(Any, method.request.DESCRIPTOR), exchange.scope["query_string"].decode("latin-1"))
    return parse_object(decompress(body, exchange.header(b"content-encoding") or "") or b"{}")


def _from_query(descriptor: Descriptor, query: str) -> JsonFields:
    """Read query parameters, each by either name of its field. Unknown ones are ignored."""
    known = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        field = known.get(name)
        if field is None:
            continue
        if field.is_repeated:
            fields.setdefault(field.json_name, []).append(value)
        elif field.json_name in fields:
            raise RpcError("invalid_argument", f"{field.name}: given more than once")
        else:
            fields[field.json_name] = value
    return fields.items()


async def _respond_error(exchange: AsgiExchange, error: RpcError, status: int, *headers: tuple[bytes, bytes]) -> None:
    documented = status == _STATUS[error.code] and error.code not in _AMBIGUOUS
    fields = {
        "code": status if documented else GRPC_NUMBERS[error.code],
        "message": error.message,
        "details": [MessageToDict(each) for each in pack(error.details)],
    }
    body = json.dumps(fields, ensure_ascii=False).encode()
    await exchange.respond(status, [(b"content-type", _CONTENT_TYPE), *headers], body)
