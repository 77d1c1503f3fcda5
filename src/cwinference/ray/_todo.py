"""What a run has to send: the requests without a completion, kept in files until they are sent."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import ConfigurationError
from ._prepared import COLUMNS, Prepared
from ._ray import ray_module
from ._source import read_completed, table_of
from ._store import Store
from ._usage import NONE, Counts, plus, sum_of

_ROWS_PER_PARTITION = 50_000
_MOST_PARTITIONS = 200
_MOST_DOUBLED = 100_000
"""How many keys may occur more than once: these are in the memory of the driver."""


class Todo(NamedTuple):
    """How many requests are missing, how many are completed, and one that is another than the completed one."""

    missing: int = 0
    completed: int = 0
    changed: str | None = None
    tokens: Counts = NONE
    """Those of the completed ones."""

    def plus(self, other: "Todo") -> "Todo":
        """Return both together."""
        changed = self.changed if self.changed is not None else other.changed
        tokens = plus(self.tokens, other.tokens)
        return Todo(self.missing + other.missing, self.completed + other.completed, changed, tokens)


def find_todo(
    store: Store, run: str, requests: Any, earlier: Sequence[str], nodes: int, rows_of: Callable[[int], int]
) -> Todo:
    """Write the requests that have no completion, once for each `custom_id`, and return the counts.

    `rows_of` says of how many rows a file of them consists, given how many requests there are. The keys are joined,
    grouped and compared by Ray's tasks: none of them is in the memory of the driver, unless it occurs more than once.

    Raises:
        ConfigurationError: a request is another one than the one whose completion the folder has.
    """
    total, doubled = _count(requests, nodes)
    if not total:
        return Todo()
    if earlier:
        completed = read_completed(earlier, store.system)
        requests = requests.join(completed, "left_outer", _partitions(total), on=("custom_id",))
    rows = rows_of(total)
    sink = _new_sink(store, run, doubled, rows)
    requests.write_datasink(sink)
    found: Todo = sink.found
    if doubled:
        found = found.plus(_settle(store, run, rows))
    if found.changed is not None:
        raise ConfigurationError(
            f"requests: {found.changed!r} is another request than the one whose completion {store.name} has; use "
            "another out_dir, or another custom_id"
        )
    return found


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


def _settle(store: Store, run: str, rows: int) -> Todo:
    """Decide which of the requests with the same key is the one: what is completed, or else the first that is found.

    The others get a problem.
    """
    taken: set[str] = set()
    missing = completed = 0
    for task, table in enumerate(store.doubled(run)):
        kept: list[Prepared] = []
        for row in table.to_pylist():
            is_first = row["custom_id"] not in taken and row.get("completed") in (None, row["digest"])
            if is_first and not row["problem"]:
                taken.add(row["custom_id"])
                if row.get("completed") is not None:
                    completed += 1
                    continue
            row["problem"] = row["problem"] or ("" if is_first else f"duplicate custom_id {row['custom_id']!r}")
            kept.append(Prepared(*(row[name] for name in COLUMNS)))
        missing += len(kept)
        if kept:
            store.put_todo(run, f"doubled-{task:06}", table_of(kept), rows)
    return Todo(missing, completed)


def _partitions(total: int) -> int:
    return max(2, min(_MOST_PARTITIONS, total // _ROWS_PER_PARTITION))


def _new_sink(store: Store, run: str, doubled: frozenset[str], rows: int) -> Any:
    """Return a datasink. After the run, its `found` says what was found."""

    def write(self: Any, blocks: Iterable[Any], context: Any) -> Todo:
        block_of = ray_module("ray.data.block").BlockAccessor.for_block
        arrow = ray_module("pyarrow")
        tables = [table for block in blocks if (table := block_of(block).to_arrow()).num_rows]
        if not tables:  # a partition of the join may have no rows
            return Todo()
        table = arrow.concat_tables(tables, promote_options="default")
        missing, found = _missing_in(store, run, context.task_idx, table, doubled)
        if missing.num_rows:
            store.put_todo(run, f"{context.task_idx:06}", missing.select(list(COLUMNS)), rows)
        return found

    def on_write_complete(self: Any, result: Any) -> None:
        for each in result.write_returns:
            self.found = self.found.plus(each or Todo())

    members = {"write": write, "on_write_complete": on_write_complete, "found": Todo()}
    return type("TodoDatasink", (ray_module("ray.data").Datasink,), members)()


def _missing_in(store: Store, run: str, task: int, table: Any, doubled: frozenset[str]) -> tuple[Any, Todo]:
    """Return those rows of a table that have no completion. A request with a problem has none, whatever its key.

    Those with doubled keys are put aside.
    """
    compute = ray_module("pyarrow.compute")
    if doubled:
        is_doubled = compute.is_in(table["custom_id"], ray_module("pyarrow").array(doubled, table["custom_id"].type))
        store.put_doubled(run, task, table.filter(is_doubled))
        table = table.filter(compute.invert(is_doubled))
    if "completed" not in table.column_names:
        missing, completed, changed, tokens = table, 0, None, NONE
    else:
        has_none = compute.or_(compute.is_null(table["completed"]), compute.not_equal(table["problem"], ""))
        missing = table.filter(has_none)
        others = table.filter(compute.invert(has_none))
        differs = compute.not_equal(others["digest"], others["completed"])
        changes = others.filter(differs)
        completed, tokens = others.num_rows, sum_of(others)
        changed = changes["custom_id"][0].as_py() if changes.num_rows else None
    return missing, Todo(missing.num_rows, completed, changed, tokens)
