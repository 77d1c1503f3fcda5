"""Which method of a client sends which RPC, as read from the declarations in `resources/`: no rule has to say it."""

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from google.protobuf.message import Message

from cwinference import Client
from cwinference._calls.operation import Declaration, Resource
from cwinference._wire.methods import METHODS, Method

_REQUESTS = {kind.DESCRIPTOR.name: kind for kind in METHODS}


def sender_of(method: Method) -> tuple[str, str]:
    """Return the group of methods, and the name of the method in it, that sends an RPC: `("gateways", "list")`."""
    try:
        return senders()[method.request]
    except KeyError:
        name = method.request.DESCRIPTOR.name
        raise LookupError(f"{method.name}: no method in resources/ names types.{name}, so none sends it") from None


def groups() -> dict[str, type[Resource[Any]]]:
    """Return the groups of methods of a client, by their names, in their order."""
    named = {name: getattr(Client, name) for owner in Client.__mro__ for name in vars(owner)}
    return {name: kind for name, kind in named.items() if isinstance(kind, type) and issubclass(kind, Resource)}


@cache
def senders() -> Mapping[type[Message], tuple[str, str]]:
    """Return who sends each request: the method that names it, or else one that names none, but whose helper does."""
    direct = dict[type[Message], tuple[str, str]]()
    indirect = dict[type[Message], tuple[str, str]]()
    for group, kind in groups().items():
        for name, declaration in inspect.getmembers_static(kind):
            if isinstance(declaration, Declaration):
                build = declaration._build  # pyright: ignore[reportPrivateUsage]
                if requests := [*_requests(build, kind)]:
                    direct |= dict.fromkeys(requests, (group, name))
                else:
                    helped = [request for helper in _helpers(build, kind) for request in _requests(helper, kind)]
                    indirect |= dict.fromkeys(helped, (group, name))
    return indirect | direct


def _requests(function: Any, kind: type) -> Iterator[type[Message]]:
    """Yield the requests that a function names: `types.GetGatewayRequest`, or `self._get_request`."""
    for name in _names(function.__code__):
        named = _REQUESTS.get(name) or inspect.getattr_static(kind, name, None)
        if isinstance(named, type) and named in METHODS:
            yield named


def _helpers(function: Any, kind: type) -> Iterator[FunctionType]:
    """Yield the functions that a function names: those of its module, and the methods of its class."""
    for name in _names(function.__code__):
        helper = function.__globals__.get(name) or inspect.getattr_static(kind, name, None)
        if isinstance(helper, FunctionType):
            yield helper


def _names(code: CodeType) -> Iterator[str]:
    """Yield the global names and the attributes in a function's code, and in the functions inside of it."""
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)
