"""Which server a span of a completion names: the one that its response is from."""

from types import SimpleNamespace
from typing import Any

import pytest

from cwinference._calls.observation import observer_of
from cwinference._secrets import Secret
from cwinference.config import Endpoint
from cwinference.inference._responses import Chunk
from tests.support.recorded_telemetry import RecordedTelemetry, attributes_of

ONE, TWO = (Endpoint("https", f"{name}.example.com", 443) for name in ("one", "two"))
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize("known", [None, ONE])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_call_that_moves_to_another_server_is_reported_with_that_one(known: Any, is_streamed: bool) -> None:
    recorded = RecordedTelemetry()
    observer: Any = observer_of(recorded.telemetry)
    observation = observer.completion("/chat/completions", BODY, known, is_streamed=is_streamed)
    call = SimpleNamespace(endpoint=ONE, headers=())
    observation.send(call, Secret(()))
    call.endpoint = TWO
    observation.send(call, Secret(()))
    if is_streamed:
        observation.chunk(Chunk({"choices": []}), 1.0, 1.0)
    observation.end("ok", 2, 1.0)

    assert attributes_of(recorded.span)["server.address"] == "two.example.com"
    points = [recorded.points(metric.name) for metric in recorded.metrics()]
    assert points
    assert {labels["server.address"] for metric in points for labels, _, _ in metric} == {"two.example.com"}


def test_a_call_that_never_found_its_server_names_none() -> None:
    recorded = RecordedTelemetry()
    observer: Any = observer_of(recorded.telemetry)
    observation = observer.completion("/models", None, None, is_streamed=False)
    observation.end("not_found", 0, 1.0)

    assert "server.address" not in attributes_of(recorded.span)
    assert attributes_of(recorded.span)["cwinference.attempts"] == 0
