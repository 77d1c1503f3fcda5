"""What both clients do with all resources together: follow them, plan and apply stacks, roll out."""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic

from . import resources, types
from ._arguments import UNSET
from ._calls.operation import Mode, group, operation
from ._calls.signatures import checks_keywords
from .errors import ApiError, ProtocolError
from .following._declarations import cache, watch
from .following._kinds import KINDS, Kind, check_kinds
from .retry import Retry

if TYPE_CHECKING:
    from ._calls.flow import Flow
    from .following._cache_core import CacheCore
    from .following._following import Following, ResourceSource
    from .resources import CapacityClaims, Deployments, Gateways, HotLoads
    from .rollout import Gate, Rollout
    from .stacks import Plan, PlanStep, Stack


class AcrossResources(Generic[Mode]):
    """The resources of a client, and what is done with several of them."""

    _driver: Mode

    gateways: "Gateways[Mode]" = group(lambda: resources.Gateways)
    """Gateways: the public entry points to deployed models."""
    deployments: "Deployments[Mode]" = group(lambda: resources.Deployments)
    """Deployments: models that run on GPUs behind one or more gateways."""
    capacity_claims: "CapacityClaims[Mode]" = group(lambda: resources.CapacityClaims)
    """Capacity claims: GPU instances reserved for the organization's deployments."""
    hot_loads: "HotLoads[Mode]" = group(lambda: resources.HotLoads)
    """Hot-loads: new weights loaded into the running replicas of a deployment."""

    @watch
    def watch(
        self,
        *,
        kinds: Collection[Kind] = KINDS,
        interval: tuple[float, float] = (1.0, 30.0),
        relist: float = 300.0,
        on_error: Callable[[ApiError | ProtocolError], object] | None = None,
    ) -> "Following[types.Gateway | types.Deployment | types.CapacityClaim]":
        """Return an endless iterator over what changes in gateways, deployments and capacity claims.

        It works as `client.deployments.watch` does, with one "synced" for each kind.

        Args:
            kinds: which kinds to watch: "gateway", "deployment", "capacity_claim" (all three).
            interval: seconds between two polls: the shortest, while anything is CREATING, UPDATING or DELETING, and the
                longest, to which it backs off when nothing moves (1, 30). Each kind has a pace of its own.
            relist: seconds between two lists of everything, which find removals that nothing else shows (300).
            on_error: called with each transient failure, after the client's own retries have given up.

        Raises:
            ConfigurationError: an argument is wrong, or the client is closed.
            ApiError, ProtocolError: at a step, a failure that will not pass, such as PermissionDenied.
        """
        from .following._following import following

        return following(self._sources(kinds), self._driver.context, interval, relist, on_error)

    @cache
    def cache(
        self,
        *,
        kinds: Collection[Kind] = KINDS,
        interval: tuple[float, float] = (1.0, 30.0),
        relist: float = 300.0,
        on_error: Callable[[ApiError | ProtocolError], object] | None = None,
    ) -> "CacheCore":
        """Return a cache: views of gateways, deployments and claims that are kept up to date, for many readers.

        Use it in a `with` block (`async with` on `AsyncClient`). For as long as that lasts, one thread (one task) polls
        as `watch` does. `cache.deployments`, `cache.gateways` and `cache.capacity_claims` are read-only mappings by id
        that never change: ask for them again to see what is new.

        Args:
            kinds: which kinds to keep: "gateway", "deployment", "capacity_claim" (all three).
            interval: seconds between two polls: the shortest, while anything is CREATING, UPDATING or DELETING, and the
                longest, to which it backs off when nothing moves (1, 30). Each kind has a pace of its own.
            relist: seconds between two lists of everything, which find removals that nothing else shows (300).
            on_error: called with each transient failure, after the client's own retries have given up. Polling goes on
                after others too; `cache.error` is the last one.

        Raises:
            ConfigurationError: an argument is wrong, or the client is closed.
        """
        from .following._cache_core import CacheCore
        from .following._following import following

        return CacheCore(following(self._sources(kinds), self._driver.context, interval, relist, on_error))

    @operation
    def plan(
        self,
        stack: "Stack",
        prune: str | None = None,
        *,
        secrets: bool = False,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> "Flow[Plan]":
        """Compare a stack with what exists, and return what would have to be done. It only reads.

        Only what the stack says is compared, as by `ensure`. Claims come first, then gateways, then deployments: those
        that get less traffic last, when others are there to take it. Deletions come at the end.

        Args:
            stack: what should be, from `Stack.load` or `Stack.parse`.
            prune: a prefix, such as "team-a-": gateways, deployments and claims whose names begin with it are deleted
                if the stack does not have them. None: nothing is deleted.
            secrets: write secrets that no read returns, although nothing shows whether they have changed.
            timeout: seconds for all reads together, including retries; None for no limit. By default the client's for
                each.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: an argument is wrong; or the stack names a gateway that neither it nor the API has, or
                lacks what is required to create something.
        """
        from .stacks._operations import plan

        return plan(self._groups, stack, prune, secrets, timeout, retry)

    @operation
    def apply(
        self,
        plan: "Plan",
        wait: bool = True,
        on_step: "Callable[[PlanStep], object] | None" = None,
        *,
        on_change: "Callable[[types.Gateway | types.Deployment | types.CapacityClaim], object] | None" = None,
        allow_replace: bool = False,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> "Flow[Sequence[PlanStep]]":
        """Do what a plan says, and return its steps, with the ids of what was created.

        First it reads again all that the plan depends on, and does nothing if any of that has changed, apart from its
        status. Each write is preceded by a read of what it is based on. If a step fails, the error says what was done
        and what was not (`steps_done`, `steps_left`): plan again, and apply that.

        Args:
            plan: from `client.plan` or `Plan.from_json`.
            wait: return when all that the stack describes is READY, and what was deleted is gone; gateways wait for
                claims, and deployments for gateways. With False it returns when everything is written, and waits only
                where a step needs it: until a deployment is READY to which others of its model leave their traffic,
                until the deployments of a gateway are gone that is to be deleted, and until an old resource is gone
                whose name is to be used again.
            on_step: a plain function that is called with each step when it is written.
            on_change: called with each resource that is awaited, when it is first read and whenever it has changed.
            allow_replace: do "replace" steps too: the deployment is deleted, and created anew when it is gone.
            timeout: seconds for everything together, including waits; None for no limit. By default the client's for
                each call, and those of `wait` and `wait_deleted` for each wait.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: the plan has a step that is refused, or a "replace" step without `allow_replace`; or a
                secret is missing. Nothing was changed.
            PlanOutdated: something has changed since the plan was made. Nothing was changed.
            FailedPrecondition: a deployment to be changed or deleted has a hot-load in progress; nothing was changed,
                unless it has begun meanwhile. Or the service refuses a step.
            Conflict: somebody else has changed a resource while the plan was being applied.
            ResourceFailed, WaitTimeout: as `wait` raises them.
        """
        from .stacks._operations import apply

        return apply(self._groups, plan, wait, on_step, on_change, allow_replace, timeout, retry)

    @operation
    def export(
        self,
        names: Iterable[str] | None = None,
        *,
        timeout: float | None = UNSET,
        retry: Retry | None = UNSET,
    ) -> "Flow[Stack]":
        """Return what exists as a stack, without secrets, and without what is being deleted.

        Args:
            names: only the gateways, deployments and claims of these names. None: all.
            timeout: seconds for all reads together, including retries; None for no limit. By default the client's for
                each.
            retry: how failures are retried; None for not at all. By default the client's.

        Raises:
            ConfigurationError: `names` is no list of names.
            NotFound: nothing has one of the names.
        """
        from .stacks._operations import export

        return export(self._groups, names, timeout, retry)

    @checks_keywords("client.rollout")
    def rollout(
        self,
        new: str,
        *,
        replaces: str,
        journal: "str | os.PathLike[str]",
        steps: Sequence[float] = (1, 5, 25, 100),
        soak: float = 60.0,
        gate: "Gate | None" = None,
        patience: float = 600.0,
    ) -> "Rollout[Mode]":
        """Return a rollout, which moves a model's traffic to another deployment step by step. This sends nothing.

        `rollout.run()` does it, `rollout.revert()` goes back. Both deployments have to serve the same model on the same
        gateway, and to be READY when it begins. A step sets their weights so that the new one gets at most its share of
        what both have together, and at least weight 1, and waits until the API shows that. If other deployments serve
        the model too, the sum of the two stays as it is, and a step that whole weights with this sum cannot show is
        skipped; otherwise the sum may change until the last step, which restores it. A change of one of the two by
        somebody else stops the rollout with `Conflict`.

        Args:
            new: name or id of the deployment that is to get the traffic.
            replaces: name or id of the deployment that has it.
            journal: path of a file that does not exist yet. It records what is needed to go on or to revert.
                It contains no secrets. Keep it for as long as you may want to revert.
            steps: the shares of the new one in percent, ascending (1, 5, 25, 100); the last one is 100.
            soak: seconds to let pass after each step before the gate is asked (60).
            gate: a function of a `Step` that returns "pass", "fail", which reverts, or "wait", which lets another soak
                pass; see `cwinference.gates`. On `AsyncClient` it may be async. None: `gates.ready()`.
            patience: seconds for which a gate may say "wait" in one step (600), then the rollout is paused; and for
                which a deployment may be in ERROR before it counts as failed.

        Raises:
            ConfigurationError: an argument is wrong, or the journal exists already.
        """
        from .rollout._rollout import planned

        return planned(
            self._driver,
            new,
            replaces=replaces,
            steps=steps,
            soak=soak,
            gate=gate,
            journal=journal,
            patience=patience,
        )

    def _sources(self, kinds: Collection[Kind]) -> "list[ResourceSource[Any]]":
        return [self._groups[kind]._source() for kind in check_kinds(kinds)]

    @property
    def _groups(self) -> dict[Kind, Any]:
        return {"gateway": self.gateways, "deployment": self.deployments, "capacity_claim": self.capacity_claims}
