"""One RPC as a value: the request, what of the reply is wanted, and how it may be sent."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypedDict, TypeVar, cast

from google.protobuf.message import Message

from .._wire.methods import METHODS, Method
from ..config import check_timeout
from ..errors import (
    ApiError,
    ConfigurationError,
    DeadlineExceeded,
    ProtocolError,
    ResourceExhausted,
    Unavailable,
)

if TYPE_CHECKING:
    from ..retry import Retry
    from .flow import Flow

T = TypeVar("T")
M = TypeVar("M", bound=Message)
P = ParamSpec("P")


class _Unset:
    def __repr__(self) -> str:
        return "the client's default"


UNSET: Final[Any] = _Unset()


class CallOptions(TypedDict, total=False):
    """Options of one call; what is left out is the client's."""

    timeout: float | None
    """Seconds for the whole call, all attempts and pauses included; None for no limit."""
    retry: "Retry | None"
    """What is repeated; None repeats nothing."""


class UnknownOption(TypeError):
    """A keyword that no method has; the method that was called says it better (see `_signatures`)."""

    def __init__(self, method: str, name: str) -> None:
        super().__init__(f"{method}: unexpected keyword argument {name!r}")
        self.name = name


class Call(Generic[T]):
    """One RPC to be made: the request, what of the reply is wanted, and how it may be sent."""

    __slots__ = ("as_json", "limit", "lost", "method", "repeatable", "request", "result", "retry")

    def __init__(
        self,
        request: Message,
        unwrap: Callable[[Any], T],
        options: CallOptions,
        *,
        repeatable: bool = True,
        as_json: bool = False,
        lost: list[str] | None = None,
    ) -> None:
        self.method: Method = METHODS[type(request)]
        self.request = request
        self.result = unwrap
        """Gives what the caller wants of the reply."""
        self.repeatable = repeatable
        """Whether sending it twice does no harm."""
        self.as_json = as_json or (self.method.may_hold_placeholder and self.method.travels_as_json(request))
        """Whether it has to travel as JSON, whatever the transport."""
        self.lost = lost
        """A list to which a JSON answer's unknown fields are added by name, or None."""
        self.limit: float | None = UNSET
        self.retry: Retry | None = UNSET
        if options:
            self._set(**options)

    def _set(self, timeout: float | None = UNSET, retry: "Retry | None" = UNSET, **unknown: object) -> None:
        if unknown:
            raise UnknownOption(self.method.name, next(iter(unknown)))
        self.limit = timeout if timeout is UNSET else check_timeout(timeout)
        self.retry = retry

    def may_repeat(self, error: ApiError) -> bool:
        """Whether the rules allow a repeat after this error."""
        if error.permanent:
            return False
        if error.unprocessed:
            return True
        if not self.repeatable:
            return False
        if isinstance(error, ResourceExhausted):
            return error.retry_after is not None
        return isinstance(error, Unavailable | DeadlineExceeded)

    def explain(self, error: ApiError) -> "Flow[None]":
        """Steps that add to the last error what is known and helps. For most calls there are none."""
        yield from ()


def one(request: Message, field: str, kind: type[M], options: CallOptions, **how: Any) -> Call[M]:
    """A call whose reply wraps one resource in the given field."""
    return Call(request, held_in(field), options, **how)


def one_or_none(request: Message, field: str, kind: type[M], options: CallOptions, **how: Any) -> Call[M | None]:
    """A call whose reply may wrap one resource in the given field."""
    return Call(request, lambda reply: getattr(reply, field) if reply.HasField(field) else None, options, **how)


def many(request: Message, field: str, kind: type[M], options: CallOptions, **how: Any) -> Call[Sequence[M]]:
    """A call whose reply holds a list in the given field."""
    return Call(request, attrgetter(field), options, **how)


def whole(request: Message, kind: type[M], options: CallOptions, **how: Any) -> Call[M]:
    """A call whose reply is wanted as it is."""
    return Call(request, lambda reply: cast(M, reply), options, **how)


@cache
def held_in(field: str) -> Callable[[Any], Any]:
    """Gives a reply's resource, which has to be there."""

    def unwrap(reply: Message) -> Any:
        if not reply.HasField(field):
            method = reply.DESCRIPTOR.name.removesuffix("Response")
            raise ProtocolError(f"the answer holds no {field}", method=method)
        return getattr(reply, field)

    return unwrap


def required(argument: str, value: str) -> str:
    """A string that may not be empty: an id or a name."""
    if not isinstance(value, str):
        hint = "; give its spec.id" if hasattr(value, "spec") else ""
        raise ConfigurationError(f"{argument}: expected a string, got {type(value).__name__}{hint}")
    if not value:
        raise ConfigurationError(f"{argument}: it is empty")
    if value in (".", ".."):
        raise ConfigurationError(f"{argument}: {value!r} would lead to another path over REST")
    return value


def required_if_given(argument: str, value: str | None) -> str:
    """A filter by an id: left out it means all, but an empty one is a mistake of the caller's."""
    return "" if value is None else required(argument, value)


def build(kind: Callable[P, M], *args: P.args, **fields: P.kwargs) -> M:
    """A message of the arguments; one whose value does not fit is refused by its name."""
    descriptor = cast(type[Message], kind).DESCRIPTOR
    for name, value in fields.items():
        if isinstance(value, str) and descriptor.fields_by_name[name].is_repeated:
            raise ConfigurationError(f"{name}: expected a list of strings, got the string {value!r}")
    try:
        return kind(*args, **fields)
    except (TypeError, ValueError):
        for name, value in fields.items():
            _check_alone(cast(Any, kind), descriptor.fields_by_name[name], value)
        raise


def _check_alone(kind: Callable[..., Message], field: Any, value: object) -> None:
    try:
        kind(**{field.name: value})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{field.name}: {_misfit(field, value) or error}") from None


def _misfit(field: Any, value: object) -> str | None:
    """Why a value does not fit, in the words of `types`; None where protobuf says it as well."""
    if field.is_repeated:
        return None
    if field.message_type is not None and not isinstance(value, dict):
        return f"expected a types.{field.message_type.name}, got {type(value).__name__}"
    if field.enum_type is not None and isinstance(value, str):
        return f"there is no {value!r}; give one of {', '.join(field.enum_type.values_by_name)}"
    return None


def given_or_new(argument: str, id: str | None) -> str:
    """The caller's id, or a random UUID of our own, by which a repeated create is recognised."""
    if id is not None:
        return required(argument, id)
    from uuid import uuid4  # it imports much, which only creates need

    return str(uuid4())


def at_most_one(oneof: str, **members: object) -> None:
    """Refuse two members of a oneof."""
    given = [name for name, value in members.items() if value is not None]
    if len(given) > 1:
        raise ConfigurationError(f"{oneof}: {' and '.join(given)} exclude each other; give one")
