"""The columns of each kind of resource."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .. import types
from .context import TableContext, enum_text, share_text
from .layout import Column
from .states import state_label, state_style
from .times import age, moment

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_AUTH = {"core_weave_auth": "CoreWeave", "weights_and_biases_auth": "W&B"}
_REPLICA_STYLES = {"READY": "green", "ERROR": "bold red", "UPDATING": "yellow", "PENDING_UPDATE": "yellow"}


def columns_of(kind: type[Any], context: TableContext) -> Sequence[Column]:
    """Return the columns for messages of a kind, those of `-o wide` among them."""
    return _COLUMNS[kind](context)


def has_columns(kind: type[Any]) -> bool:
    """Return whether there are columns for messages of a kind."""
    return kind in _COLUMNS


def state_column(context: TableContext) -> Column:
    """Return the column for the state of any resource."""
    return Column("STATE", lambda each: state_label(each, context.display), state_style, rank=1)


def weight_column(share: Callable[[Any], str]) -> Column:
    """Return the column for the weight of a deployment, and its share as `share` returns it."""

    def text(each: types.Deployment) -> str:
        shown = share(each)
        return f"{each.spec.traffic.weight} ({shown})" if shown else str(each.spec.traffic.weight)

    return Column("WEIGHT", text, key=lambda each: each.spec.traffic.weight, rank=2, is_right=True)


def replicas_column() -> Column:
    """Return the column for the replicas of a deployment: the limits between which it scales."""
    return Column("REPLICAS", _replicas, key=lambda each: each.spec.autoscaling.max, rank=3, is_right=True)


def age_column(context: TableContext) -> Column:
    """Return the column for how long ago a resource was created. It orders the youngest first."""
    return _time_column("AGE", context, lambda each: each.status.created_at, rank=4)


def _gateways(context: TableContext) -> Sequence[Column]:
    return [
        Column("NAME", lambda each: each.spec.name, rank=0),
        state_column(context),
        Column("ZONES", lambda each: ",".join(each.spec.zones) or "all", rank=5),
        Column("AUTH", lambda each: _AUTH.get(each.spec.WhichOneof("auth") or "", ""), rank=7),
        Column("ROUTING", _routing, rank=6),
        Column("ENDPOINT", lambda each: next(iter(each.status.endpoints), ""), rank=3),
        age_column(context),
        *_wide_columns(context),
    ]


def _deployments(context: TableContext) -> Sequence[Column]:
    return [
        Column("NAME", lambda each: each.spec.name, rank=0),
        state_column(context),
        Column("MODEL", lambda each: each.spec.model.name, rank=3),
        weight_column(lambda each: share_text([*context.shares.get(each.spec.id, {}).values()])),
        replicas_column(),
        Column("ENGINE", lambda each: f"{each.spec.runtime.engine} {each.spec.runtime.version}", rank=7),
        Column("GATEWAYS", context.gateways_of, rank=6),
        age_column(context),
        Column(
            "INSTANCE",
            lambda each: f"{each.spec.resources.gpu_count} GPU of {each.spec.resources.instance_type}",
            is_wide=True,
        ),
        Column("WEIGHTS", lambda each: f"{each.spec.model.bucket}/{each.spec.model.path}", is_wide=True),
        *_wide_columns(context),
    ]


def _claims(context: TableContext) -> Sequence[Column]:
    def instances(each: types.CapacityClaim) -> str:
        return f"{each.status.allocated_instances}/{each.spec.resources.instance_count}"

    return [
        Column("NAME", lambda each: each.spec.name, rank=0),
        state_column(context),
        Column("INSTANCES", instances, key=lambda each: each.spec.resources.instance_count, rank=2, is_right=True),
        Column("TYPE", lambda each: each.spec.resources.instance_id, rank=3),
        Column("ZONES", lambda each: ",".join(each.spec.resources.zones), rank=5),
        Column("TERMS", lambda each: enum_text(each.spec.resources, "capacity_type"), rank=6),
        age_column(context),
        Column("PENDING", lambda each: str(each.status.pending_instances), is_wide=True, is_right=True),
        *_wide_columns(context),
    ]


def _hot_loads(context: TableContext) -> Sequence[Column]:
    return [
        Column("ID", lambda each: each.spec.id, rank=0),
        state_column(context),
        Column("SNAPSHOT", lambda each: each.spec.identity, rank=2),
        Column("TYPE", lambda each: enum_text(each.spec, "type"), rank=5),
        Column(
            "DEPLOYMENT",
            lambda each: context.deployment_names.get(each.spec.deployment_id, each.spec.deployment_id),
            rank=3,
        ),
        age_column(context),
        _time_column("FINISHED", context, lambda each: each.status.finished_at, rank=6),
        Column("CACHE", lambda each: enum_text(each.spec, "prompt_cache_policy"), is_wide=True),
    ]


def _replica_columns(context: TableContext) -> Sequence[Column]:
    def state(each: types.HotLoadReplica) -> str:
        return enum_text(each, "state")

    return [
        Column("NAME", lambda each: each.name, rank=0),
        Column("STATE", state, lambda each: _REPLICA_STYLES.get(state(each), ""), rank=1),
        Column("ZONE", lambda each: each.zone, rank=5),
        Column("SNAPSHOT", lambda each: each.current_snapshot_identity, rank=2),
        _time_column("SINCE", context, lambda each: each.transitioned_at, rank=4),
        Column("ERROR", lambda each: each.error_reason, rank=3),
    ]


_COLUMNS: Mapping[type[Any], Callable[[TableContext], Sequence[Column]]] = {
    types.Gateway: _gateways,
    types.Deployment: _deployments,
    types.CapacityClaim: _claims,
    types.HotLoad: _hot_loads,
    types.HotLoadReplica: _replica_columns,
}


def _wide_columns(context: TableContext) -> Sequence[Column]:
    return [
        _time_column("UPDATED", context, lambda each: each.status.updated_at, is_wide=True),
        Column("ID", lambda each: each.spec.id, is_wide=True),
        Column("UNMET", _unmet, is_wide=True),
    ]


def _time_column(title: str, context: TableContext, of: Callable[[Any], Any], **how: Any) -> Column:
    return Column(
        title,
        lambda each: age(moment(of(each)), context.now),
        key=lambda each: context.now - (moment(of(each)) or _LONG_AGO),
        is_right=True,
        **how,
    )


def _unmet(resource: Any) -> str:
    failing = {
        each.type: each.reason for each in resource.status.conditions if each.status != types.Condition.STATUS_TRUE
    }
    return ", ".join(f"{kind} ({reason})" if reason else kind for kind, reason in failing.items())


def _replicas(deployment: types.Deployment) -> str:
    scaling = deployment.spec.autoscaling
    return str(scaling.min) if scaling.min == scaling.max else f"{scaling.min}-{scaling.max}"


def _routing(gateway: types.Gateway) -> str:
    chosen = gateway.spec.WhichOneof("routing") or ""
    header = f" {gateway.spec.header_based_routing.header_name}" if chosen == "header_based_routing" else ""
    return chosen.removesuffix("_based_routing") + header
