"""Faults that happen to the completions of one deployment, while another one with the same model serves well."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from cwinference import Inference, errors
from cwinference.emulator import Emulator
from tests.support.inference_kinds import open_inference
from tests.support.ready_gateways import MODEL, ReadyGateway, deploy, ready_gateway

HEADER = "x-emulator-deployment"
MESSAGES = [{"role": "user", "content": "Hi"}]


@dataclass
class Pair:
    """A gateway with two deployments of one model, `one` and `two`, which share its requests evenly."""

    ready: ReadyGateway
    two: str
    inference: Inference

    @property
    def one(self) -> str:
        return self.ready.deployment.spec.id

    @property
    def faults(self) -> Any:
        return self.ready.emulator.faults

    def outcomes(self, calls: int = 40) -> dict[str, set[str]]:
        """What happened to calls, by the id of the deployment that their responses are from."""
        found = dict[str, set[str]]()
        for _ in range(calls):
            try:
                headers, code = self.inference.chat.completions.create(model=MODEL, messages=MESSAGES).headers, "ok"
            except errors.ApiError as error:
                headers, code = error.headers, error.code
            found.setdefault(headers.get(HEADER, "none"), set()).add(code)
        return found


@pytest.fixture(scope="module")
def _pair() -> Iterator[Pair]:
    with ready_gateway() as ready, ready.client.inference(ready.gateway, retry=None) as inference:
        yield Pair(ready, deploy(ready.client, ready.gateway, "two", wait=True).spec.id, inference)


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    _pair.faults.clear()
    return _pair


def test_a_completion_and_a_stream_show_which_deployment_they_are_from(pair: Pair) -> None:
    assert pair.outcomes() == {pair.one: {"ok"}, pair.two: {"ok"}}
    with pair.inference.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        assert [*stream]
        assert stream.headers[HEADER] in (pair.one, pair.two)


@pytest.mark.parametrize("by", ["name", "id"])
def test_an_error_of_a_deployment_happens_to_its_completions_alone(pair: Pair, by: str) -> None:
    fault = pair.faults.add("error", deployment="two" if by == "name" else pair.two, code="internal")
    assert pair.outcomes() == {pair.one: {"ok"}, pair.two: {"internal"}}
    assert fault.happened > 5


def test_a_page_and_a_late_response_come_from_the_deployment(pair: Pair) -> None:
    pair.faults.add("page", deployment="two", status=503)
    delay = pair.faults.add("delay", deployment="one", seconds=0.02)
    began = time.perf_counter()
    assert pair.outcomes(20) == {pair.one: {"ok"}, pair.two: {"unavailable"}}
    assert time.perf_counter() - began >= 0.02 * delay.happened > 0


@pytest.mark.parametrize("when", ["before", "during", "after", "response"])
@pytest.mark.parametrize("kind", ["sync-1", "sync-2"])
async def test_a_deployment_can_cut_its_connections(pair: Pair, kind: str, when: str) -> None:
    cut = pair.faults.add("cut", deployment="two", when=when)
    served = set[str]()
    async with open_inference(kind, pair.ready.endpoint, pair.ready.emulator.token, retry=None) as inference:
        for _ in range(30):
            with suppress(errors.Unavailable):
                served.add((await inference.chat()).headers[HEADER])
    assert served == {pair.one}
    assert cut.happened > 3


@pytest.mark.parametrize("kind", ["refuse", "goaway", "garbage", "content_type", "drip", "duplicate", "latency"])
def test_every_other_kind_of_fault_can_be_that_of_a_deployment(pair: Pair, kind: Any) -> None:
    options: dict[str, dict[str, Any]] = {"drip": {"size": 100, "seconds": 0}, "latency": {"seconds": 0.001}}
    fault = pair.faults.add(kind, deployment="two", times=3, **options.get(kind, {}))
    for _ in range(20):
        try:
            pair.outcomes(1)
        except errors.ProtocolError:
            assert kind in ("garbage", "content_type")
    assert fault.happened == 3


def test_faults_of_all_calls_and_those_of_a_deployment_are_counted_apart(pair: Pair) -> None:
    of_all = pair.faults.add("delay", seconds=0)
    of_two = pair.faults.add("error", deployment="two", nth=2, code="aborted")
    assert pair.outcomes() == {pair.one: {"ok"}, pair.two: {"ok", "aborted"}}
    assert (of_all.happened, of_two.happened) == (40, 1)


def test_a_fault_of_a_deployment_happens_to_no_call_of_the_api(pair: Pair) -> None:
    fault = pair.faults.add("error", deployment="two")
    assert len(pair.ready.client.deployments.list()) == 2
    assert len([*pair.inference.models.list()]) == 1
    assert fault.happened == 0


def test_a_fault_of_a_deployment_is_configured_on_the_command_line_too(pair: Pair) -> None:
    pair.faults.add_text("error deployment=two code=internal times=2")
    assert pair.outcomes()[pair.two] == {"ok", "internal"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"deployment": "two", "method": "GetGateway"}, "deployment cannot be combined with method"),
        ({"deployment": ""}, "deployment: expected the name or the id of one, got ''"),
        ({"deployment": 2}, "deployment: expected the name or the id of one, got 2"),
    ],
)
def test_a_fault_that_could_happen_to_nothing_is_refused(arguments: Any, problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        Emulator().faults.add("error", **arguments)
