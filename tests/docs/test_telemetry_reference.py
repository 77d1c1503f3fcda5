"""What the dashboard and the table of metrics name is recorded."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cwinference import Client, Inference, errors
from cwinference._telemetry.names import METRICS
from tests.support import samples
from tests.support.client_kinds import TOKEN
from tests.support.inference_kinds import MESSAGES
from tests.support.recorded_telemetry import RecordedTelemetry
from tests.support.scripted_model_server import DONE, MODEL, ScriptedModelServer, chunk_event, event, stream_response
from tests.support.scripted_server import ScriptedServer
from tools.docs import made
from tools.docs import telemetry as tables

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
_WORDS = {"sum", "by", "rate", "histogram_quantile", "le", "job"}


def queries() -> Iterator[str]:
    found: Any = json.loads(made.DASHBOARD.read_text("utf-8"))
    for panel in found["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (str(each["query"]) for each in found["templating"]["list"] if each["type"] == "query")


@pytest.fixture(scope="module")
def series() -> dict[str, set[str]]:
    """The time series that calls, completions and streams leave in Prometheus: their names, and their labels."""
    recorded = RecordedTelemetry()
    stream = stream_response(chunk_event("a"), chunk_event("b", "stop"), event({"choices": [], "usage": USAGE}), DONE)
    with (
        ScriptedServer("grpc", lambda received: samples.response_to(received.method)) as api,
        ScriptedModelServer(lambda _: stream) as models,
        Client(TOKEN, endpoint=api.endpoint, telemetry=recorded.telemetry) as client,
        Inference(models.url, telemetry=recorded.telemetry) as inference,
        Client(TOKEN, endpoint="http://127.0.0.1:1", telemetry=recorded.telemetry, retry=None) as lost,
        Inference("http://127.0.0.1:1", telemetry=recorded.telemetry, retry=None) as lost_inference,
    ):
        client.gateways.get("x")
        with inference.chat.completions.stream(model=MODEL, messages=MESSAGES) as opened:
            assert len(list(opened)) == 3
        with pytest.raises(errors.Unavailable):
            lost.gateways.get("x")
        with pytest.raises(errors.Unavailable):
            lost_inference.chat.completions.create(model=MODEL, messages=MESSAGES)

    by_name = {metric.name: metric for metric in METRICS}
    found = dict[str, set[str]]()
    for metric in recorded.metrics():
        labels = {label for attributes, _, _ in recorded.points(metric.name) for label in attributes}
        assert labels <= set(by_name[metric.name].labels)
        assert metric.unit == by_name[metric.name].unit
        name = tables.prometheus_name(by_name[metric.name])
        for part in ("bucket", "count", "sum"):
            found[f"{name}_{part}"] = {tables.label_name(label) for label in labels}
    return found


def test_every_metric_of_the_table_is_recorded(series: dict[str, set[str]]) -> None:
    assert {f"{tables.prometheus_name(metric)}_sum" for metric in METRICS} <= series.keys()
    assert len(series) == 3 * len(METRICS)


@pytest.mark.parametrize("query", list(queries()))
def test_every_metric_and_label_of_the_dashboard_exists(query: str, series: dict[str, set[str]]) -> None:
    words = {*re.findall(r"(?<![$\w\"])[a-z][a-z_]+", re.sub(r'"[^"]*"', "", query))} - _WORDS - {"label_values"}
    metrics = {word for word in words if word in series} or {*re.findall(r"\w+_count", query)}
    assert metrics
    assert metrics <= series.keys()
    labels = set.union(*(series[metric] for metric in metrics))
    assert words - metrics <= labels


def test_every_panel_has_a_place_of_its_own() -> None:
    taken = set[tuple[int, int]]()
    for panel in tables.dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
    identities = [panel["id"] for panel in tables.dashboard()["panels"]]
    assert len({*identities}) == len(identities)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rpc.client.call.duration", "rpc_client_call_duration_seconds"),
        ("gen_ai.client.token.usage", "gen_ai_client_token_usage"),
    ],
)
def test_names_in_prometheus_have_underscores_and_their_unit(name: str, expected: str) -> None:
    (metric,) = (metric for metric in METRICS if metric.name == name)
    assert tables.prometheus_name(metric) == expected
