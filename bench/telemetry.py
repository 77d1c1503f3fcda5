"""What telemetry costs: nothing while it is off; while it is on, what it adds to the work of OpenTelemetry's SDK."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from cwinference import Client, Telemetry, types
from cwinference._telemetry import names

from ._case import Case, Effort
from ._measure import cpu
from ._peer import ID, TOKEN, Peer

_TURNS = 10


class _NoExporter(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class _NoNetwork:
    """A transport that has its response at once, so that nothing but the library and the SDK is measured."""

    def send(self, *_: object) -> types.GetDeploymentResponse:
        return types.GetDeploymentResponse(deployment=types.Deployment())


def _providers() -> tuple[TracerProvider, MeterProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(_NoExporter()))
    return provider, MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)


def _call(telemetry: Telemetry | None) -> Callable[[], object]:
    client = Client(TOKEN, endpoint="http://127.0.0.1:9", telemetry=telemetry)
    session: Any = client._session
    session._main = _NoNetwork()
    return lambda: client.deployments.get(ID)


def _by_hand() -> Callable[[], object]:
    """Return a function that gives the SDK the same span, event, headers and value that a call does."""
    tracer_provider, meter_provider = _providers()
    tracer, metric = tracer_provider.get_tracer("bench"), names.CALL_DURATION
    histogram = meter_provider.get_meter("bench").create_histogram(
        metric.name, metric.unit, explicit_bucket_boundaries_advisory=metric.buckets
    )
    method = "coreweave.inference.v1alpha1.DeploymentService/GetDeployment"
    server: dict[str, Any] = {names.RPC_METHOD: method, names.SERVER_ADDRESS: "127.0.0.1", names.SERVER_PORT: 9}
    attributes = {**server, names.RPC_SYSTEM: names.GRPC}
    status = {names.RPC_STATUS: "OK"}
    labels: dict[str, Any] = {**attributes, **status}

    def report() -> None:
        span = tracer.start_span(method, kind=SpanKind.CLIENT, attributes=attributes)
        context = trace.set_span_in_context(span)
        token = attach(context)
        propagate.inject({}, context)
        span.add_event(names.ATTEMPT, status)
        detach(token)
        histogram.record(0.001, labels, context)
        span.set_attributes(status)
        span.end()

    return report


def _seconds(call: Callable[[], object], calls: int) -> float:
    began = cpu()
    for _ in range(calls):
        call()
    return (cpu() - began) / calls


def _on(_: Peer, effort: Effort) -> list[float]:
    """Return by how many microseconds a call with telemetry costs more than one without and the SDK's work by hand.

    The three take turns, many short ones, of which the best counts: other work on the machine disturbs only some.
    """
    sides = _call(Telemetry(*_providers())), _call(None), _by_hand()
    for each in sides:
        _seconds(each, effort.calls)
    found = list[float]()
    for _pair in range(effort.pairs):
        turns = [[_seconds(each, effort.calls // _TURNS) for each in sides] for _turn in range(_TURNS)]
        observed, plain, by_hand = (min(seconds) for seconds in zip(*turns, strict=True))
        found.append(1e6 * (observed - plain - by_hand))
    return found


def _off(_: Peer, effort: Effort) -> list[float]:
    """Return how many functions of telemetry a call without it enters."""
    call, entered = _call(None), list[str]()
    call()

    def note(frame: FrameType, event: str, _: object) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event == "call" and ("telemetry" in module or "observation" in module):
            entered.append(f"{module}.{frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return [float(len([each for each in entered if not each.startswith(__name__)]))]


CASES = [
    Case("telemetry_off", "functions entered", 0, _off),
    Case("telemetry_on", "us a call", 15, _on, against="without, plus the same span and value by OpenTelemetry's SDK"),
]
