"""The names of telemetry are those of the installed semantic conventions, where these have them."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import opentelemetry.semconv._incubating.attributes
import opentelemetry.semconv._incubating.metrics
import opentelemetry.semconv.attributes
import pytest
from opentelemetry.semconv._incubating.attributes.rpc_attributes import RpcSystemNameValues
from opentelemetry.semconv.attributes.error_attributes import ErrorTypeValues
from opentelemetry.semconv.schemas import Schemas

from cwinference._telemetry import names
from cwinference._telemetry.names import METRICS, Metric
from cwinference.errors import CODES

OURS = {names.ATTEMPT, names.ATTEMPTS}
ATTRIBUTES = {
    *(value for name, value in vars(names).items() if name.isupper() and isinstance(value, str) and "." in value),
    *names.NUMBERS.values(),
} - {names.SCHEMA_VERSION, names.SCHEMA_URL}


def modules(*packages: ModuleType) -> Iterator[ModuleType]:
    for package in packages:
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


def constants(*packages: ModuleType) -> dict[str, str]:
    """The names that packages of conventions have, each with the documentation of its module."""
    return {
        value: name
        for module in modules(*packages)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }


KNOWN = constants(opentelemetry.semconv.attributes, opentelemetry.semconv._incubating.attributes)


class Meter:
    """Takes down what is created of it."""

    def __init__(self) -> None:
        self.created: dict[str, tuple[str, str]] = {}

    def __getattr__(self, name: str) -> Any:
        def create(**arguments: Any) -> None:
            self.created[arguments["name"]] = name, arguments["unit"]

        return create


def conventional_metrics() -> dict[str, tuple[str, str]]:
    meter = Meter()
    for module in modules(opentelemetry.semconv._incubating.metrics):
        for name, create in vars(module).items():
            if name.startswith(("create_gen_ai_client", "create_rpc_client")):
                create(meter)
    return meter.created


def test_the_schema_is_the_one_that_the_table_names() -> None:
    assert Schemas.V1_44_0.value == names.SCHEMA_URL
    assert names.SCHEMA_URL.endswith(names.SCHEMA_VERSION)


@pytest.mark.parametrize("attribute", sorted(ATTRIBUTES - OURS))
def test_an_attribute_is_one_of_the_conventions(attribute: str) -> None:
    assert attribute in KNOWN


def test_what_the_conventions_do_not_have_is_in_a_namespace_of_ours() -> None:
    assert all(name.startswith("cwinference.") for name in OURS)
    assert not OURS & KNOWN.keys()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_a_histogram_of_the_conventions_with_their_unit(metric: Metric) -> None:
    assert conventional_metrics()[metric.name] == ("create_histogram", metric.unit)
    assert list(metric.buckets) == sorted({*metric.buckets})
    assert set(metric.labels) <= KNOWN.keys()
    assert not [label for label in metric.labels if label.endswith((".id", "_id"))]


def test_values_are_those_of_the_conventions() -> None:
    gen_ai: Any = importlib.import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    assert {names.GRPC, names.CONNECT} <= {each.value for each in RpcSystemNameValues}
    assert {names.CHAT, names.TEXT} <= {each.value for each in gen_ai.GenAiOperationNameValues}
    assert {names.INPUT, names.OUTPUT} <= {each.value for each in gen_ai.GenAiTokenTypeValues}
    assert ErrorTypeValues.OTHER.value == names.OTHER


def test_every_code_has_the_name_that_grpc_gives_it() -> None:
    import grpc

    grpc_names = {code.name for code in grpc.StatusCode}
    assert {names.status_name(code) for code in CODES} == grpc_names - {"OK"}
    assert names.status_name("ok") == "OK"
    assert names.status_name("error") is names.status_name("protocol_error") is None
