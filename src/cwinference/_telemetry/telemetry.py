"""`Telemetry`: what users give to a client so that OpenTelemetry gets its spans and metrics."""

from typing import TYPE_CHECKING

from .._calls.observation import Observing
from .._extras import missing
from .._secrets import forgets_locals
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


class Telemetry(Observing):
    """Reports the calls of clients to OpenTelemetry: `Client(telemetry=Telemetry())`.

    Each call is one span over all its attempts, each of which is an event of it. The trace goes on at the server: every
    attempt carries the headers of the global propagator, `traceparent` for example. Durations, tokens and the times of
    chunks are metrics. All names are those of the semantic conventions 1.44.

    Neither tokens nor ids are reported, and no error of OpenTelemetry reaches a call.
    """

    @forgets_locals
    def __init__(
        self,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
        content: bool = False,
    ) -> None:
        """Create one, for any number of clients.

        It needs the extra `otel`, and an SDK, or nothing is recorded.

        Args:
            tracer_provider: what makes spans. None: the global one, also if it is set later.
            meter_provider: what makes metrics. None: the global one, also if it is set later.
            content: whether the spans of completions have prompts and responses, and failed spans the messages of
                errors, which may quote them (False).

        Raises:
            ConfigurationError: opentelemetry-api is not installed, or an argument is wrong.
        """
        for name, given, method in (
            ("tracer_provider", tracer_provider, "get_tracer"),
            ("meter_provider", meter_provider, "get_meter"),
        ):
            if given is not None and not callable(getattr(given, method, None)):
                raise ConfigurationError(f"{name}: expected one of OpenTelemetry's, got {type(given).__name__}")
        if type(content) is not bool:
            raise ConfigurationError(f"content: expected True or False, got {type(content).__name__}")
        try:
            from .observer import TelemetryObserver
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "opentelemetry":
                raise
            raise ConfigurationError(missing("telemetry", "opentelemetry-api", "otel")) from None
        self._content = content
        self._observer = TelemetryObserver(tracer_provider, meter_provider, content=content)

    def __repr__(self) -> str:
        return f"Telemetry(content={self._content})"
