"""What `force` replaces: completions of requests that have changed since. They go when the new ones are there.

A run that replaces completions says so in the folder before it sends anything. So the next one knows, should this one
be killed, that of two completions with the same key the one of that run stays.
"""

from collections.abc import Sequence
from typing import Any

from ._ray import ray_module
from ._source import read_completed, read_kept, read_places
from ._store import Store
from ._todo import partitions


def finish_replacing(store: Store, run: str, nodes: int) -> None:
    """Remove, in a new run, what former runs have replaced without having ended."""
    for former in store.replacing():
        written = store.completed_by(former)
        _remove(store, run, written, [path for path in store.completed() if path not in written], nodes)
        store.note_replacing(former, ended=True)


def remove_replaced(store: Store, run: str, earlier: Sequence[str], nodes: int, *, has_ended: bool) -> None:
    """Remove what a run has replaced; if it has ended, also the completions whose new requests have failed."""
    if has_ended:
        keys = read_kept(store.parts(store.changed(run)), store.system)
        _remove_keys(store, run, keys, earlier, nodes)
    else:
        _remove(store, run, store.completed_by(run), earlier, nodes)
    store.note_replacing(run, ended=True)


def _remove(store: Store, run: str, written: Sequence[str], earlier: Sequence[str], nodes: int) -> None:
    if written and earlier:
        _remove_keys(store, run, read_completed(written, store.system).select_columns(["custom_id"]), earlier, nodes)


def _remove_keys(store: Store, run: str, keys: Any, earlier: Sequence[str], nodes: int) -> None:
    """Remove the completions with these keys from files; Ray's tasks do that, since both may be many."""

    def remove(table: Any) -> Any:
        paths = ray_module("pyarrow.compute").unique(table["path"]).to_pylist()
        for path in paths:
            store.remove_keys(path, frozenset(table["custom_id"].to_pylist()), run)
        return table.slice(0, 0)

    places = read_places(earlier, store.system)
    found = places.join(keys, "left_semi", partitions(keys.count()), on=("custom_id",))
    for _ in found.groupby("path", num_partitions=nodes).map_groups(remove, batch_format="pyarrow").iter_batches():
        pass
