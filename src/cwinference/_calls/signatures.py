"""What `help()` and `inspect.signature` show of a method, and the error of a misspelled keyword."""

import inspect
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin

from .._secrets import forget_locals, forgets_locals
from .._text import nearest

P = ParamSpec("P")
T = TypeVar("T")


_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("api_key", "access_token", "auth", "auth_token", "bearer", "credentials", "key"), ("token",)),
    **dict.fromkeys(("api_base", "base_url", "host", "server", "target", "url"), ("endpoint", "base_url")),
    **dict.fromkeys(("ca_certs", "cert", "ssl", "ssl_context", "ssl_verify", "verify"), ("tls",)),
    **dict.fromkeys(("deadline", "read_timeout", "request_timeout", "timeout_ms", "timeout_seconds"), ("timeout",)),
    **dict.fromkeys(("attempts", "max_attempts", "max_retries", "retries"), ("retry",)),
    **dict.fromkeys(("concurrency", "max_concurrency", "max_connections"), ("limit", "concurrency")),
    **dict.fromkeys(("http_proxy", "https_proxy", "proxies"), ("proxy",)),
    **dict.fromkeys(("http2", "http1"), ("http_version",)),
    **dict.fromkeys(("insecure", "plaintext", "use_ssl"), ("allow_plaintext",)),
    **dict.fromkeys(("max_message_size", "max_receive_message_length"), ("max_reply_bytes",)),
    "protocol": ("transport",),
}
"""What other libraries call an argument, and what it may be called here: too different for a comparison of letters."""


class Shown:
    """Set as the `__wrapped__` of a method: `inspect.signature` finds its `__signature__`, and makes it only then.

    A declaration returns a call or a flow; callers get their result, so the declared return type is replaced.
    """

    def __init__(self, build: Callable[..., Any], returns: Callable[[Any], Any]) -> None:
        self._build = build
        self._returns = returns

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._build(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        declared = inspect.signature(self._build)
        return declared.replace(return_annotation=self._returns(declared.return_annotation))


def show(method: Any, build: Callable[..., Any], returns: Callable[[Any], Any]) -> Any:
    """Return the method, with the signature of its declaration."""
    method.__wrapped__ = Shown(build, returns)
    return method


def method_of(build: Callable[..., Any], make: Callable[[Any], Any], returns: Callable[[Any], Any]) -> Any:
    """Return a method that makes something of what a declaration returns, with the declaration's signature."""

    @wraps(build)
    def method(*args: Any, **kwargs: Any) -> Any:
        try:
            return make(build(*args, **kwargs))
        except BaseException as error:
            forget_locals(error)
            refuse_keywords(error, build, list(kwargs))
            raise
        finally:
            del args, kwargs

    return show(method, build, returns)


def result_of(declared: Any) -> Any:
    """Return the `T` of an `Rpc[T]`, a `Flow[T]`, or an `Operation[T]`, which may be a text, as `T` then is."""
    if isinstance(declared, str):
        return declared.partition("[")[2].removesuffix("]")
    if get_origin(declared) in (types.UnionType, Union):
        return result_of(get_args(declared)[0])
    return get_args(declared)[-1]


def coroutine_of(declared: Any) -> Any:
    """Return the type of a coroutine of `result_of`."""
    return types.GenericAlias(Coroutine, (Any, Any, result_of(declared)))


def iterator_of(declared: Any) -> Any:
    """Return the type of an iterator over the `T` of `Pages[T]`."""
    return types.GenericAlias(Iterator, _item_of(declared))


def async_iterator_of(declared: Any) -> Any:
    """Return the type of an asynchronous iterator over the `T` of `Pages[T]`."""
    return types.GenericAlias(AsyncIterator, _item_of(declared))


def _item_of(declared: Any) -> Any:
    return get_args(get_args(get_args(declared)[0])[-1])[0]


def refuse_keywords(error: BaseException, build: Callable[..., Any], keywords: Iterable[str], name: str = "") -> None:
    """Raise a TypeError for an unknown keyword, with the method's name and the most similar keyword that it has.

    `error` is what came of a call with these keywords; a TypeError may be about one of them.
    """
    if not isinstance(error, TypeError):
        return
    known = inspect.signature(build).parameters
    unknown = next((each for each in keywords if each not in known), None)
    if unknown is None or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values()):
        return
    other_name = next((each for each in _OTHER_NAMES.get(unknown, ()) if each in known), None)
    similar = other_name or nearest(unknown, known)
    hint = "" if similar is None else f"; did you mean {similar!r}?"
    raise TypeError(f"{name or _name_of(build)}: unexpected keyword argument {unknown!r}{hint}") from None


def checks_keywords(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function report misspelled keywords, as the methods of resources do; `name` is what users call it."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                refuse_keywords(error, function, kwargs, name)
                raise

        return forgets_locals(wrapper)

    return decorate


def _name_of(build: Callable[..., Any]) -> str:
    """Return `capacity_claims.create` for that of `CapacityClaims`, `inference.batch` for that of `AsyncInference`."""
    group, _, name = build.__qualname__.rpartition(".")
    owner = getattr(build, "__self__", None)  # it may have inherited the method
    group = (group if owner is None else type(owner).__name__).removeprefix("Base").removeprefix("Async")
    words = "".join(f"_{each.lower()}" if each.isupper() else each for each in group).lstrip("_")
    return f"{words}.{name}"
