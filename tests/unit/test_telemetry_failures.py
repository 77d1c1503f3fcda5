"""Whatever fails in OpenTelemetry, a call goes its way; and only what may be sent is taken from a propagator."""

import logging
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from cwinference import AsyncClient, Client, Inference, Telemetry, errors
from cwinference._calls.observation import Observer, observer_of
from cwinference._telemetry.instrumentor import Instrumentor
from cwinference.inference import AsyncInference
from tests.support import samples
from tests.support.client_kinds import TOKEN
from tests.support.inference_kinds import MESSAGES
from tests.support.recorded_telemetry import RecordedTelemetry
from tests.support.scripted_model_server import (
    DONE,
    MODEL,
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    chunk_event,
    completion,
    json_response,
    stream_response,
)
from tests.support.scripted_server import ScriptedServer

MESSAGE = "SECRET of the exporter"


class Failing:
    """An object all of whose methods, but for those that are named, raise."""

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> Any:
            raise RuntimeError(MESSAGE)

        return fail


class FailingExporter(SpanExporter):
    def export(self, spans: object) -> Any:
        raise RuntimeError(MESSAGE)


class FailingProcessor(SpanProcessor):
    def on_start(self, span: object, parent_context: object = None) -> None:
        raise RuntimeError(MESSAGE)

    def on_end(self, span: object) -> None:
        raise RuntimeError(MESSAGE)


class FailingAtEnd(SpanProcessor):
    def on_end(self, span: object) -> None:
        raise RuntimeError(MESSAGE)


class FailingSampler(Sampler):
    def should_sample(self, *_: object, **__: object) -> Any:
        raise RuntimeError(MESSAGE)

    def get_description(self) -> str:
        return "failing"


class FailingSpan(trace.NonRecordingSpan):
    """A span that is recorded, and fails at everything else."""

    def is_recording(self) -> bool:
        return True

    def set_attributes(self, attributes: object) -> None:
        raise RuntimeError(MESSAGE)

    def add_event(self, *_: object, **__: object) -> None:
        raise RuntimeError(MESSAGE)

    def set_status(self, *_: object, **__: object) -> None:
        raise RuntimeError(MESSAGE)

    def end(self, end_time: object = None) -> None:
        raise RuntimeError(MESSAGE)


def tracing(*processors: SpanProcessor, **options: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **options)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def failing_spans() -> Any:
    tracer = Failing(start_span=lambda *_, **__: FailingSpan(trace.INVALID_SPAN_CONTEXT))
    return Failing(get_tracer=lambda *_, **__: tracer)


PROVIDERS: dict[str, Any] = {
    "exporter": lambda: (tracing(SimpleSpanProcessor(FailingExporter())), None),
    "processor": lambda: (tracing(FailingProcessor()), None),
    "end": lambda: (tracing(FailingAtEnd()), None),
    "sampler": lambda: (tracing(sampler=FailingSampler()), None),
    "span": lambda: (failing_spans(), None),
    "tracer": lambda: (Failing(get_tracer=lambda *_, **__: Failing()), None),
    "tracer provider": lambda: (Failing(), None),
    "meter": lambda: (None, Failing(get_meter=lambda *_, **__: Failing())),
    "meter provider": lambda: (None, Failing()),
    "histogram": lambda: (
        None, Failing(get_meter=lambda *_, **__: Failing(create_histogram=lambda *_, **__: Failing())),
    ),
}  # fmt: skip


def respond(request: HttpRequest) -> ScriptedResponse:
    if request.body.get("stream"):
        return stream_response(chunk_event("Pa"), chunk_event("ris", "stop"), DONE)
    return json_response(completion())


