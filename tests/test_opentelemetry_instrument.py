"""`opentelemetry-instrument app.py` reports the calls of an application that knows nothing of telemetry."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from cwinference.emulator import Emulator

ROOT = Path(__file__).parents[1]
COMMAND = str(Path(sys.executable).parent / "opentelemetry-instrument")
APP = """
import sys
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import asyncio
import cwinference

async def call_async():
    async with cwinference.AsyncClient(sys.argv[2], endpoint=sys.argv[1]) as client:
        await client.deployments.list()

with cwinference.Client(sys.argv[2], endpoint=sys.argv[1], transport="rest") as client:
    reader, exporter = InMemoryMetricReader(), InMemorySpanExporter()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    client.gateways.list()
    asyncio.run(call_async())
for span in exporter.get_finished_spans():
    print(span.name)
for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
    print(metric.name)
"""


def installed_entry_point(folder: Path) -> Path:
    """Make a distribution with the entry point that pyproject.toml declares, as an installation would."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    lines = [f"{name} = {value}" for name, value in declared["opentelemetry_instrumentor"].items()]
    info = folder / "cwinference_entry_point-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cwinference-entry-point\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[opentelemetry_instrumentor]", *lines, ""]))
    return folder


def run(folder: Path, *command: str, **environment: str) -> list[str]:
    """Run a command; return the lines that it prints."""
    paths = os.pathsep.join([str(installed_entry_point(folder)), str(ROOT / "src"), str(ROOT / "gen")])
    environment = {**os.environ, "PYTHONPATH": paths, **environment}
    done = subprocess.run([*command], capture_output=True, text=True, timeout=100, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_opentelemetry_instrument_switches_telemetry_on(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with Emulator() as emulator:
        lines = run(tmp_path, COMMAND, sys.executable, str(tmp_path / "app.py"), emulator.endpoint, emulator.token)

    assert lines == [
        "coreweave.inference.v1alpha1.GatewayService/ListGateways",
        "coreweave.inference.v1alpha1.DeploymentService/ListDeployments",
        "rpc.client.call.duration",
    ]


def test_the_usual_variable_leaves_it_off(tmp_path: Path) -> None:
    program = "from cwinference import Client; print(Client('t')._driver.context.observer)"
    disabled = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "cwinference"}
    assert run(tmp_path, COMMAND, sys.executable, "-c", program, **disabled) == ["None"]
