"""Secrets: values that nothing shows, and errors without the local variables of the library's frames.

Tools that report errors read the local variables of every frame in a traceback. What is certainly a secret, such as a
token, is wrapped where it is first seen. But secrets also hide in what may be anything: in messages, mappings,
headers, bodies and URLs. So an error that leaves a public method takes none of our local variables along.
"""

from collections.abc import Callable
from functools import wraps
from itertools import repeat
from typing import Any, Generic, NoReturn, ParamSpec, Self, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
ValueT = TypeVar("ValueT")

_MASK = "***"
_OWN = frozenset({"cwinference", "grpc", "pyqwest"})
"""The packages whose frames are cleared: this one, and those that it hands secrets to."""


class Secret(Generic[ValueT]):
    """A value that is shown by nothing but `reveal`.

    It is no string, so there is no operation on it that could give a part of it away. It cannot be pickled.
    """

    __slots__ = ("reveal",)

    def __init__(self, value: ValueT) -> None:
        # A function of C that returns the value again and again: one of Python would be entered by every call.
        self.reveal: Callable[[], ValueT] = repeat(value).__next__
        """Returns the value. Call it where the value is handed over, and keep no variable of it."""

    def __repr__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return format(_MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self.reveal() == cast(Any, other).reveal())

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of the library's frames in the tracebacks of an error and of its causes.

    Frames of callers and of their functions that we called keep theirs.
    """
    found: dict[int, BaseException] = {}
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is not None and id(current) not in found:
            found[id(current)] = current
            pending += current.__cause__, current.__context__
            _clear_frames(current)


def forgets_locals(function: Callable[P, T]) -> Callable[P, T]:
    """Make the errors of a function forget its arguments and all local variables below it."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            forget_locals(error)
            raise
        finally:
            del args, kwargs

    return wrapper


def _clear_frames(error: BaseException) -> None:
    trace: Any = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _OWN:
            try:
                frame.clear()
            except RuntimeError:  # it is still running: it belongs to the caller of this
                continue
