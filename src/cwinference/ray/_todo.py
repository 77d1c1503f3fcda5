"""What a run has to send: the requests without a completion, kept in files until they are sent."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .._text import one_line
from ..errors import ConfigurationError
from ..inference.batch.manifest import refused
from . import _usage as usage
from ._prepared import COLUMNS, Prepared
from ._ray import ray_module
from ._source import read_completed, table_of
from ._store import Store
from ._usage import NONE, Counts, plus

log = logging.getLogger("cwinference.batch")

_ROWS_PER_PARTITION = 50_000
_MOST_PARTITIONS = 200
_MOST_DOUBLED = 100_000
"""How many keys may occur more than once: these are in the memory of the driver."""
_MOST_NAMED = 10
"""How many keys warnings name."""


class Todo(NamedTuple):
    """What a run has to do."""

    missing: int = 0
    """How many requests are to be sent,"""
    completed: int = 0
    """and how many are not, because they are completed."""
    changes: int = 0
    """How many are other requests than those that were completed under their keys: of the missing ones, with force."""
    changed: tuple[str, ...] = ()
    """The keys of some of these."""
    tokens: Counts = NONE
    """Those of the completed ones."""

    def plus(self, other: "Todo") -> "Todo":
        """Return both together."""
        return Todo(
            self.missing + other.missing,
            self.completed + other.completed,
            self.changes + other.changes,
            (*self.changed, *other.changed)[: _MOST_NAMED + 1],
            plus(self.tokens, other.tokens),
        )


class Finder(NamedTuple):
    """How requests are compared with completions. Ray's tasks get it pickled."""

    store: Store
    run: str
    nodes: int = 1
    force: bool = False
    """Whether those that have changed since they were completed are sent again."""

    def find(self, requests: Any, earlier: Sequence[str], rows_of: Callable[[int], int]) -> Todo:
        """Write the requests that have no completion, once for each `custom_id`, and return the counts.

        `rows_of` says of how many rows a file of them consists, given how many requests there are. The keys are
        joined, grouped and compared by Ray's tasks: none of them is in the memory of the driver, unless it occurs more
        than once.

        Raises:
            ConfigurationError: a request is another one than the one whose completion the folder has.
        """
        total, doubled = _count(requests, self.nodes)
        if not total:
            return Todo()
        if earlier:
            completed = read_completed(earlier, self.store.system)
            requests = requests.join(completed, "left_outer", partitions(total), on=("custom_id",))
        rows = rows_of(total)
        sink = _new_sink(self, doubled, rows)
        requests.write_datasink(sink)
        found: Todo = sink.found
        if doubled:
            found = found.plus(_settle(self, rows))
        self._report(found)
        return found

    def _report(self, found: Todo) -> None:
        """Say what has changed. Raises ConfigurationError unless that is to be sent again."""
        if found.changes and not self.force:
            raise refused(
                f"requests: {found.changed[0]!r} differs from the request that has a completion under this key in "
                f"{self.store.name}",
                "to send what has changed again",
                "out_dir",
            )
        if found.changes > _MOST_NAMED:
            log.warning("%d requests have changed since they were completed, and are sent again", found.changes)
            return
        for key in found.changed:
            log.warning("%s", one_line(f"{key!r} has changed since it was completed, and is sent again"))


def _count(requests: Any, partitions: int) -> tuple[int, frozenset[str]]:
    """Return how many requests there are, and the keys that occur more than once. Raises ConfigurationError."""
    arrow, compute = ray_module("pyarrow"), ray_module("pyarrow.compute")
    count = ray_module("ray.data.aggregate").Count(alias_name="n")

    def summed(table: Any) -> Any:
        doubled = table.filter(compute.greater(table["n"], 1))["custom_id"].slice(0, _MOST_DOUBLED + 1).to_pylist()
        return arrow.table({"total": [compute.sum(table["n"]).as_py() or 0], "doubled": [doubled]})

    keys = requests.select_columns(["custom_id"])
    grouped = keys.groupby("custom_id", num_partitions=partitions).aggregate(count)
    rows = grouped.map_batches(summed, batch_format="pyarrow", batch_size=None).take_all()
    found = [key for row in rows for key in row["doubled"] or ()]
    if len(found) > _MOST_DOUBLED:
        raise ConfigurationError(
            f"requests: more than {_MOST_DOUBLED:,} custom_ids occur more than once, {found[0]!r} among them; "
            "they have to be different, because the batch knows by them what is completed"
        )
    return sum(row["total"] for row in rows), frozenset(found)


