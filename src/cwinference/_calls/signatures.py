"""What `help()` and `inspect.signature` show of a method: what its callers give and get. Made when it is asked for."""

import inspect
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Union, get_args, get_origin, is_typeddict

from .rpc import UNSET, Call, UnknownOption


class Shown:
    """Stands for a method as its `__wrapped__`, where `inspect.signature` finds the `__signature__`."""

    def __init__(self, build: Callable[..., Any], returns: Callable[[Any], Any]) -> None:
        self._build = build
        self._returns = returns

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._build(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        declared = inspect.signature(self._build)
        return declared.replace(
            parameters=[each for declaration in declared.parameters.values() for each in _parameters(declaration)],
            return_annotation=self._returns(declared.return_annotation),
        )


def show(method: Any, build: Callable[..., Any], returns: Callable[[Any], Any]) -> Any:
    """The method, with a signature that its declaration gives."""
    method.__wrapped__ = Shown(build, returns)
    return method


def result_of(declared: Any) -> Any:
    """The `T` of a `Call[T]`, a `Flow[T]`, or either."""
    if get_origin(declared) in (types.UnionType, Union):
        return result_of(get_args(declared)[0])
    return get_args(declared)[0 if get_origin(declared) is Call else -1]


def coroutine_of(declared: Any) -> Any:
    """A coroutine of `result_of`."""
    return types.GenericAlias(Coroutine, (Any, Any, result_of(declared)))


def iterator_of(declared: Any) -> Any:
    """An iterator over the `T` of `Pages[T]`."""
    return types.GenericAlias(Iterator, _item_of(declared))


def async_iterator_of(declared: Any) -> Any:
    """An asynchronous iterator over the `T` of `Pages[T]`."""
    return types.GenericAlias(AsyncIterator, _item_of(declared))


def _item_of(declared: Any) -> Any:
    return get_args(get_args(get_args(declared)[0])[-1])[0]


def unexpected(build: Callable[..., Any], error: UnknownOption) -> TypeError:
    """The error of a keyword that a method does not have, with the method's own name and the nearest keyword."""
    resource, _, name = build.__qualname__.rpartition(".")
    group = "".join(f"_{each.lower()}" if each.isupper() else each for each in resource).lstrip("_")
    known = inspect.signature(Shown(build, result_of)).parameters
    from difflib import get_close_matches  # only mistakes need it

    near = get_close_matches(error.name, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return TypeError(f"{group}.{name}: unexpected keyword argument {error.name!r}{hint}")


def _parameters(declared: inspect.Parameter) -> list[inspect.Parameter]:
    options = (get_args(declared.annotation) or (None,))[0]
    if declared.kind is not inspect.Parameter.VAR_KEYWORD or not is_typeddict(options):
        return [declared]
    return [
        declared.replace(
            name=name,
            kind=inspect.Parameter.KEYWORD_ONLY,
            default=UNSET,
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in options.__annotations__.items()
    ]
