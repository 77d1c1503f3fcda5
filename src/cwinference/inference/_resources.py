"""The methods of an `Inference`, each declared once: `chat.completions`, `completions` and `models`."""

import functools
from collections.abc import Callable, Mapping, Sequence
from inspect import cleandoc
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from .._calls.rpc import UNSET
from .._calls.drivers import AsyncDriver, Operation, SyncDriver
from .._calls.operation import Mode, Resource, operation
from .._calls.signatures import show
from ..config import check_timeout
from ..retry import Retry
from ._model_server import Front
from ._request import CHAT, MODELS, TEXT, Prompt, check_model, checked
from ._responses import Answer, Model
from ._stream import AsyncStream, Stream
from ._stream_reader import Reader

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

IDLE_TIMEOUT = 60.0
"""Seconds without content after which a stream is given up, unless the caller says otherwise."""

Asked = tuple[Prompt, Reader]


_OPTIONS = """Every keyword that is not named here goes into the body as it is.

Args:
    model: name of the model, as a deployment of the gateway has it.
    messages: for a chat: the conversation, a list of objects such as `{"role": "user", "content": "Hi"}`.
    prompt: for plain completions: a text, a list of texts, or token ids.
    timeout: seconds for the whole call: queueing, token, all attempts and pauses, reading. None for no limit; left out,
        that of this `Inference`.
    first_token_timeout: seconds from sending to the first content of a stream; None: only `timeout` counts.
    idle_timeout: seconds without new content that a stream may take (60); comments that keep a connection alive are no
        content. None: only `timeout` counts.
    retry: what is repeated; None repeats nothing, so that the model surely runs at most once.
    headers: more headers to send.

Raises:
    ConfigurationError: an argument is wrong, the gateway is not READY, or its endpoint may not get the token.
    NotFound: no deployment serves the model; the text says which there are, where that is known.
    ApiError: the server refused or failed; `errors` has a class for each code.
    StreamStalled, StreamInterrupted: a stream stopped or broke off; both have `partial_text`.
"""


def _documented(method: F) -> F:
    """Put what all of these methods take into their docstrings."""
    method.__doc__ = cleandoc(method.__doc__ or "").replace("OPTIONS", _OPTIONS)
    return method


class Part(Resource[Mode]):
    """A group of methods of an `Inference`."""

    def __init__(self, driver: Mode, front: Front) -> None:
        self._driver: Mode = driver
        self._front = front

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._front}>"


class streaming(Generic[P]):  # noqa: N801 - read as a decorator
    """Turns a declaration into a method that gives a stream: `Stream` on `Inference`, else `AsyncStream`."""

    def __init__(self, build: Callable[Concatenate[Any, P], Asked]) -> None:
        self._build = build
        functools.update_wrapper(cast(Any, self), build)
        show(self, build, lambda _: Stream)

    def __call__(self, part: Part[Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        return cast(Any, self).__get__(part, type(part))(*args, **kwargs)

    @overload
    def __get__(self, part: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, part: Part[SyncDriver], owner: Any) -> Callable[P, Stream]: ...
    @overload
    def __get__(self, part: Part[AsyncDriver], owner: Any) -> Callable[P, AsyncStream]: ...
    def __get__(self, part: Part[Any] | None, owner: Any) -> Any:
        if part is None:
            return self
        build = self._build.__get__(part)
        front, driver = part._front, part._driver  # pyright: ignore[reportPrivateUsage]
        kind = Stream if isinstance(driver, SyncDriver) else AsyncStream

        @functools.wraps(build)
        def method(*args: Any, **kwargs: Any) -> Any:
            return kind(front, driver, *build(*args, **kwargs))

        return show(method, build, lambda _: kind)


class Completions(Part[Mode]):
    """`front.completions`: text that goes on where a prompt ends."""

    @operation
    @_documented
    def create(
        self,
        /,
        *,
        model: str,
        prompt: str | Sequence[Any],
        timeout: float | None = UNSET,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = None,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> Operation[Answer]:
        """Complete a prompt, given as text or token ids, and give the whole answer.

        OPTIONS
        """
        _check_clocks(first_token_timeout, idle_timeout)
        body = checked({"model": model, "prompt": prompt, **body}, streamed=False)
        return self._front.complete(Prompt(TEXT, body, model=model, timeout=timeout, retry=retry, headers=headers))

    @streaming
    @_documented
    def stream(
        self,
        /,
        *,
        model: str,
        prompt: str | Sequence[Any],
        timeout: float | None = UNSET,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = IDLE_TIMEOUT,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> Asked:
        """Complete a prompt, given as text or token ids, and give the answer piece by piece.

        OPTIONS
        """
        body = checked({"model": model, "prompt": prompt, **body}, streamed=True)
        asked = Prompt(TEXT, body, model=model, timeout=timeout, retry=retry, headers=headers)
        return asked, _reader(self._front, asked, first_token_timeout, idle_timeout)


class ChatCompletions(Part[Mode]):
    """`front.chat.completions`: the next message of a conversation."""

    @operation
    @_documented
    def create(
        self,
        /,
        *,
        model: str,
        messages: Sequence[Any],
        timeout: float | None = UNSET,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = None,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> Operation[Answer]:
        """Ask for the next message of a conversation and give the whole answer.

        OPTIONS
        """
        _check_clocks(first_token_timeout, idle_timeout)
        body = checked({"model": model, "messages": messages, **body}, streamed=False)
        return self._front.complete(Prompt(CHAT, body, model=model, timeout=timeout, retry=retry, headers=headers))

    @streaming
    @_documented
    def stream(
        self,
        /,
        *,
        model: str,
        messages: Sequence[Any],
        timeout: float | None = UNSET,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = IDLE_TIMEOUT,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> Asked:
        """Ask for the next message of a conversation and give it piece by piece.

        OPTIONS
        """
        body = checked({"model": model, "messages": messages, **body}, streamed=True)
        asked = Prompt(CHAT, body, model=model, timeout=timeout, retry=retry, headers=headers)
        return asked, _reader(self._front, asked, first_token_timeout, idle_timeout)


class Chat(Part[Mode]):
    """`front.chat`: its `completions`."""

    def __init__(self, driver: Mode, front: Front) -> None:
        self._driver: Mode = driver
        self._front = front
        self.completions: ChatCompletions[Mode] = ChatCompletions(driver, front)


class Models(Part[Mode]):
    """`front.models`: what may be asked for."""

    @operation
    def list(
        self,
        *,
        model: str | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> Operation[Sequence[Model]]:
        """Ask which models there are.

        Args:
            model: any of them, which finds the way on a gateway that routes by path or header.
            timeout: seconds for the whole call; None for no limit; left out, that of this `Inference`.
            retry: what is repeated; None repeats nothing.
            headers: more headers to send.
        """
        if model is not None:
            check_model(model)
        return self._front.models(Prompt(MODELS, None, model=model, timeout=timeout, retry=retry, headers=headers))


def _reader(front: Front, prompt: Prompt, first: float | None, idle: float | None) -> Reader:
    _check_clocks(first, idle)
    return Reader(prompt.method.name, first, idle, front.context.clock)


def _check_clocks(first: float | None, idle: float | None) -> None:
    if first is not None:
        check_timeout(first, "first_token_timeout")
    if idle is not None:
        check_timeout(idle, "idle_timeout")
