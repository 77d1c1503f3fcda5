"""The methods of an `Inference`, each declared once: `chat.completions`, `completions` and `models`."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeAlias, overload

from .._arguments import UNSET, check_timeout
from .._calls.drivers import AsyncDriver, SyncDriver
from .._calls.flow import Operation
from .._calls.operation import Declaration, Mode, Resource, group, operation
from .._calls.signatures import show
from .._secrets import forgets_locals
from ..retry import Retry
from ._model_server import ModelServer
from ._observed_reader import ObservedStreamReader
from ._request import CHAT, MODELS, TEXT, CompletionMethod, CompletionRequest, check_model, request_body
from ._responses import Completion, Model
from ._stream import AsyncStream, Stream
from ._stream_reader import StreamReader

P = ParamSpec("P")

IDLE_TIMEOUT = 60.0
"""Seconds without content after which a stream is given up by default."""

StreamParts: TypeAlias = tuple[CompletionRequest, StreamReader]


class InferenceResource(Resource[Mode]):
    """A group of methods of an `Inference`."""

    def __init__(self, driver: Mode, server: ModelServer) -> None:
        self._driver: Mode = driver
        self._server = server

    @classmethod
    def _of(cls, client: Any) -> Self:
        """Return the group that belongs to an `Inference`, or to another group of it."""
        return cls(client._driver, client._server)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._server}>"

    def _request(
        self,
        method: CompletionMethod,
        body: Mapping[str, Any] | None,
        named: dict[str, Any],
        timeout: float | None,
        retry: Retry | None,
        headers: Mapping[str, str] | None,
        hedge_after: float | None,
        *,
        streamed: bool,
    ) -> CompletionRequest:
        """Return the request of a completion, given by its whole body or by named arguments."""
        whole = request_body(method, body, named, streamed=streamed)
        return CompletionRequest(
            method,
            whole,
            model=whole["model"],
            timeout=timeout,
            retry=retry,
            headers=headers,
            hedge_after=hedge_after,
        )

    def _reader(self, request: CompletionRequest, first: float | None, idle: float | None) -> StreamReader:
        _check_timeouts(first, idle)
        context = self._server.context
        kind = StreamReader if context.observer is None else ObservedStreamReader
        return kind(request.method.name, first, idle, context.clock)


class streaming(Declaration[P], Generic[P]):  # noqa: N801 - read as a decorator
    """Turns a declaration into a method that returns a stream: `Stream` on `Inference`, else `AsyncStream`."""

    def __init__(self, build: Callable[Concatenate[Any, P], StreamParts]) -> None:
        super().__init__(build, lambda _: Stream)

    def _bind(self, resource: Any) -> Any:
        build = self._build.__get__(resource)
        server, driver = resource._server, resource._driver
        kind = Stream if isinstance(driver, SyncDriver) else AsyncStream
        begin = driver.bind(server.open_stream)

        @functools.wraps(build)
        def method(*args: Any, **kwargs: Any) -> Any:
            return kind(server, begin, *build(*args, **kwargs))

        return show(forgets_locals(method), build, lambda _: kind)

    @overload
    def __get__(self, resource: None, owner: Any) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, resource: InferenceResource[SyncDriver], owner: Any) -> Callable[P, Stream]: ...
    @overload
    def __get__(self, resource: InferenceResource[AsyncDriver], owner: Any) -> Callable[P, AsyncStream]: ...
    def __get__(self, resource: InferenceResource[Any] | None, owner: Any) -> Any:
        return self._get(resource)


class Completions(InferenceResource[Mode]):
    """`inference.completions`: text that continues a prompt."""

    @operation
    def create(
        self,
        /,
        *,
        model: str = UNSET,
        prompt: str | Sequence[Any] = UNSET,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = UNSET,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = None,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        hedge_after: float | None = UNSET,
        **fields: Any,
    ) -> Operation[Completion]:
        """Request the continuation of a prompt, and return it whole.

        Every keyword that is not listed here goes into the body of the request as it is.

        Args:
            model: name of the model, as set in a deployment of the gateway. Required, unless `body` is given.
            prompt: a text, a list of texts, or token ids. Required, unless `body` is given.
            body: the whole body of the request, for services that pass one through, instead of `model` and all other
                keywords that would go into it.
            timeout: seconds for the whole call: queueing, token, all attempts and pauses, reading. None for no limit.
                By default that of this `Inference`.
            first_token_timeout, idle_timeout: for streams; they have no effect here.
            retry: how failures before the response are retried; None for not at all, so that the model certainly runs
                at most once. By default that of this `Inference`.
            headers: additional headers to send.
            hedge_after: seconds after which a request without a response is sent to a second endpoint too, if there are
                several; None for not at all. By default that of this `Inference`.

        Raises:
            ConfigurationError: an argument is wrong, the gateway is not READY, or its endpoint must not get the token.
            NotFound: no deployment serves the model; the text lists those that are served, if they are known.
            ApiError: the server refused or failed; `errors` has a class for each code.
            ProtocolError: the response is not a completion, or is too large.
        """
        _check_timeouts(first_token_timeout, idle_timeout)
        named = {"model": model, "prompt": prompt, **fields}
        request = self._request(TEXT, body, named, timeout, retry, headers, hedge_after, streamed=False)
        return self._server.complete(request)

    @streaming
    def stream(
        self,
        /,
        *,
        model: str = UNSET,
        prompt: str | Sequence[Any] = UNSET,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = UNSET,
        first_token_timeout: float | None = UNSET,
        idle_timeout: float | None = IDLE_TIMEOUT,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        hedge_after: float | None = UNSET,
        **fields: Any,
    ) -> StreamParts:
        """Request the continuation of a prompt, and return a stream of its chunks.

        The request is sent when the stream is entered with `with` (`async with`) or iterated over.

        Every keyword that is not listed here goes into the body of the request as it is.

        Args:
            model: name of the model, as set in a deployment of the gateway. Required, unless `body` is given.
            prompt: a text, a list of texts, or token ids. Required, unless `body` is given.
            body: the whole body of the request, for services that pass one through, instead of `model` and all other
                keywords that would go into it.
            timeout: seconds for the whole call: queueing, token, all attempts and pauses, reading. None for no limit.
                By default that of this `Inference`.
            first_token_timeout: seconds from sending the request to the first content. By default `idle_timeout`; None:
                only `timeout` applies.
            idle_timeout: seconds between one content and the next (60). Comments that keep the connection alive are not
                content. None: only `timeout` applies.
            retry: how failures before the response are retried; None for not at all, so that the model certainly runs
                at most once. By default that of this `Inference`.
            headers: additional headers to send.
            hedge_after: seconds after which a request without a response is sent to a second endpoint too, if there are
                several; None for not at all. By default that of this `Inference`.

        Raises:
            ConfigurationError: an argument is wrong, the gateway is not READY, or its endpoint must not get the token.
            NotFound: no deployment serves the model; the text lists those that are served, if they are known.
            ApiError: the server refused or failed; `errors` has a class for each code.
            StreamStalled, StreamInterrupted: the stream stopped or broke off; both have `partial_text`.
        """
        named = {"model": model, "prompt": prompt, **fields}
        request = self._request(TEXT, body, named, timeout, retry, headers, hedge_after, streamed=True)
        return request, self._reader(request, first_token_timeout, idle_timeout)


class ChatCompletions(InferenceResource[Mode]):
    """`inference.chat.completions`: the next message of a conversation."""

    @operation
    def create(
        self,
        /,
        *,
        model: str = UNSET,
        messages: Sequence[Any] = UNSET,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = UNSET,
        first_token_timeout: float | None = None,
        idle_timeout: float | None = None,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        hedge_after: float | None = UNSET,
        **fields: Any,
    ) -> Operation[Completion]:
        """Request the next message of a conversation, and return it whole.

        Every keyword that is not listed here goes into the body of the request as it is.

        Args:
            model: name of the model, as set in a deployment of the gateway. Required, unless `body` is given.
            messages: the conversation: a list of objects such as `{"role": "user", "content": "Hi"}`.
                Required, unless `body` is given.
            body: the whole body of the request, for services that pass one through, instead of `model` and all other
                keywords that would go into it.
            timeout: seconds for the whole call: queueing, token, all attempts and pauses, reading. None for no limit.
                By default that of this `Inference`.
            first_token_timeout, idle_timeout: for streams; they have no effect here.
            retry: how failures before the response are retried; None for not at all, so that the model certainly runs
                at most once. By default that of this `Inference`.
            headers: additional headers to send.
            hedge_after: seconds after which a request without a response is sent to a second endpoint too, if there are
                several; None for not at all. By default that of this `Inference`.

        Raises:
            ConfigurationError: an argument is wrong, the gateway is not READY, or its endpoint must not get the token.
            NotFound: no deployment serves the model; the text lists those that are served, if they are known.
            ApiError: the server refused or failed; `errors` has a class for each code.
            ProtocolError: the response is not a completion, or is too large.
        """
        _check_timeouts(first_token_timeout, idle_timeout)
        named = {"model": model, "messages": messages, **fields}
        request = self._request(CHAT, body, named, timeout, retry, headers, hedge_after, streamed=False)
        return self._server.complete(request)

    @streaming
    def stream(
        self,
        /,
        *,
        model: str = UNSET,
        messages: Sequence[Any] = UNSET,
        body: Mapping[str, Any] | None = None,
        timeout: float | None = UNSET,
        first_token_timeout: float | None = UNSET,
        idle_timeout: float | None = IDLE_TIMEOUT,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
        hedge_after: float | None = UNSET,
        **fields: Any,
    ) -> StreamParts:
        """Request the next message of a conversation, and return a stream of its chunks.

        The request is sent when the stream is entered with `with` (`async with`) or iterated over.

        Every keyword that is not listed here goes into the body of the request as it is.

        Args:
            model: name of the model, as set in a deployment of the gateway. Required, unless `body` is given.
            messages: the conversation: a list of objects such as `{"role": "user", "content": "Hi"}`.
                Required, unless `body` is given.
            body: the whole body of the request, for services that pass one through, instead of `model` and all other
                keywords that would go into it.
            timeout: seconds for the whole call: queueing, token, all attempts and pauses, reading. None for no limit.
                By default that of this `Inference`.
            first_token_timeout: seconds from sending the request to the first content. By default `idle_timeout`; None:
                only `timeout` applies.
            idle_timeout: seconds between one content and the next (60). Comments that keep the connection alive are not
                content. None: only `timeout` applies.
            retry: how failures before the response are retried; None for not at all, so that the model certainly runs
                at most once. By default that of this `Inference`.
            headers: additional headers to send.
            hedge_after: seconds after which a request without a response is sent to a second endpoint too, if there are
                several; None for not at all. By default that of this `Inference`.

        Raises:
            ConfigurationError: an argument is wrong, the gateway is not READY, or its endpoint must not get the token.
            NotFound: no deployment serves the model; the text lists those that are served, if they are known.
            ApiError: the server refused or failed; `errors` has a class for each code.
            StreamStalled, StreamInterrupted: the stream stopped or broke off; both have `partial_text`.
        """
        named = {"model": model, "messages": messages, **fields}
        request = self._request(CHAT, body, named, timeout, retry, headers, hedge_after, streamed=True)
        return request, self._reader(request, first_token_timeout, idle_timeout)


class Chat(InferenceResource[Mode]):
    """`inference.chat`: its `completions`."""

    completions: ChatCompletions[Mode] = group(lambda: ChatCompletions)
    """Chat completions: the next message of a conversation."""


class Models(InferenceResource[Mode]):
    """`inference.models`: the models that can be requested."""

    @operation
    def list(
        self,
        *,
        model: str | None = None,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
        headers: Mapping[str, str] | None = None,
    ) -> Operation[Sequence[Model]]:
        """Return the models that can be requested.

        Args:
            model: any of them, which is needed on a gateway that routes by path or by header.
            timeout: seconds for the whole call; None for no limit. By default that of this `Inference`.
            retry: how failures are retried; None for not at all. By default that of this `Inference`.
            headers: additional headers to send.

        Raises:
            ConfigurationError: an argument is wrong, the gateway is not READY, or its endpoint must not get the token.
            ApiError: the server refused or failed; `errors` has a class for each code.
        """
        if model is not None:
            check_model(model)
        request = CompletionRequest(MODELS, None, model=model, timeout=timeout, retry=retry, headers=headers)
        return self._server.models(request)


def _check_timeouts(first_token_timeout: float | None, idle_timeout: float | None) -> None:
    if first_token_timeout is not UNSET:
        check_timeout(first_token_timeout, "first_token_timeout")
    check_timeout(idle_timeout, "idle_timeout")
