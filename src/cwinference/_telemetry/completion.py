"""The span of a completion or a stream: what was asked for, what it took, and when its chunks came."""

from collections.abc import Mapping
from typing import Any, cast

from .._text import one_line
from ..auth import Metadata
from ..config import Endpoint
from . import names
from .content import Texts, choices_of, input_messages, output_messages
from .sink import Sink
from .spans import Attributes, CallSpan, server_attributes

_LONGEST = 200
"""How many characters of a name that a server gives are recorded: a model's or a finish reason's."""


class ModelServerSpan(CallSpan):
    """The span of a call of a model server. Which one that is may be known late, and a retry may go to another."""

    __slots__ = ("_call", "_endpoint", "_labels", "_result")

    def __init__(self, sink: Sink, name: str, labels: Attributes, more: Attributes, endpoint: Endpoint | None) -> None:
        self._call: Any = None
        """What was sent."""
        self._endpoint = endpoint
        if endpoint is not None:
            labels.update(server_attributes(endpoint))
        self._labels = labels
        """What metrics are labeled with. An SDK keeps it, so it is complete before the first value is recorded."""
        self._result: Attributes = {}
        """What the span gets at its end."""
        super().__init__(sink, name, {**labels, **more})

    def send(self, call: Any, metadata: Metadata) -> Metadata:
        """Return the headers of an attempt."""
        self._call = call
        return super().send(call, metadata)

    def end(self, code: str, attempts: int, seconds: float, error: BaseException | None = None) -> None:
        """End the span, and record the metrics of the call."""
        try:
            self._note_server()
        except Exception as failure:
            self._sink.note_failure(failure)
        super().end(code, attempts, seconds, error)

    def _note_server(self) -> None:
        """Note where the call went, or goes."""
        endpoint: Endpoint | None = self._endpoint if self._call is None else self._call.endpoint
        if endpoint is not None and endpoint is not self._endpoint:
            self._endpoint = endpoint
            server = server_attributes(endpoint)
            self._labels = {**self._labels, **server}
            self._result.update(server)

    def _final_attributes(self, status: str | None, error: BaseException | None) -> Attributes:
        return self._result


