"""Telemetry whose spans and metrics stay in memory, by the official SDK."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from cwinference import Telemetry

Attributes = dict[str, Any]


class RecordedTelemetry:
    """A `Telemetry`, and what it has recorded."""

    def __init__(self, *, content: bool = False, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.telemetry = Telemetry(self.tracer_provider, self.meter_provider, content)
        self.tracer = self.tracer_provider.get_tracer("tests")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Return the spans that have ended, in the order of their ends."""
        return self._exporter.get_finished_spans()

    @property
    def span(self) -> ReadableSpan:
        """Return the only span."""
        (span,) = self.spans
        return span

    def points(self, name: str) -> list[tuple[Attributes, int, float]]:
        """Return the values of a metric: labels, count and sum of each combination of labels."""
        return [
            (dict(point.attributes), point.count, point.sum)
            for metric in self.metrics()
            if metric.name == name
            for point in metric.data.data_points
        ]

    def metrics(self) -> list[Any]:
        """Return all metrics."""
        data: Any = self._reader.get_metrics_data()
        return [
            metric
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def all_text(self) -> str:
        """Return everything that was recorded, as text."""
        metrics = [(metric.name, self.points(metric.name)) for metric in self.metrics()]
        return "\n".join([*(span.to_json() for span in self.spans), repr(metrics)])


def attributes_of(span: ReadableSpan) -> Attributes:
    """Return the attributes of a span."""
    return dict(span.attributes or {})


def attempts_of(span: ReadableSpan) -> list[str]:
    """Return the codes of the attempts that a span has as events, in order."""
    assert {event.name for event in span.events} <= {"cwinference.attempt"}
    return [str((event.attributes or {})["rpc.response.status_code"]) for event in span.events]


def id_of(span: Any) -> int:
    """Return the id of a span."""
    identity: int = span.get_span_context().span_id
    return identity


def traceparent(span: ReadableSpan) -> str:
    """Return the header that says that a request belongs to a span."""
    context: Any = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
