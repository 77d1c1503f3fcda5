"""What is made from telemetry's table of names: a dashboard for Grafana, and a table of metrics."""

import json
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from cwinference._telemetry import names
from cwinference._telemetry.names import METRICS, Metric

from . import tables

_UNITS = {"s": "_seconds", "{token}": ""}
_QUANTILES = (0.5, 0.9, 0.99)
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2

Panel = tuple[str, str, Sequence[tuple[str, str]]]
"""A title, a unit of Grafana, and queries with the legends of their lines."""


def prometheus_name(metric: Metric) -> str:
    """Return a metric's name in Prometheus: dots become underscores, a unit is a suffix but for one in braces."""
    return label_name(metric.name) + _UNITS[metric.unit]


def label_name(attribute: str) -> str:
    """Return an attribute's name in Prometheus."""
    return attribute.replace(".", "_")


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    return {
        "title": "cwinference",
        "uid": "cwinference",
        "description": f"Calls and completions of cwinference; semantic conventions {names.SCHEMA_VERSION}.",
        "tags": ["cwinference", "opentelemetry"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    calls, completions = (f"{prometheus_name(each)}_count" for each in (names.CALL_DURATION, names.OPERATION_DURATION))
    for name, label, series in (
        ("job", "job", f'{{__name__=~"{calls}|{completions}"}}'),
        ("model", label_name(names.REQUEST_MODEL), completions),
    ):
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": _SOURCE,
            "query": f"label_values({series}, {label})",
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panels() -> Iterator[dict[str, Any]]:
    identity, top = count(1), 0
    for title, panels in _ROWS:
        place = _at(top, 0, _WIDTH * _COLUMNS, 1)
        yield {"id": next(identity), "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": place}
        for index, panel in enumerate(panels):
            line, column = divmod(index, _COLUMNS)
            place = _at(top + 1 + line * _HEIGHT, column * _WIDTH, _WIDTH, _HEIGHT)
            yield {"id": next(identity), "gridPos": place, **_chart(*panel)}
        top += 1 + -(-len(panels) // _COLUMNS) * _HEIGHT


def _chart(title: str, unit: str, queries: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": letter, "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for letter, (expression, legend) in zip("ABCDEF", queries, strict=False)
        ],
    }


def _at(y: int, x: int, width: int, height: int) -> dict[str, int]:
    return {"h": height, "w": width, "x": x, "y": y}


def _rate(metric: Metric, part: str, by: Sequence[str], *, failed: bool = False) -> str:
    """Return the query of a rate: of a histogram's `count`, `sum` or `bucket`, by labels."""
    conditions = ['job=~"$job"']
    if names.REQUEST_MODEL in metric.labels:
        conditions.append(f'{label_name(names.REQUEST_MODEL)}=~"$model"')
    if failed:
        conditions.append(f'{label_name(names.ERROR_TYPE)}!=""')
    assert {each for each in by if each != "le"} <= set(metric.labels), f"{metric.name} has no such label: {by}"
    labels = ", ".join(map(label_name, by))
    return f"sum by ({labels}) (rate({prometheus_name(metric)}_{part}{{{', '.join(conditions)}}}[$__rate_interval]))"


def _rates(metric: Metric, part: str, by: Sequence[str], *, failed: bool = False) -> Sequence[tuple[str, str]]:
    return [(_rate(metric, part, by, failed=failed), " ".join(f"{{{{{label_name(each)}}}}}" for each in by))]


def _quantiles(metric: Metric, by: Sequence[str]) -> Sequence[tuple[str, str]]:
    legend = " ".join(f"{{{{{label_name(each)}}}}}" for each in by)
    buckets = _rate(metric, "bucket", ["le", *by])
    return [(f"histogram_quantile({share}, {buckets})", f"p{share * 100:g} {legend}".strip()) for share in _QUANTILES]


_MODEL = [names.REQUEST_MODEL]
_ROWS: Sequence[tuple[str, Sequence[Panel]]] = [
    (
        "Management",
        [
            ("Calls by method", "reqps", _rates(names.CALL_DURATION, "count", [names.RPC_METHOD])),
            (
                "Failed calls by code",
                "reqps",
                _rates(names.CALL_DURATION, "count", [names.RPC_METHOD, names.ERROR_TYPE], failed=True),
            ),
            ("Duration of calls", "s", _quantiles(names.CALL_DURATION, [])),
            ("Calls by server", "reqps", _rates(names.CALL_DURATION, "count", [names.SERVER_ADDRESS])),
        ],
    ),
    (
        "Completions",
        [
            ("Completions by model", "reqps", _rates(names.OPERATION_DURATION, "count", _MODEL)),
            (
                "Failed completions by code",
                "reqps",
                _rates(names.OPERATION_DURATION, "count", [*_MODEL, names.ERROR_TYPE], failed=True),
            ),
            ("Duration of completions", "s", _quantiles(names.OPERATION_DURATION, _MODEL)),
            ("Completions by server", "reqps", _rates(names.OPERATION_DURATION, "count", [names.SERVER_ADDRESS])),
            ("Tokens per second", "short", _rates(names.TOKEN_USAGE, "sum", [*_MODEL, names.TOKEN_TYPE])),
            ("Tokens of a completion", "short", _quantiles(names.TOKEN_USAGE, [names.TOKEN_TYPE])),
        ],
    ),
    (
        "Streams",
        [
            ("Time to first chunk", "s", _quantiles(names.TIME_TO_FIRST_CHUNK, _MODEL)),
            ("Time per output chunk", "s", _quantiles(names.TIME_PER_OUTPUT_CHUNK, _MODEL)),
        ],
    ),
]


def table() -> str:
    """Return the metrics as a Markdown table."""
    return tables.table(
        ("metric", "in Prometheus", "what it measures", "labels"),
        (
            (
                f"`{metric.name}`",
                f"`{prometheus_name(metric)}`",
                metric.description,
                ", ".join(f"`{label}`" for label in metric.labels),
            )
            for metric in METRICS
        ),
    )


def dashboard_text() -> str:
    """Return the dashboard as the file has it."""
    return json.dumps(dashboard(), indent=2) + "\n"
