"""What is known of the resources of one kind: reads go in, and what has changed since it was reported comes out.

It is level-based: what counts is the difference between what was reported and what is known, not what happened in
between. A response may be older than one that came before it. So what contradicts what is known does not count at once:
it is doubted until reads of some of it show whether the response was right.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final, Generic, NamedTuple, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from .. import types
from ..status import State, is_ready
from ._change import Change
from ._kinds import ChangeType, Kind

R = TypeVar("R", bound=types.Gateway | types.Deployment | types.CapacityClaim)

SECOND = 1_000_000_000
OVERLAP = 10 * SECOND
"""By how much lists of changes overlap: changes become visible late, and many have the same time."""
_MAX_GONE = 1000
"""How many removed resources are remembered, so that a late response does not bring them back."""
_MOVING = frozenset({State.CREATING, State.UPDATING, State.DELETING})
_SYNCED: Final = ""
"""The mark among the changed ids after which all first ones have been reported. No resource has it as id."""


class KnownRecord(NamedTuple):
    """A resource as it was last read, serialized: compact, and nobody can change it."""

    updated_at: int
    """What the server says, in nanoseconds."""
    data: bytes


class KnownTable(Generic[R]):
    """The resources of one kind."""

    def __init__(self, kind: Kind, message: type[R], covers: Callable[[R], bool] = lambda _: True) -> None:
        """Make an empty table; `covers` says whether a resource belongs in it."""
        self.kind: Kind = kind
        self.is_synced = False
        """Whether a full list was read."""
        self.is_reported = False
        """Whether all that was in it was reported."""
        self.reported: dict[str, KnownRecord] = {}
        """What was reported."""
        self.moving: set[str] = set()
        """Resources that change their state by themselves soon."""
        self.message_type = message
        self._covers = covers
        self._known: dict[str, KnownRecord] = {}
        self._changed = OrderedDict[str, None]()
        """Ids whose records may differ from what was reported, in the order in which they changed."""
        self.deleting: set[str] = set()
        """Resources that are DELETING: only a read by id shows when they are gone, no list of changes."""
        self.doubts: dict[str, R | None] = {}
        """What a response said that contradicts what is known: None that there is none."""
        self._gone: dict[str, int] = {}
        """Ids that were removed, and their last `updated_at`."""
        self._newest = 0

    @property
    def cursor(self) -> Timestamp | None:
        """The time to list changes after, by the server's clock; None if everything has to be listed."""
        after = self._newest - OVERLAP
        return Timestamp(seconds=after // SECOND, nanos=after % SECOND) if self.is_synced and after > 0 else None

    @property
    def waiting(self) -> int:
        """How much there may be to report."""
        return len(self._changed)

    def __contains__(self, id: str) -> bool:
        return id in self._known

    def merge(self, items: Iterable[R]) -> None:
        """Take in a list of changes."""
        for item in items:
            record = _record(item)
            self._newest = max(self._newest, record.updated_at)
            age = self._age(item.spec.id, record)
            if age is _Age.NEWS:
                self._put(item, record)
                self.doubts.pop(item.spec.id, None)  # left by a poll that failed
            elif age is _Age.UNCLEAR:
                self.doubts[item.spec.id] = item

    def replace(self, items: Iterable[R]) -> None:
        """Take in a list of all resources."""
        self._newest = 0
        self.doubts = dict.fromkeys(self._known)
        for item in items:
            key, record = item.spec.id, _record(item)
            self._newest = max(self._newest, record.updated_at)
            self.doubts.pop(key, None)
            age = self._age(key, record)
            if age is _Age.NEWS:
                self._put(item, record)
            elif age is not _Age.KNOWN:
                self.doubts[key] = item
        if not self.is_synced:
            self.is_synced = True
            self._changed[_SYNCED] = None

    def merge_one(self, id: str, found: R | None) -> bool:
        """Take in a resource that was read by its id, or None if there is none.

        Return False if there was a doubt, and what was known before is right.
        """
        is_doubted, said = id in self.doubts, self.doubts.pop(id, None)
        if found is None:
            self._remove(id)
            return not is_doubted or said is None
        record = _record(found)
        if is_doubted or self._age(id, record) is not _Age.OLDER:
            self._put(found, record)
        return not is_doubted or (said is not None and _record(said).data == record.data)

    def settle(self, *, believe: bool) -> None:
        """Take in what is still doubted, or forget it, after reads of some of it have shown whether it is right."""
        for key in [*self.doubts] if believe else ():
            self.merge_one(key, self.doubts[key])  # as one that is doubted: it may be older than what is known
        self.doubts.clear()

    def take(self) -> Change[R] | None:
        """Return the next change, and count it as reported; None if there is none."""
        while self._changed:
            key, _ = self._changed.popitem(last=False)
            if key == _SYNCED:
                self.is_reported = True
                return Change(self.kind, "synced")
            before, now = self.reported.get(key), self._known.get(key)
            if now is None:
                self.reported.pop(key, None)
            else:
                self.reported[key] = now
            if (before and before.data) != (now and now.data):
                return self._change(before, now)
        return None

    def _change(self, before: KnownRecord | None, now: KnownRecord | None) -> Change[R]:
        what: ChangeType = "added" if before is None else "changed" if now is not None else "removed"
        return Change(self.kind, what, self._message(now or before), self._message(before))

    def read(self, id: str) -> R | None:
        """Return what is known of a resource; None if there is none."""
        return self._message(self._known.get(id))

    def forget(self, id: str) -> None:
        """Follow a resource no more."""
        self._remove(id)
        self.doubts.pop(id, None)

    def _message(self, record: KnownRecord | None) -> R | None:
        if record is None:
            return None
        message: Any = self.message_type
        found: R = message.FromString(record.data)
        return found

    def _age(self, id: str, record: KnownRecord) -> "_Age":
        """Return how what was read relates to what is known."""
        known = self._known.get(id)
        if known is None and id in self._gone:
            return _Age.UNCLEAR if record.updated_at > self._gone[id] else _Age.OLDER
        if known is None:
            return _Age.NEWS
        if known.data == record.data:
            return _Age.KNOWN
        if record.updated_at == known.updated_at:
            return _Age.UNCLEAR
        return _Age.NEWS if record.updated_at > known.updated_at else _Age.OLDER

    def _put(self, item: R, record: KnownRecord) -> None:
        key = item.spec.id
        if not self._covers(item):
            self._remove(key)
            return
        known = self._known.get(key)
        if known is not None and known.data == record.data:
            return
        self._known[key] = record
        self._changed[key] = None
        self._gone.pop(key, None)
        state = State.of(item)
        _set(self.deleting, key, state is State.DELETING)
        _set(self.moving, key, state in _MOVING and not is_ready(item))

    def _remove(self, id: str) -> None:
        record = self._known.pop(id, None)
        self.moving.discard(id)
        self.deleting.discard(id)
        if record is None:
            return
        self._changed[id] = None
        self._gone[id] = record.updated_at
        if len(self._gone) > _MAX_GONE:
            del self._gone[next(iter(self._gone))]


class _Age(Enum):
    """How a response relates to what is known of a resource."""

    NEWS = "it is newer"
    KNOWN = "it is the same"
    OLDER = "it is older: a late response, or the server's clock was set back"
    UNCLEAR = "it has the same time, or is gone: it was changed or made anew, or this is a late response"


def _record(item: types.Gateway | types.Deployment | types.CapacityClaim) -> KnownRecord:
    return KnownRecord(nanoseconds(item.status.updated_at), item.SerializeToString(deterministic=True))


def nanoseconds(time: Timestamp) -> int:
    """Return a time in nanoseconds since 1970."""
    return time.seconds * SECOND + time.nanos


def _set(ids: set[str], id: str, is_in: bool) -> None:
    if is_in:
        ids.add(id)
    else:
        ids.discard(id)
