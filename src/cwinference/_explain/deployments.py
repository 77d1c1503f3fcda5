"""Why a deployment is not READY, or gets no requests."""

from collections.abc import Iterator, Sequence

from .. import types
from ..status import HotLoadState, State, state_text
from .commands import command, listed, modify
from .explanation import Cause, Verdict
from .facts import Facts

_RESERVED = types.DeploymentAutoscaling.CAPACITY_CLASS_RESERVED
_UNFINISHED = (HotLoadState.PENDING, HotLoadState.IN_PROGRESS)


def deployment_causes(deployment: types.Deployment, facts: Facts) -> Iterator[Cause]:
    """Yield what may keep a deployment from being READY, and a READY one from getting requests."""
    state = State.of(deployment)
    if state is State.DELETING:
        return
    if deployment.spec.disabled:
        text = "it is disabled: its instances are torn down, it serves nothing, and it does not become READY"
        yield Cause("certain", text, (modify("deployments", _name(deployment), disabled="false"),))
    yield from _gateways(deployment, facts)
    yield from _offers(deployment, facts)
    if state is not State.READY and not deployment.spec.disabled:
        yield from _capacity(deployment, facts)
    yield from _hot_loads(deployment, facts)
    yield from _traffic(deployment, facts)
    yield from _autoscaling(deployment)


def _name(deployment: types.Deployment) -> str:
    return deployment.spec.name or deployment.spec.id


def _verdict(deployment: types.Deployment) -> Verdict:
    """Return how likely it is that something which is wrong with a spec keeps a deployment from being READY."""
    return "note" if State.of(deployment) is State.READY else "likely"


def _gateways(deployment: types.Deployment, facts: Facts) -> Iterator[Cause]:
    if facts.gateways is None:
        return
    found = facts.gateways_of(deployment)
    missing = set(deployment.spec.gateway_ids) - {each.spec.id for each in found}
    if missing:
        yield Cause("likely", f"it names gateways that do not exist: {listed(missing)}", (command("gateways", "list"),))
    for each in found:
        if State.of(each) is not State.READY:
            name = each.spec.name or each.spec.id
            text = f"its gateway {name} is {state_text(each)}, not READY"
            yield Cause("likely", text, (command("explain", "gateways", name),))


def _offers(deployment: types.Deployment, facts: Facts) -> Iterator[Cause]:
    """Yield what it asks for and is not offered. To one that is READY that happened later, and is only a note."""
    parameters = facts.deployment_parameters
    if parameters is None:
        return
    runtime, name, verdict = deployment.spec.runtime, _name(deployment), _verdict(deployment)
    versions = parameters.runtime_parameters.runtime_versions
    if versions and runtime.engine not in versions:
        text = f"the engine {runtime.engine} is not offered; offered are {listed(versions)}"
        yield Cause(verdict, text, (modify("deployments", name, runtime__engine=sorted(versions)[0]),))
    elif runtime.version and versions and runtime.version not in versions[runtime.engine].versions:
        offered = list(versions[runtime.engine].versions)
        text = (
            f"version {runtime.version} of {runtime.engine} is not offered; offered are {', '.join(offered) or 'none'}"
        )
        commands = (modify("deployments", name, runtime__version=offered[-1]),) if offered else ()
        yield Cause(verdict, text, commands)
    yield from _options(deployment, parameters)
    yield from _instance_type(deployment, facts)


def _options(deployment: types.Deployment, parameters: types.GetDeploymentParametersResponse) -> Iterator[Cause]:
    runtime, offers = deployment.spec.runtime, parameters.runtime_parameters
    if runtime.engine in offers.runtime_config_options:
        unknown = set(runtime.engine_config) - set(offers.runtime_config_options[runtime.engine].allowed_keys)
        if unknown:
            yield Cause(_verdict(deployment), f"{runtime.engine} is not offered with the options {listed(unknown)}")
    if runtime.engine in offers.engine_env_options:
        unknown = set(runtime.engine_env) - set(offers.engine_env_options[runtime.engine].allowed_names)
        if unknown:
            yield Cause(_verdict(deployment), f"{runtime.engine} is not offered with the variables {listed(unknown)}")


def _instance_type(deployment: types.Deployment, facts: Facts) -> Iterator[Cause]:
    """Yield whether the instance type is missing in the zones of the gateways, and where else it exists."""
    assert facts.deployment_parameters is not None  # noqa: S101 - the caller has checked it
    wanted = deployment.spec.resources.instance_type
    offered = set(facts.deployment_parameters.resource_parameters.instance_types)
    gateways = facts.gateways_of(deployment)
    zones = facts.zones_of(gateways)
    if wanted in offered or not gateways:
        return
    where = f" in the zones of its gateways ({listed(zones)})" if zones else " for its gateways"
    text = f"the instance type {wanted} is not offered{where}; offered are {listed(offered)}"
    if facts.claim_parameters is not None:
        elsewhere = [
            zone for zone, each in facts.claim_parameters.zone_instance_types.items() if wanted in each.instance_ids
        ]
        text += f"; it exists in {listed(elsewhere)}" if elsewhere else "; it exists in no zone"
    first = sorted(offered)[0] if offered else ""
    commands = (modify("deployments", _name(deployment), resources__instance_type=first),) if first else ()
    yield Cause(_verdict(deployment), text, commands)


