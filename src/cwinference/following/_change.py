"""A change, as watches and caches report it, and the line of the log that says the same."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .. import types
from .._html import Displayed, Table
from ..status import name_of, state_text
from ._kinds import ChangeType, Kind

log = logging.getLogger("cwinference")

R = TypeVar("R", bound=types.Gateway | types.Deployment | types.CapacityClaim)


@dataclass(frozen=True, slots=True)
class Change(Displayed, Generic[R]):
    """Something that a watch or a cache has seen to change, printed as one line. Its messages are the receiver's own.

    Attributes:
        kind: "gateway", "deployment" or "capacity_claim".
        type: "added", "changed" or "removed"; "synced" once for each kind, when all that were there at first have been
            reported.
        resource: the resource as it is now; of a removed one, as it was last seen; None for "synced".
        before: the resource as it was reported before; None if it was not.
    """

    kind: Kind
    type: ChangeType
    resource: R | None = None
    before: R | None = None

    def __str__(self) -> str:
        if self.resource is None:
            return f"{self.kind}: {self.type}"
        return f"{name_of(self.resource)}: {_text(self, self.resource)}"

    def _as_tables(self) -> Iterable[Table]:
        subject, _, what = str(self).partition(": ")
        yield Table([(subject, what)])


def log_change(change: Change[R], count: int) -> None:
    """Log what has changed, on one line; what was there at first only as a count."""
    if change.type == "synced":
        log.info("%s: %d found", change.kind, count)
    elif change.resource is not None and log.isEnabledFor(logging.INFO):
        log.info("%s", change)


def _text(change: Change[R], resource: R) -> str:
    now, before = state_text(resource), change.before
    if before is None or change.type == "removed":
        return f"{change.type}, {now}"
    state = now if state_text(before) == now else f"{state_text(before)} -> {now}"
    return f"{state}, spec changed" if resource.spec != before.spec else state