def _settle(finder: Finder, rows: int) -> Todo:
    """Decide which of the requests with the same key is the one: what is completed, or else the first that is found.

    The others get a problem.
    """
    store, run, found, taken = finder.store, finder.run, Todo(), set[str]()
    same = _completed_as_they_are(finder)
    for task, table in enumerate(store.doubled(run)):
        kept: list[Prepared] = []
        changed: list[str] = []
        for row in table.to_pylist():
            key, completed = row["custom_id"], row.get("completed")
            is_changed = completed not in (None, row["digest"])
            is_first = key not in taken and not (is_changed and key in same)
            if is_first and not row["problem"]:
                taken.add(key)
                if is_changed:
                    changed.append(key)
                elif completed is not None:
                    prompt, completion, total = (row[name] for name in usage.COLUMNS)
                    found = found.plus(Todo(completed=1, tokens=(prompt, completion, total)))
                    continue
            row["problem"] = row["problem"] or ("" if is_first else f"duplicate custom_id {key!r}")
            kept.append(Prepared(*(row[name] for name in COLUMNS)))
        found = found.plus(Todo(len(kept), 0, len(changed), tuple(changed)))
        if kept:
            store.put_todo(run, f"doubled-{task:06}", table_of(kept), rows)
        if changed:
            store.put_changed(run, f"doubled-{task:06}", ray_module("pyarrow").table({"custom_id": changed}))
    return found


def _completed_as_they_are(finder: Finder) -> set[str]:
    """Return those of the keys put aside under which one of the requests itself is completed."""
    rows = (row for table in finder.store.doubled(finder.run) for row in table.to_pylist())
    return {row["custom_id"] for row in rows if row.get("completed") == row["digest"]}


def partitions(total: int) -> int:
    """Return into how many parts so many rows are divided for a join."""
    return max(2, min(_MOST_PARTITIONS, total // _ROWS_PER_PARTITION))


def _new_sink(finder: Finder, doubled: frozenset[str], rows: int) -> Any:
    """Return a datasink. After the run, its `found` says what was found."""

    def write(self: Any, blocks: Iterable[Any], context: Any) -> Todo:
        block_of = ray_module("ray.data.block").BlockAccessor.for_block
        arrow = ray_module("pyarrow")
        tables = [table for block in blocks if (table := block_of(block).to_arrow()).num_rows]
        if not tables:  # a partition of the join may have no rows
            return Todo()
        table = arrow.concat_tables(tables, promote_options="default")
        missing, found = _missing_in(finder, context.task_idx, table, doubled)
        if missing.num_rows:
            finder.store.put_todo(finder.run, f"{context.task_idx:06}", missing.select(list(COLUMNS)), rows)
        return found

    def on_write_complete(self: Any, result: Any) -> None:
        for each in result.write_returns:
            self.found = self.found.plus(each or Todo())

    members = {"write": write, "on_write_complete": on_write_complete, "found": Todo()}
    return type("TodoDatasink", (ray_module("ray.data").Datasink,), members)()


def _missing_in(finder: Finder, task: int, table: Any, doubled: frozenset[str]) -> tuple[Any, Todo]:
    """Return those rows of a table that are to be sent. A request with a problem is, whatever its key.

    Those with doubled keys are put aside.
    """
    arrow, compute = ray_module("pyarrow"), ray_module("pyarrow.compute")
    if doubled:
        is_doubled = compute.is_in(table["custom_id"], arrow.array(doubled, table["custom_id"].type))
        finder.store.put_doubled(finder.run, task, table.filter(is_doubled))
        table = table.filter(compute.invert(is_doubled))
    if "completed" not in table.column_names:
        return table, Todo(table.num_rows)
    has_none = compute.or_(compute.is_null(table["completed"]), compute.not_equal(table["problem"], ""))
    missing, others = table.filter(has_none), table.filter(compute.invert(has_none))
    differs = compute.not_equal(others["digest"], others["completed"])
    changes, same = others.filter(differs), others.filter(compute.invert(differs))
    if finder.force:
        finder.store.put_changed(finder.run, f"{task:06}", changes)
        missing = arrow.concat_tables([missing, changes])
    changed = changes["custom_id"].slice(0, _MOST_NAMED + 1).to_pylist()
    return missing, Todo(missing.num_rows, same.num_rows, changes.num_rows, tuple(changed), usage.sum_of(same))