def use_everything(telemetry: Any) -> None:
    """Make a call, a failing one, a completion and a stream, all of which have to succeed as usual."""
    with (
        ScriptedServer("grpc", lambda received: samples.response_to(received.method)) as api,
        ScriptedModelServer(respond) as models,
        Client(TOKEN, endpoint=api.endpoint, telemetry=telemetry) as client,
        Inference(models.url, telemetry=telemetry) as inference,
    ):
        assert client.gateways.get("x").spec.name
        assert inference.chat.completions.create(model=MODEL, messages=MESSAGES).text == "Paris"
        with inference.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
            assert "".join(chunk.text for chunk in stream) == "Paris"
        unreachable = "http://127.0.0.1:1"
        with (
            Client(TOKEN, endpoint=unreachable, telemetry=telemetry, retry=None) as lost,
            pytest.raises(errors.Unavailable),
        ):
            lost.gateways.get("x")


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_failure_of_opentelemetry_reaches_no_call(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    tracer_provider, meter_provider = PROVIDERS[name]()
    use_everything(Telemetry(tracer_provider, meter_provider, content=True))

    ours = [record for record in caplog.records if record.name == "cwinference"]
    assert [record.levelname for record in ours] == ([] if name == "exporter" else ["WARNING"])
    assert TOKEN not in caplog.text


@pytest.fixture
def propagator(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the global propagator injects."""
    carrier = dict[str, str]()

    class Propagator:
        def inject(self, target: Any, context: object = None, setter: Any = None) -> None:
            if "fail" in carrier:
                raise RuntimeError(MESSAGE)
            target.update(carrier)

    monkeypatch.setattr(propagate, "inject", Propagator().inject)
    return carrier


def test_a_failing_propagator_reaches_no_call(propagator: dict[str, str]) -> None:
    propagator["fail"] = ""
    use_everything(RecordedTelemetry().telemetry)


@pytest.mark.parametrize("transport", ["grpc", "connect", "rest"])
def test_only_headers_that_harm_nothing_are_taken_from_a_propagator(propagator: Any, transport: Any) -> None:
    propagator.update(
        {"Traceparent": "upper case", "x-b3-traceid": "1", "b3": "0", "authorization": "Bearer other", "X-Line": "a\nb",
         "content-type": "text/html", "grpc-timeout": "1n", "connect-timeout-ms": "1", "x-bin": "x", "x y": "z",
         "host": "example.com", "content-length": "7", "x-umlaut": "ä", "": "x", "x-number": 1, "te": "gzip"}
    )  # fmt: skip
    with (
        ScriptedServer(transport, lambda received: samples.response_to(received.method)) as server,
        Client(TOKEN, endpoint=server.endpoint, transport=transport, telemetry=RecordedTelemetry().telemetry,
               **server.settings) as client,
    ):  # fmt: skip
        client.gateways.get("x")

    sent = server.received[0].headers
    found = {name: sent[name] for name in ("traceparent", "x-b3-traceid", "b3", "authorization")}
    assert found == {
        "traceparent": "upper case", "x-b3-traceid": "1", "b3": "0", "authorization": f"Bearer {TOKEN}",
    }  # fmt: skip
    assert not {"x-line", "x-bin", "x y", "x-umlaut", "x-number", ""} & sent.keys()
    assert sent.get("content-type") != "text/html"


def test_an_error_of_a_signal_handler_is_the_users() -> None:
    """It may strike anywhere, in OpenTelemetry too: a task queue's time limit, for example."""
    from cwinference._telemetry.sink import Sink

    def handler(number: int, frame: object) -> None:
        raise TimeoutError("time limit")

    def interrupted() -> Exception:
        try:
            handler(14, sys._getframe())
        except Exception as error:
            return error
        raise AssertionError

    sink = Sink(None, None, content=False)
    with pytest.raises(TimeoutError, match="time limit"):
        sink.note_failure(interrupted())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tracer_provider": 1}, "tracer_provider: expected one of OpenTelemetry's, got int"),
        ({"meter_provider": "x"}, "meter_provider: expected one of OpenTelemetry's, got str"),
        ({"content": None}, "content: expected True or False, got NoneType"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=message):
        Telemetry(**arguments)


def test_a_missing_package_names_the_extra() -> None:
    program = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "from cwinference import Telemetry, errors\n"
        "try:\n"
        " Telemetry()\n"
        "except errors.ConfigurationError as error:\n"
        " print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    advice = "pip install 'cwinference[otel]'"
    assert done.stdout == f"telemetry needs opentelemetry-api, which is not installed: {advice}\n"


def test_without_an_sdk_nothing_is_recorded_and_calls_work() -> None:
    use_everything(Telemetry())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_instrumentor_covers_clients_that_are_created_later(kind: Any) -> None:
    recorded = RecordedTelemetry()
    instrumentor = Instrumentor()
    before = kind("token")
    instrumentor.instrument(
        tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider, skip_dep_check=True
    )
    try:
        instrumentor.instrument()  # once more changes nothing
        assert before._driver.context.observer is None
        after = kind("token")
        observer = after._driver.context.observer
        assert isinstance(observer, Observer)
        assert after.inference("3f0e6c0a-6f0b-4c5e-9a53-0f6f2f6f7a11")._server.context.observer is observer
        inference = Inference if kind is Client else AsyncInference
        assert inference("http://127.0.0.1:1")._server.context.observer is observer
        own = Telemetry()
        assert kind("token", telemetry=own)._driver.context.observer is observer_of(own)
    finally:
        instrumentor.uninstrument()
    assert kind("token")._driver.context.observer is None
    assert isinstance(observer, Observer)
    assert not observer.is_on
    assert tuple(instrumentor.instrumentation_dependencies()) == ()


def test_what_was_switched_off_reports_nothing_more() -> None:
    recorded = RecordedTelemetry()
    observer = observer_of(recorded.telemetry)
    assert observer is not None
    observer.is_on = False
    use_everything(recorded.telemetry)
    assert recorded.spans == ()
    assert recorded.metrics() == []


def test_the_repr_of_a_telemetry_shows_its_setting() -> None:
    assert repr(Telemetry(content=True)) == "Telemetry(content=True)"


def test_metrics_are_recorded_if_spans_fail() -> None:
    reader = InMemoryMetricReader()
    use_everything(Telemetry(failing_spans(), MeterProvider([reader], shutdown_on_exit=False)))
    data: Any = reader.get_metrics_data()
    found = {metric.name for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    assert "rpc.client.call.duration" in found
    assert "gen_ai.client.operation.duration" in found


def test_after_a_call_the_span_before_it_is_the_current_one_again() -> None:
    recorded = RecordedTelemetry()
    use_everything(recorded.telemetry)
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert [span.parent for span in recorded.spans] == [None] * 4
