"""Writes the lines of a batch, as a datasink of Ray Data: Ray decides which task writes which rows."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from .._text import one_line
from ._ray import ray_module
from ._sharing import Done
from ._store import Store
from ._usage import NONE, plus, sum_of


class Written(NamedTuple):
    """What a task, or all of them, has written."""

    done: Done = Done()
    first_failure: str | None = None

    def plus(self, other: "Written") -> "Written":
        """Return both together."""
        first = self.first_failure if self.first_failure is not None else other.first_failure
        return Written(self.done.plus(other.done), first)


def write_lines(store: Store, run: str, blocks: Iterable[Any], task: int) -> Written:
    """Write the rows of a task, which have `line` and `is_completed`. Raises OSError."""
    block_of = ray_module("ray.data.block").BlockAccessor.for_block
    lines: dict[bool, list[bytes]] = {True: [], False: []}
    tokens = NONE
    for block in blocks:
        table = block_of(block).to_arrow()
        if table.num_rows:
            tokens = plus(tokens, sum_of(table))
            for line, is_completed in zip(table["line"].to_pylist(), table["is_completed"].to_pylist(), strict=True):
                lines[is_completed].append(line)
    store.put(run, task, b"".join(lines[True]), b"".join(lines[False]))
    return Written(Done(len(lines[True]), len(lines[False]), tokens), _first_failure(lines[False]))


def new_sink(store: Store, run: str) -> Any:
    """Return a datasink. After the run, its `written` says what was written."""

    def write(self: Any, blocks: Iterable[Any], context: Any) -> Written:
        # The index of a task stays the same when Ray repeats it, and so do its files.
        return write_lines(store, run, blocks, context.task_idx)

    def on_write_complete(self: Any, result: Any) -> None:
        for each in result.write_returns:
            self.written = self.written.plus(each or Written())

    # Made here because its base class is Ray's, which is not loaded before.
    members = {"write": write, "on_write_complete": on_write_complete, "written": Written()}
    return type("LinesDatasink", (ray_module("ray.data").Datasink,), members)()


def _first_failure(lines: list[bytes]) -> str | None:
    if not lines:
        return None
    failure = json.loads(lines[0])
    return one_line(f"{failure['custom_id']}: {failure['error']['message']}")