def _capacity(deployment: types.Deployment, facts: Facts) -> Iterator[Cause]:
    """Yield what the claims for its instance type say. Which deployment gets which instance is not shown by the API."""
    if facts.claims is None:
        return
    wanted, classes = deployment.spec.resources.instance_type, list(deployment.spec.autoscaling.capacity_classes)
    zones = facts.zones_of(facts.gateways_of(deployment))
    claims = [each for each in facts.claims if _fits(each, wanted, zones)]
    only_reserved = classes == [_RESERVED]
    where = f" in {listed(zones)}" if zones else ""
    if not claims:
        if only_reserved:
            text = f"it may use reserved capacity only, and no capacity claim has {wanted}{where}"
            yield Cause("likely", text, (command("claims", "create", "--template"), *_on_demand(deployment)))
        return
    allocated = sum(each.status.allocated_instances for each in claims)
    users = [each for each in facts.deployments or [deployment] if _uses(each, wanted, zones, facts)]
    replicas = sum(each.spec.autoscaling.min for each in users)
    text = (
        f"the capacity claims for {wanted}{where} have {allocated} instances allocated; deployments that may use them "
        f"ask for at least {replicas} replicas ({listed(each.spec.name for each in users)})"
    )
    if allocated == 0 or replicas > allocated:
        verdict: Verdict = "likely" if only_reserved and allocated == 0 else "possible"
        yield Cause(verdict, text, (command("explain", "claims", claims[0].spec.name), *_on_demand(deployment)))


def _on_demand(deployment: types.Deployment) -> Sequence[str]:
    if types.DeploymentAutoscaling.CAPACITY_CLASS_ON_DEMAND in deployment.spec.autoscaling.capacity_classes:
        return ()
    return (modify("deployments", _name(deployment), autoscaling__capacity_classes="RESERVED,ON_DEMAND"),)


def _fits(claim: types.CapacityClaim, wanted: str, zones: set[str]) -> bool:
    return claim.spec.resources.instance_id == wanted and (not zones or bool(zones & set(claim.spec.resources.zones)))


def _uses(deployment: types.Deployment, wanted: str, zones: set[str], facts: Facts) -> bool:
    """Return whether a deployment may use the same instances."""
    same = deployment.spec.resources.instance_type == wanted and not deployment.spec.disabled
    own = facts.zones_of(facts.gateways_of(deployment))
    return same and State.of(deployment) is not State.DELETING and (not zones or not own or bool(zones & own))


def _hot_loads(deployment: types.Deployment, facts: Facts) -> Iterator[Cause]:
    for each in facts.hot_loads or ():
        if each.spec.deployment_id == deployment.spec.id and HotLoadState.of(each) in _UNFINISHED:
            text = f"a hot-load of {each.spec.identity} is {state_text(each)}: until it ends, updates are refused"
            yield Cause("note", text, (command("hot-loads", "wait", each.spec.id),))


def _traffic(deployment: types.Deployment, facts: Facts) -> Iterator[Cause]:
    """Yield whether its weight keeps requests away. Weights count among the deployments of one model on one gateway.

    It is no cause of a state, and often meant: a canary begins so. A command would need a weight that nobody knows.
    """
    if deployment.spec.disabled or facts.deployments is None or deployment.spec.traffic.weight:
        return
    for gateway_id in deployment.spec.gateway_ids:
        rivals = [
            each
            for each in facts.deployments
            if each.spec.id != deployment.spec.id
            and gateway_id in each.spec.gateway_ids
            and each.spec.model.name == deployment.spec.model.name
            and not each.spec.disabled
            and State.of(each) is not State.DELETING
        ]
        if not rivals:
            continue
        names, model = listed(each.spec.name for each in rivals), deployment.spec.model.name
        weighted = [each.spec.name for each in rivals if each.spec.traffic.weight]
        if weighted:
            yield Cause("note", f"its weight is 0, and requests for {model} go to {listed(weighted)}: it gets none")
        else:
            text = f"all weights of {model} are 0 (also of {names}); how requests are shared then is not documented"
            yield Cause("note", text, (modify("deployments", _name(deployment), traffic__weight="100"),))
        return


def _autoscaling(deployment: types.Deployment) -> Iterator[Cause]:
    scaling = deployment.spec.autoscaling
    if scaling.min and scaling.min == scaling.max:
        more = modify("deployments", _name(deployment), autoscaling__max=str(scaling.max + 1))
        yield Cause("note", f"autoscaling is off, because min and max are both {scaling.min}", (more,))
