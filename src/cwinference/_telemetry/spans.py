"""The span of a call: begun before its first attempt, ended after its last. What goes wrong here reaches no call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind, StatusCode

from .._text import one_line
from .._wire.methods import Method
from ..auth import Metadata, with_headers
from ..config import Endpoint
from . import names
from .propagation import headers_of
from .sink import Sink

Attributes = dict[str, Any]

_OK: Attributes = {names.RPC_STATUS: "OK"}
_DESCRIPTION = 1000
"""Of how many characters of an error's message the description of a span consists at most."""


class CallSpan:
    """What spans of all calls have in common. Subclasses know what is special about theirs."""

    __slots__ = ("_context", "_headers", "_is_recorded", "_sink", "_span")

    def __init__(self, sink: Sink, name: str, attributes: Mapping[str, Any]) -> None:
        self._sink = sink
        self._span = sink.tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        self._context: Context = trace.set_span_in_context(self._span)
        self._is_recorded = self._span.is_recording()
        self._headers: Any = None

    def enter(self) -> Any:
        """Make the span the current one, under which come calls for this one: of a token source, for example."""
        try:
            return attach(self._context)
        except Exception as error:
            return self._sink.note_failure(error)

    def leave(self, entered: Any) -> None:
        """Make the former span the current one again."""
        try:
            if entered is not None:
                detach(entered)
        except Exception as error:
            self._sink.note_failure(error)

    def send(self, call: Any, metadata: Metadata) -> Metadata:
        """Return the headers of an attempt, with those by which the server learns of the trace."""
        try:
            if self._headers is None:
                self._headers = ()
                self._headers = headers_of(self._context, getattr(call, "headers", ()))
            return with_headers(metadata, self._headers) if self._headers else metadata
        except Exception as error:
            self._sink.note_failure(error)
            return metadata

    def attempted(self, code: str, error: BaseException | None = None) -> None:
        """Add the event of an attempt."""
        if not self._is_recorded:
            return
        try:
            self._span.add_event(names.ATTEMPT, _OK if error is None else _failure_of(code, error))
        except Exception as failure:
            self._sink.note_failure(failure)

    def received(self, result: Any) -> None:
        """Note what the caller gets. For most calls that needs no note."""

    def end(self, code: str, attempts: int, seconds: float, error: BaseException | None = None) -> None:
        """End the span, and record the metrics of the call."""
        status = names.status_name(code)
        failure = None if code == "ok" else error_type(code, error)
        try:
            self._measure(seconds, status, failure)
        except Exception as problem:
            self._sink.note_failure(problem)
        try:
            if self._is_recorded:
                attributes = self._final_attributes(status, error)
                if attempts != 1:
                    attributes = {**attributes, names.ATTEMPTS: attempts}
                if failure is not None:
                    attributes = {**attributes, names.ERROR_TYPE: failure}
                    self._span.set_status(StatusCode.ERROR, self._description(error))
                self._span.set_attributes(attributes)
        except Exception as problem:
            self._sink.note_failure(problem)
        try:
            self._span.end()
        except Exception as problem:
            self._sink.note_failure(problem)

    def _measure(self, seconds: float, status: str | None, failure: str | None) -> None:
        """Record the metrics."""

    def _final_attributes(self, status: str | None, error: BaseException | None) -> Attributes:
        """Return the attributes that are known at the end, as a mapping that nobody changes."""
        return {}

    def _description(self, error: BaseException | None) -> str | None:
        """Return what the span says of an error. Its message may quote a prompt, so that is content."""
        return one_line(str(error))[:_DESCRIPTION] if self._sink.content and error is not None else None


def _failure_of(code: str, error: BaseException) -> Attributes:
    """Return the attributes of a failed attempt."""
    status, http_status = names.status_name(code), getattr(error, "http_status", None)
    attributes: Attributes = (
        {names.ERROR_TYPE: error_type(code, error)} if status is None else {names.RPC_STATUS: status}
    )
    return attributes if http_status is None else {**attributes, names.HTTP_STATUS: http_status}


def error_type(code: str, error: BaseException | None) -> str:
    """Return the class of a failure: its code, else that of the exception."""
    status = names.status_name(code)
    return status if status is not None else names.OTHER if error is None else type(error).__name__


@dataclass(frozen=True, slots=True)
class RpcTarget:
    """A method at a server: what is the same for all its calls."""

    name: str
    attributes: Attributes
    labels: Attributes
    success: Attributes
    """The labels of a call that succeeds."""

    @classmethod
    def of(cls, method: Method, endpoint: Endpoint, protocol: str) -> "RpcTarget":
        """Return that of a method which is called by "grpc", "connect" or "rest"."""
        name = method.path[1:]
        labels: Attributes = {names.RPC_METHOD: name, **server_attributes(endpoint)}
        attributes = labels
        system = {"grpc": names.GRPC, "connect": names.CONNECT}.get(protocol)
        if system is not None:
            labels[names.RPC_SYSTEM] = system
        elif method.http is not None:
            attributes = {**labels, names.HTTP_METHOD: method.http.verb, names.URL_TEMPLATE: method.http.template}
        return cls(name, attributes, labels, {**labels, **_OK})


class RpcSpan(CallSpan):
    """The span of a call of the management API."""

    __slots__ = ("_target",)

    def __init__(self, sink: Sink, target: RpcTarget) -> None:
        super().__init__(sink, target.name, target.attributes)
        self._target = target

    def _measure(self, seconds: float, status: str | None, failure: str | None) -> None:
        labels = self._target.success
        if failure is not None:
            labels = {**self._target.labels, names.ERROR_TYPE: failure}
            if status is not None:
                labels[names.RPC_STATUS] = status
        self._sink.record(names.CALL_DURATION, seconds, labels, self._context)

    def _final_attributes(self, status: str | None, error: BaseException | None) -> Attributes:
        if error is None and status == "OK":
            return _OK
        attributes: Attributes = {} if status is None else {names.RPC_STATUS: status}
        http_status = getattr(error, "http_status", None)
        if http_status is not None and names.HTTP_METHOD in self._target.attributes:
            attributes[names.HTTP_STATUS] = http_status
        return attributes


def server_attributes(endpoint: Endpoint) -> Attributes:
    """Return the attributes of a server."""
    return {names.SERVER_ADDRESS: endpoint.host, names.SERVER_PORT: endpoint.port}
