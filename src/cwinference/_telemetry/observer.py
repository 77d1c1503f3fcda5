"""Begins the spans of calls."""

from typing import Any

from .._calls.observation import Observer
from .._wire.methods import Method
from ..config import Endpoint
from . import names
from .completion import CompletionSpan, ModelsSpan
from .sink import Sink
from .spans import RpcSpan, RpcTarget

_OPERATIONS = {"/chat/completions": names.CHAT, "/completions": names.TEXT}
_MOST_TARGETS = 1000


class TelemetryObserver(Observer):
    """Begins the spans of calls. None stands for one that could not be begun."""

    def __init__(self, tracer_provider: Any, meter_provider: Any, *, content: bool) -> None:
        self._sink = Sink(tracer_provider, meter_provider, content=content)
        self._targets: dict[tuple[str, str, str, int], RpcTarget] = {}

    def rpc(self, method: Method, endpoint: Endpoint, protocol: str) -> RpcSpan | None:
        """Begin that of a call of the management API."""
        if not self.is_on:
            return None
        try:
            key = method.path, protocol, endpoint.host, endpoint.port
            target = self._targets.get(key)
            if target is None:
                if len(self._targets) >= _MOST_TARGETS:  # a process with ever new servers
                    self._targets.clear()
                target = self._targets[key] = RpcTarget.of(method, endpoint, protocol)
            return RpcSpan(self._sink, target)
        except Exception as error:
            self._sink.note_failure(error)
            return None

    def completion(self, path: str, body: Any, endpoint: Endpoint | None, *, is_streamed: bool) -> Any:
        """Begin that of a call of a model server."""
        if not self.is_on:
            return None
        try:
            operation = _OPERATIONS.get(path)
            if operation is None:
                return ModelsSpan(self._sink, path, endpoint)
            return CompletionSpan(self._sink, operation, body, endpoint, is_streamed=is_streamed)
        except Exception as error:
            self._sink.note_failure(error)
            return None
