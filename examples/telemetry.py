"""Spans and metrics of all calls, by OpenTelemetry: pip install opentelemetry-sdk; python examples/telemetry.py

They are printed. In earnest, use an exporter of yours, or start any program with `opentelemetry-instrument`.
GATEWAY is the name of a gateway (front), MODEL that of a model behind it (org/llama).
"""

import os

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from cwinference import Client, Telemetry

tracer_provider = TracerProvider()
tracer_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
meter_provider = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())])
tracer = tracer_provider.get_tracer("example")

with (
    Client(telemetry=Telemetry(tracer_provider, meter_provider)) as client,  # without arguments: the global providers
    tracer.start_as_current_span("a question"),  # the parent of the calls in it
    client.inference(client.gateways.find(os.environ.get("GATEWAY", "front"))) as inference,
):
    question = [{"role": "user", "content": "Hi"}]
    print(inference.chat.completions.create(model=os.environ.get("MODEL", "org/llama"), messages=question).text)

meter_provider.shutdown()  # prints the metrics
tracer_provider.shutdown()
