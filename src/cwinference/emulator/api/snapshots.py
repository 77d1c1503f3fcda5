"""Snapshots: all resources as JSON, with what is planned for them, and the way back.

Plans are in seconds from the moment of the snapshot: what was to happen in 5 seconds happens 5 seconds after it is put
back, however late that is.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from ..._text import one_line
from ..clock import SECOND
from ..interfaces import RpcError
from .journal import JournalRow
from .store import RecordStore
from .tables import Record, Step

_KEYS = {"kind", "resource", "plan", "notes"}


def take(store: RecordStore) -> Sequence[Mapping[str, Any]]:
    """Return all records in the order of their creation, as JSON objects."""
    records = sorted((each for table in store.tables.values() for each in table), key=lambda each: each.number)
    now = store.clock.now()
    return [_to_json(each, now) for each in records]


def read(
    value: object, message_types: Mapping[str, type[Message]], steps: Mapping[str, Collection[str]], now: int
) -> Sequence[JournalRow]:
    """Return the records of a snapshot.

    Args:
        value: what `take` returned.
        message_types: the message type of each kind.
        steps: the names of the steps of each kind.
        now: the time from which the plans count, in nanoseconds.

    Raises:
        RpcError: (invalid_argument) the value is no snapshot.
    """
    if not isinstance(value, list):
        raise _invalid("resources", "expected a list")
    rows = [
        _row(each, f"resources[{index}]", message_types, steps, now)
        for index, each in enumerate(cast(list[object], value))
    ]
    _check_consistency(rows)
    return rows


def _to_json(record: Record, now: int) -> Mapping[str, Any]:
    return {
        "kind": record.kind,
        "resource": MessageToDict(record.message),
        "plan": [{"step": step, "in_seconds": (due - now) / SECOND} for due, step in record.plan],
        "notes": dict(record.notes),
    }


def _row(
    value: object,
    location: str,
    message_types: Mapping[str, type[Message]],
    steps: Mapping[str, Collection[str]],
    now: int,
) -> JournalRow:
    fields = _object(value, location)
    if unknown := sorted(fields.keys() - _KEYS):
        raise _invalid(location, f"unknown key {unknown[0]!r}; known keys are {', '.join(sorted(_KEYS))}")
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in message_types:
        raise _invalid(f"{location}.kind", f"expected one of {', '.join(message_types)}, got {kind!r}")
    message: Any = message_types[kind]()
    try:
        ParseDict(_object(fields.get("resource"), f"{location}.resource"), message)
    except ParseError as error:
        raise _invalid(f"{location}.resource", one_line(str(error))) from None
    if not message.spec.id or not message.spec.organization_id or not message.HasField("status"):
        raise _invalid(f"{location}.resource", "expected a spec with id and organizationId, and a status")
    plan = list(_steps(fields.get("plan", []), f"{location}.plan", steps[kind], now))
    return JournalRow(kind, 0, message, plan, _object(fields.get("notes", {}), f"{location}.notes"))


def _steps(value: object, location: str, names: Collection[str], now: int) -> Iterator[Step]:
    if not isinstance(value, list):
        raise _invalid(location, "expected a list")
    for index, each in enumerate(cast(list[object], value)):
        step = _object(each, f"{location}[{index}]")
        name, seconds = step.get("step"), step.get("in_seconds")
        if not isinstance(name, str) or name not in names:
            raise _invalid(f"{location}[{index}].step", f"expected one of {', '.join(names)}, got {name!r}")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or abs(seconds) > 1e9:
            raise _invalid(f"{location}[{index}].in_seconds", f"expected a number of seconds, got {seconds!r}")
        yield now + round(seconds * SECOND), name


def _check_consistency(rows: Sequence[JournalRow]) -> None:
    seen: set[tuple[str, ...]] = set()
    for index, row in enumerate(rows):
        spec = row.message.spec
        own: list[tuple[str, ...]] = [(row.kind, "id", spec.id)]
        if row.kind != "hot_load":
            own.append((row.kind, "name", spec.organization_id, spec.name))
        elif ("deployment", "id", spec.deployment_id) not in seen:
            raise _invalid(f"resources[{index}]", f"no deployment {spec.deployment_id!r} before it")
        for each in own:
            if each in seen:
                raise _invalid(f"resources[{index}]", f"another {row.kind} has the {each[1]} {each[-1]!r}")
        seen.update(own)


def _object(value: object, location: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(location, "expected an object")
    return cast(dict[str, Any], value)


def _invalid(location: str, text: str) -> RpcError:
    return RpcError("invalid_argument", f"{location}: {text}")