class CompletionSpan(ModelServerSpan):
    """The span of a completion."""

    __slots__ = ("_has_chunk", "_stream_error", "_texts", "_usage")

    def __init__(
        self, sink: Sink, operation: str, body: Mapping[str, Any], endpoint: Endpoint | None, *, is_streamed: bool
    ) -> None:
        labels: Attributes = {names.OPERATION: operation, names.PROVIDER: names.COREWEAVE}
        model = labels[names.REQUEST_MODEL] = body["model"]
        self._has_chunk = False
        self._usage: Any = None
        self._stream_error: BaseException | None = None
        self._texts = Texts() if sink.content and is_streamed else None
        streamed = {names.REQUEST_STREAM: True} if is_streamed else {}
        super().__init__(sink, f"{operation} {model}", labels, streamed, endpoint)
        if self._is_recorded:
            self._note_request(body)

    def received(self, result: Any) -> None:
        """Note a whole completion."""
        try:
            raw = getattr(result, "raw", None)
            if not isinstance(raw, dict):
                return
            response = cast(dict[str, Any], raw)
            self._note_names(response)
            self._note_reasons(response)
            self._usage = response.get("usage")
            if self._sink.content:
                self._result[names.OUTPUT_MESSAGES] = output_messages(response)
        except Exception as error:
            self._sink.note_failure(error)

    def chunk(self, chunk: Any, elapsed: float, waited: float) -> None:
        """Note a chunk of a stream."""
        try:
            if self._has_chunk:
                self._sink.record(names.TIME_PER_OUTPUT_CHUNK, waited, self._labels, self._context)
            else:
                self._has_chunk = True
                self._note_server()
                self._note_names(chunk.raw)
                self._result[names.FIRST_CHUNK] = elapsed
                self._sink.record(names.TIME_TO_FIRST_CHUNK, elapsed, self._labels, self._context)
            if chunk.finish_reason:
                self._note_reasons(chunk.raw)
            if self._texts is not None:
                self._texts.add(chunk.raw)
        except Exception as error:
            self._sink.note_failure(error)

    def stream_ended(self, usage: Any, error: BaseException | None) -> None:
        """Note the usage and the error of a stream, and the text that it had by then."""
        self._usage, self._stream_error = usage, error
        try:
            if self._texts is not None:
                self._result[names.OUTPUT_MESSAGES] = self._texts.messages()
        except Exception as failure:
            self._sink.note_failure(failure)

    def end(self, code: str, attempts: int, seconds: float, error: BaseException | None = None) -> None:
        """End the span, and record the metrics of the call."""
        super().end(code, attempts, seconds, error or self._stream_error)

    def _measure(self, seconds: float, status: str | None, failure: str | None) -> None:
        labels = self._labels
        for kind, count in ((names.INPUT, self._tokens("prompt")), (names.OUTPUT, self._tokens("completion"))):
            if count is not None:
                self._sink.record(names.TOKEN_USAGE, count, {**labels, names.TOKEN_TYPE: kind}, self._context)
        if failure is not None:
            labels = {**labels, names.ERROR_TYPE: failure}
        self._sink.record(names.OPERATION_DURATION, seconds, labels, self._context)

    def _final_attributes(self, status: str | None, error: BaseException | None) -> Attributes:
        for name, count in (
            (names.INPUT_TOKENS, self._tokens("prompt")),
            (names.OUTPUT_TOKENS, self._tokens("completion")),
            (names.CACHED_TOKENS, self._tokens("prompt", "cached")),
            (names.REASONING_TOKENS, self._tokens("completion", "reasoning")),
        ):
            if count is not None:
                self._result[name] = count
        return self._result

    def _tokens(self, of: str, detail: str = "") -> int | None:
        """Return a number of tokens from the usage; None if the server has reported none."""
        counts = self._usage
        if isinstance(counts, dict) and detail:
            counts = cast(dict[str, Any], counts).get(f"{of}_tokens_details")
        if not isinstance(counts, dict):
            return None
        count = cast(dict[str, Any], counts).get(f"{detail or of}_tokens")
        return count if type(count) is int and count >= 0 else None

    def _note_request(self, body: Mapping[str, Any]) -> None:
        try:
            self._result.update(_numbers_of(body))
            if self._sink.content:
                self._result[names.INPUT_MESSAGES] = input_messages(body)
        except Exception as error:
            self._sink.note_failure(error)

    def _note_names(self, raw: Mapping[str, Any]) -> None:
        model, identity = raw.get("model"), raw.get("id")
        if isinstance(model, str):
            self._labels[names.RESPONSE_MODEL] = self._result[names.RESPONSE_MODEL] = _name(model)
        if isinstance(identity, str):
            self._result[names.RESPONSE_ID] = _name(identity)

    def _note_reasons(self, raw: Mapping[str, Any]) -> None:
        reasons = [choice.get("finish_reason") for choice in choices_of(raw)]
        known = self._result.get(names.FINISH_REASONS, ())
        self._result[names.FINISH_REASONS] = [*known, *(_name(each) for each in reasons if isinstance(each, str))]


class ModelsSpan(ModelServerSpan):
    """The span of a list of models, which is plain HTTP: the conventions know of no such operation."""

    __slots__ = ()

    def __init__(self, sink: Sink, path: str, endpoint: Endpoint | None) -> None:
        template = f"/v1{path}"
        attributes: Attributes = {names.HTTP_METHOD: "GET", names.URL_TEMPLATE: template}
        super().__init__(sink, f"GET {template}", attributes, {}, endpoint)


def _numbers_of(body: Mapping[str, Any]) -> Attributes:
    """Return the parameters of a request that are numbers. Texts among them may be part of a prompt."""
    found: Attributes = {}
    for field, name in names.NUMBERS.items():
        value = body.get(field)
        if type(value) is int or type(value) is float:
            found[name] = value
    return found


def _name(text: str) -> str:
    return one_line(text[:_LONGEST])
