"""Views: what a cache knows of one kind of resource at one moment. A view never changes; a change makes a new one."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from inspect import Signature
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from .. import types
from ._change import Change
from ._table import KnownRecord, KnownTable

R = TypeVar("R", bound=types.Gateway | types.Deployment | types.CapacityClaim)

Index: TypeAlias = Mapping[str, tuple[str, ...]]
"""Ids by what they have in common."""

_Keys: TypeAlias = Callable[[Any], Collection[str]]


class View(Mapping[str, R], Generic[R]):
    """The resources of one kind, by their ids, as of the last poll before it was asked for: read-only.

    What it returns is the reader's own: a change of it changes nothing else.
    """

    _keys: ClassVar[Mapping[str, _Keys]] = {"name": lambda each: (each.spec.name,)}
    """What resources are found by, other than their ids."""
    __signature__ = Signature()  # users do not construct one

    def __init__(self, message: type[R], records: Mapping[str, KnownRecord], indices: Mapping[str, Index]) -> None:
        self._message = message
        self._records = records
        self._indices = indices

    @classmethod
    def _empty(cls, table: KnownTable[R]) -> "View[R]":
        """Return a view of nothing."""
        return cls(table.message_type, {}, {name: {} for name in cls._keys})

    def _after(self, records: Mapping[str, KnownRecord], changes: Sequence[Change[R]]) -> "View[R]":
        """Return the view after some changes."""
        # Most changes are of a status alone, which moves nothing.
        moves = [each for each in changes if _may_move(each)]
        indices = {name: _moved(self._indices[name], moves, keys) for name, keys in self._keys.items()}
        return type(self)(self._message, records, indices)

    def __getitem__(self, id: str) -> R:
        message: Any = self._message
        found: R = message.FromString(self._records[id].data)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: object) -> bool:
        return id in self._records

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} {self._message.DESCRIPTOR.name}s>"

    def named(self, name: str) -> R | None:
        """Return the resource of that name, or None. While an old one of that name is being deleted, the newer one."""
        found = self._indices["name"].get(name)
        return self[found[-1]] if found else None

    def _all(self, index: str, key: str) -> Sequence[R]:
        return [self[each] for each in self._indices[index].get(key, ())]


def empty_view(kind: type[View[Any]], table: KnownTable[Any]) -> View[Any]:
    """Return a view of nothing."""
    return kind._empty(table)  # pyright: ignore[reportPrivateUsage]


def view_after(view: View[R], records: Mapping[str, KnownRecord], changes: Sequence[Change[R]]) -> View[R]:
    """Return a view after some changes, given all records as they are then."""
    return view._after(records, changes)  # pyright: ignore[reportPrivateUsage]


class DeploymentView(View[types.Deployment]):
    """The deployments, also by gateway and by model."""

    _keys: ClassVar[Mapping[str, _Keys]] = {
        **View[types.Deployment]._keys,
        "gateway": lambda each: {*map(str.lower, each.spec.gateway_ids)},
        "model": lambda each: (each.spec.model.name,),
    }

    def of_gateway(self, gateway_id: str) -> Sequence[types.Deployment]:
        """Return the deployments behind a gateway, in the order in which they appeared."""
        return self._all("gateway", gateway_id.lower())

    def of_model(self, name: str) -> Sequence[types.Deployment]:
        """Return the deployments that serve a model, by the name that clients request."""
        return self._all("model", name)


def _may_move(change: Change[Any]) -> bool:
    resource, before = change.resource, change.before
    return resource is not None and (before is None or change.type == "removed" or resource.spec != before.spec)


def _moved(index: Index, changes: Iterable[Change[Any]], keys: _Keys) -> Index:
    """Return an index after some changes. It shares what they leave as it is."""
    touched: dict[str, dict[str, None]] = {}
    for change in changes:
        if change.resource is None:
            continue
        id_ = change.resource.spec.id
        before = () if change.before is None else keys(change.before)
        after = () if change.type == "removed" else keys(change.resource)
        for key in {*before}.symmetric_difference(after):
            ids = touched.setdefault(key, dict.fromkeys(index.get(key, ())))
            if key in after:
                ids[id_] = None
            else:
                ids.pop(id_, None)
    if not touched:
        return index
    return {**index, **{key: tuple(ids) for key, ids in touched.items()}}
