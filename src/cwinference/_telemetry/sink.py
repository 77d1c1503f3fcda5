"""Where spans and metrics go, and what becomes of failures on the way there: they are logged, and reach no call."""

import logging
from collections.abc import Mapping
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.context import Context

from .._signals import from_signal_handler
from .._version import __version__
from .names import METRICS, SCHEMA_URL, SCOPE, Metric

log = logging.getLogger("cwinference")


class Sink:
    """A tracer, and a histogram for each metric."""

    def __init__(self, tracer_provider: Any, meter_provider: Any, *, content: bool) -> None:
        self.content = content
        """Whether texts of users and models may be recorded."""
        self._has_failed = False
        self.tracer: trace.Tracer = trace.NoOpTracer()
        try:
            self.tracer = trace.get_tracer(SCOPE, __version__, tracer_provider, SCHEMA_URL)
        except Exception as error:
            self.note_failure(error)
        meter: metrics.Meter = metrics.NoOpMeter(SCOPE)
        try:
            meter = metrics.get_meter(SCOPE, __version__, meter_provider, SCHEMA_URL)
            self._histograms = {metric.name: _histogram(meter, metric) for metric in METRICS}
        except Exception as error:
            self.note_failure(error)
            self._histograms = {metric.name: _histogram(metrics.NoOpMeter(SCOPE), metric) for metric in METRICS}

    def record(self, metric: Metric, value: float, labels: Mapping[str, Any], context: Context) -> None:
        """Record a value of a metric. Raises what the provider raises."""
        self._histograms[metric.name].record(value, labels, context)

    def note_failure(self, error: Exception) -> None:
        """Log a failure, the first one as a warning, for there may be one for each call.

        Raises it if a signal handler did, for then it is the user's.
        """
        if from_signal_handler(error):
            raise error
        if self._has_failed:
            log.debug("telemetry failed", exc_info=error)
            return
        self._has_failed = True
        log.warning("telemetry failed, which no call notices; later failures are logged at DEBUG", exc_info=error)


def _histogram(meter: metrics.Meter, metric: Metric) -> metrics.Histogram:
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )
