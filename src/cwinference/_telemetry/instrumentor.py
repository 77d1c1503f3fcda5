"""What `opentelemetry-instrument` finds by the entry point `opentelemetry_instrumentor`, and switches on."""

from typing import Any

from .._calls.observation import Observer, observe_every_client, observer_of
from .telemetry import Telemetry


class Instrumentor:
    """Reports the calls of all clients that are created later, but for those with a `telemetry=` of their own.

    It has the methods of OpenTelemetry's instrumentors without inheriting from them, which would need their package.
    """

    _current: Observer | None = None

    def instrumentation_dependencies(self) -> tuple[str, ...]:
        """Return the packages that have to be installed in addition: none."""
        return ()

    def instrument(self, *, tracer_provider: Any = None, meter_provider: Any = None, **_: object) -> None:
        """Switch it on, with the global providers unless others are given."""
        if Instrumentor._current is None:
            Instrumentor._current = observer_of(Telemetry(tracer_provider, meter_provider))
            observe_every_client(Instrumentor._current)

    def uninstrument(self, **_: object) -> None:
        """Switch it off, also for the clients that were created meanwhile."""
        current, Instrumentor._current = Instrumentor._current, None
        if current is not None:
            current.is_on = False
            observe_every_client(None)
