"""`client.rollout`: traffic from one deployment to another, step by step, with a way back."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from inspect import Signature
from itertools import pairwise
from typing import Any, Self, overload

from .. import errors
from .._arguments import check_at_least, check_callback, check_id, shown
from .._calls.drivers import AsyncDriver, SyncDriver
from .._calls.flow import Flow
from .._calls.operation import AsyncOwner, Mode, Resource, SyncOwner, operation
from .._html import Displayed, Table
from ._engine import Engine, Intent, OnStep
from ._gate import is_async
from ._journal import RolloutJournal
from ._pair import Deck
from ._step import Gate, Outcome, Step
from .gates import ready


class Rollout(Resource[Mode], Displayed):
    """A rollout, as `client.rollout(...)` or `Rollout.resume(client, journal)` returns it; awaited on `AsyncClient`.

    Attributes:
        journal: the path of its journal.
    """

    __signature__ = Signature()  # users do not construct one

    def __init__(self, driver: Mode, intent: Intent | None, journal: RolloutJournal, gate: Gate | None) -> None:
        self._driver: Mode = driver
        self._intent = intent
        self._file = journal
        self._gate = _checked_gate(gate, driver)

    @overload
    @staticmethod
    def resume(
        client: SyncOwner, journal: "str | os.PathLike[str]", gate: Gate | None = None
    ) -> "Rollout[SyncDriver]": ...
    @overload
    @staticmethod
    def resume(
        client: AsyncOwner, journal: "str | os.PathLike[str]", gate: Gate | None = None
    ) -> "Rollout[AsyncDriver]": ...
    @staticmethod
    def resume(client: Any, journal: "str | os.PathLike[str]", gate: Gate | None = None) -> "Rollout[Any]":
        """Return a rollout that was begun earlier, such as by a process that was killed. `run()` continues it.

        This only reads the journal.

        Args:
            client: a client of the same organization; an `AsyncClient` returns a rollout with coroutines.
            journal: the path of its journal.
            gate: decides after each step, as in `client.rollout`; the journal does not contain it.

        Raises:
            ConfigurationError: the journal does not exist, is damaged or is another file; or `gate` is not a gate.
        """
        file = RolloutJournal(journal)
        file.read()
        return Rollout(client._driver, None, file, gate)

    @property
    def journal(self) -> str:
        """The path of its journal."""
        return str(self._file.path)

    @operation
    def run(self, *, on_step: Callable[[Step], object] | None = None) -> Flow[Outcome]:
        """Do the rest of the rollout, and return how it ended: "promoted", "reverted" or "paused".

        It is "promoted" once the last weights were read back, and "reverted" once the former ones were. When it is
        "paused", the weights stay as they are, and you can call `run()` to continue or `revert()` to go back. The same
        is true after any error, because the journal contains the progress.

        Args:
            on_step: called with each `Step` when the API shows its weights, and with each that is skipped. Without
                effect on the rollout, unless it raises.

        Raises:
            ConfigurationError: the two deployments do not match each other, have fields that a write would reset, or
                the journal is in use; or the gate returned something other than a verdict, which pauses the rollout.
            NotFound: there is no such deployment.
            FailedPrecondition: one of them is not READY at the beginning, or a hot-load is in progress.
            Conflict: somebody else has changed or deleted one of them. Nothing more is written.
            ResourceFailed: the old one has failed, or was in ERROR for longer than `patience`, so that no traffic can
                go back to it. (If the new one has, the rollout is reverted.)
            Exception: whatever the gate raises, which pauses the rollout.
        """
        check_callback(on_step, "on_step")
        return self._run(on_step)

    @operation
    def revert(self) -> Flow[Outcome]:
        """Restore the former weights, autoscaling and `disabled` of both deployments, and return "reverted".

        Other parts of their specs stay as they are, whoever has changed them. This may be called again, also after
        "promoted", as long as the journal exists.

        Raises:
            ConfigurationError: the rollout has not begun, so that there is no journal; or the journal is in use.
            FailedPrecondition: a hot-load is in progress.
            ResourceFailed, WaitTimeout: a deployment that is to get traffic back is not READY, and got none.
            Conflict: one of them is gone; the other one is restored nevertheless.
        """
        return self._revert()

    def __await__(self) -> Generator[Any, None, Self]:
        """Return the rollout itself, so that `await async_client.rollout(...)` works as well."""
        return self
        yield

    def __repr__(self) -> str:
        return f"<Rollout, {self._file}>"

    def _as_tables(self) -> Iterable[Table]:
        try:
            found = progress_of(self.journal)
        except errors.ConfigurationError:  # it has not begun, for example
            return [Table([("journal", self.journal)])]
        rows = [("phase", found["phase"]), ("step", f"{found['step']} of {found['of']}, {found['percent']:g} %")]
        rows += ((side, f"{found[side]['name']}, formerly {found[side]['formerWeight']}") for side in ("new", "old"))
        rows += ("note", found["note"]), ("journal", self.journal)
        return [Table([each for each in rows if each[1]])]

    def _engine(self) -> Engine:
        return Engine(Deck(self._driver), self._file, self._gate)

    def _run(self, on_step: OnStep | None) -> Flow[Outcome]:
        with self._file.in_use():
            engine = self._engine()
            if self._intent is None:
                record = self._file.read()
            else:
                self._file.refuse_existing()
                record = yield from engine.begin(self._intent)
                self._intent = None  # from now on the journal says what is to be done
            if record.phase == "promoted" or record.phase == "reverted":
                return record.phase
            if record.phase == "reverting":
                return (yield from engine.restore(record, is_forced=record.is_forced))
            return (yield from engine.climb(record, on_step))

    def _revert(self) -> Flow[Outcome]:
        if self._intent is not None:
            raise errors.ConfigurationError("revert: the rollout has not begun; run() begins it")
        with self._file.in_use():
            return (yield from self._engine().restore(self._file.read(), is_forced=True))


def progress_of(journal: "str | os.PathLike[str]") -> dict[str, Any]:
    """Return how far the rollout of a journal has come, in words that fit JSON. Raises ConfigurationError.

    `isRun` is whether a process does it now; None where the system does not say.
    """
    file = RolloutJournal(journal)
    is_held = file.is_held()  # asked first: one that ends in between has then written how
    record = file.read()
    sides = {
        name: {"id": each.id, "name": each.name, "formerWeight": each.weight}
        for name, each in (("new", record.new), ("old", record.old))
    }
    return {
        "rollout": record.rollout,
        "phase": record.phase,
        "isRun": is_held if record.phase in ("running", "reverting") else False,
        "note": record.note,
        "step": record.step + 1,
        "of": len(record.steps),
        "percent": record.steps[record.step],
        **sides,
    }


def planned(
    driver: Mode,
    new: str,
    *,
    replaces: str,
    steps: Sequence[float],
    soak: float,
    gate: Gate | None,
    journal: "str | os.PathLike[str]",
    patience: float,
) -> Rollout[Mode]:
    """Return a rollout that is about to begin. Raises ConfigurationError for an argument that is wrong."""
    intent = Intent(
        check_id(new, "new"),
        check_id(replaces, "replaces"),
        _checked_steps(steps),
        check_at_least(0, soak, "soak"),
        check_at_least(0, patience, "patience"),
    )
    if new == replaces:
        raise errors.ConfigurationError("replaces: a deployment cannot replace itself; name another one")
    file = RolloutJournal(journal)
    file.refuse_existing()
    return Rollout(driver, intent, file, gate)


def _checked_steps(steps: Sequence[float]) -> Sequence[float]:
    """Return the shares of the steps, in percent."""
    if isinstance(steps, str) or not isinstance(steps, Sequence) or not steps:
        raise errors.ConfigurationError(
            f"steps: expected shares in percent, such as (1, 5, 25, 100), got {shown(steps)}"
        )
    for each in steps:
        if isinstance(each, bool) or not isinstance(each, int | float) or not 0.1 <= each <= 100:
            raise errors.ConfigurationError(f"steps: expected shares from 0.1 to 100 percent, got {shown(each)}")
    if any(before >= after for before, after in pairwise(steps)):
        raise errors.ConfigurationError(f"steps: expected each to be larger than the one before, got {shown(steps)}")
    if steps[-1] != 100:
        raise errors.ConfigurationError(
            f"steps: the last one has to be 100, at which the new deployment takes over, got {shown(steps[-1])}"
        )
    return tuple(steps)


def _checked_gate(gate: Gate | None, driver: object) -> Gate:
    if gate is None:
        return ready()
    if not callable(gate):
        raise errors.ConfigurationError(f"gate: expected a function of a step, got {type(gate).__name__}")
    if isinstance(driver, SyncDriver) and is_async(gate):
        raise errors.ConfigurationError("gate: an async one needs AsyncClient")
    return gate
