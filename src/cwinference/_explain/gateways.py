"""Why a gateway is not READY, or serves nothing."""

from collections.abc import Iterator

from .. import types
from ..status import State
from .commands import command, listed, modify
from .explanation import Cause
from .facts import Facts

_LONGEST_NAME = 38
"""How long the name of a gateway may be for the host that is made of it to fit into a certificate."""


def gateway_causes(gateway: types.Gateway, facts: Facts) -> Iterator[Cause]:
    """Yield what may keep a gateway from being READY, and a READY one from serving."""
    state = State.of(gateway)
    if state is State.DELETING:
        yield from _blocked_deletion(gateway, facts)
        return
    if state is not State.READY:
        yield from _zones(gateway, facts)
        yield from _names(gateway)
    else:
        yield from _nothing_to_serve(gateway, facts)


def _blocked_deletion(gateway: types.Gateway, facts: Facts) -> Iterator[Cause]:
    names = [each.spec.name for each in _deployments(gateway, facts)]
    if names:
        text = f"deployments still name it: {listed(names)}; it cannot go before them"
        yield Cause("likely", text, (command("deployments", "delete", *sorted(names)),))


def _zones(gateway: types.Gateway, facts: Facts) -> Iterator[Cause]:
    if facts.gateway_parameters is None:
        return
    offered = set(facts.gateway_parameters.zones)
    missing = [each for each in gateway.spec.zones if each.upper() not in offered]
    if missing:
        text = f"it asks for zones that are not offered: {listed(missing)}; offered are {listed(offered)}"
        left = [each for each in gateway.spec.zones if each not in missing] or sorted(offered)[:1]
        commands = (modify("gateways", gateway.spec.name, zones=",".join(left)),) if left else ()
        yield Cause("likely", text, commands)


def _names(gateway: types.Gateway) -> Iterator[Cause]:
    if len(gateway.spec.name) > _LONGEST_NAME:
        text = f"its name has {len(gateway.spec.name)} letters; CoreWeave's own tools allow {_LONGEST_NAME}"
        yield Cause("possible", f"{text}, because the host that is made of it has to fit into a certificate")
    if gateway.spec.endpoint_configuration.additional_dns:
        hosts = listed(gateway.spec.endpoint_configuration.additional_dns)
        yield Cause("possible", f"it has host names of your own, which you have to point at it yourself: {hosts}")


def _nothing_to_serve(gateway: types.Gateway, facts: Facts) -> Iterator[Cause]:
    if facts.deployments is None:
        return
    deployments = _deployments(gateway, facts)
    if not deployments:
        text = "no deployment names it, so it has no model to serve"
        yield Cause("note", text, (command("deployments", "create", "--template"),))
        return
    enabled = [each for each in deployments if not each.spec.disabled]
    if not enabled:
        text = f"all its deployments are disabled: {listed(each.spec.name for each in deployments)}; it serves no model"
        yield Cause("certain", text, (modify("deployments", deployments[0].spec.name, disabled="false"),))
        return
    if not any(State.of(each) is State.READY for each in enabled):
        names = listed(each.spec.name for each in enabled)
        # One that is UPDATING or in ERROR may have replicas that still serve.
        is_sure = all(State.of(each) is State.CREATING for each in enabled)
        text = f"none of its deployments is READY: {names}; it {'has' if is_sure else 'may have'} nothing to serve"
        advice = (command("explain", "deployments", enabled[0].spec.name),)
        yield Cause("certain" if is_sure else "likely", text, advice)


def _deployments(gateway: types.Gateway, facts: Facts) -> list[types.Deployment]:
    return [each for each in facts.deployments or () if gateway.spec.id in each.spec.gateway_ids]
