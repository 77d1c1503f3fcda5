"""What exists, as plans see it: read as JSON, so that fields which this release does not know are noticed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import errors
from .._calls.flow import Flow
from .._calls.rpc import Rpc, listed
from ..following._kinds import Kind
from ..resources._comparison import fingerprint
from ..status import State
from ._kinds import SECTIONS
from ._plan import Seen

Groups = Mapping[Kind, Any]
"""The groups of a client's methods: `client.gateways` and so on."""
Timeout = Callable[[], float | None]
"""Returns the timeout of the next call."""


@dataclass(frozen=True)
class LiveResource:
    """A resource that exists.

    Attributes:
        kind: its kind.
        resource: its message.
        unknown: the paths of fields of its spec that this release does not know.
    """

    kind: Kind
    resource: Any
    unknown: Sequence[str] = ()

    @property
    def id(self) -> str:
        return str(self.resource.spec.id)

    @property
    def name(self) -> str:
        return str(self.resource.spec.name)

    @property
    def seen(self) -> Seen:
        """What a plan keeps of it."""
        return Seen(self.kind, self.name, self.id, fingerprint(self.resource.spec, self.unknown))


@dataclass
class LiveState:
    """What exists, by kind and name. What is being deleted is as good as gone, and only its name matters."""

    by_name: dict[Kind, dict[str, LiveResource]] = field(default_factory=dict[Kind, dict[str, LiveResource]])
    deleting: dict[Kind, dict[str, Any]] = field(default_factory=dict[Kind, dict[str, Any]])

    def find(self, kind: Kind, name: str) -> LiveResource | None:
        """Return the resource of that name; None if there is none."""
        return self.by_name[kind].get(name)

    def of(self, kind: Kind) -> Iterator[LiveResource]:
        """Return all of a kind."""
        return iter(self.by_name[kind].values())

    @property
    def gateway_names(self) -> dict[str, str]:
        """The names of gateways by their ids."""
        return {each.id: each.name for each in self.of("gateway")}


def read_live(groups: Groups, timeout: Timeout, retry: Any, matters: Callable[[Kind, Any], bool]) -> Flow[LiveState]:
    """List everything.

    A list does not show which of its items has a field that this release does not know. If one has, those that matter
    are read one by one.
    """
    state = LiveState()
    for section in SECTIONS:
        group = groups[section.kind]
        resources, unknown = yield from list_as_json(group, timeout(), retry)
        prefix = f"{group._listed}.spec"
        is_new = any(each.startswith(prefix) for each in unknown)
        live: dict[str, LiveResource] = {}
        deleting: dict[str, Any] = {}
        for resource in resources:
            if State.of(resource) is State.DELETING:
                deleting[resource.spec.name] = resource
            elif not is_new or not matters(section.kind, resource):
                live[resource.spec.name] = LiveResource(section.kind, resource)
            else:
                found = yield from read_one(group, section.kind, resource.spec.id, timeout(), retry)
                if found is not None and State.of(found.resource) is not State.DELETING:
                    live[found.name] = found
        state.by_name[section.kind], state.deleting[section.kind] = live, deleting
    return state


def list_as_json(group: Any, timeout: float | None, retry: Any) -> Flow[tuple[list[Any], list[str]]]:
    """Return all resources of a kind, and the paths of fields that this release does not know."""
    unknown: list[str] = []
    call = Rpc(group._list_request(), listed(group._listed), timeout, retry, as_json=True, unknown_fields=unknown)
    resources: list[Any] = yield from perform(group, call)
    return resources, unknown


def perform(group: Any, call: Rpc[Any]) -> Flow[Any]:
    """Perform a call of a client."""
    flow: Flow[Any] = group._do(call)
    return flow


def read_one(group: Any, kind: Kind, id: str, timeout: float | None, retry: Any) -> Flow[LiveResource | None]:
    """Return a resource; None if it is gone."""
    reading: Flow[tuple[Any, Sequence[str]]] = group._read_as_json(id, timeout, retry)
    try:
        resource, unknown = yield from reading
    except errors.NotFound:
        return None
    prefix = f"{group._field}."
    return LiveResource(
        kind, resource, [each.removeprefix(prefix) for each in unknown if each.startswith(f"{prefix}spec")]
    )
