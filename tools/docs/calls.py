"""The calls of the API: REST, gRPC, and the method of ours; from the descriptors, as the transports have them."""

import re
from collections.abc import Sequence

from cwinference._wire.methods import METHODS, Method

from .tables import table

_GROUPS = {
    "GatewayService": "gateways",
    "DeploymentService": "deployments",
    "CapacityClaimService": "capacity_claims",
    "HotLoadService": "hot_loads",
}
_PAGES = {name: f"python/{name.replace('_', '-')}.md" for name in _GROUPS.values()}
_CLASSES = {name: "".join(word.capitalize() for word in name.split("_")) for name in _GROUPS.values()}
PREFIX = "/v1alpha1/inference"
"""What all paths of REST begin with."""
ONCE = ("Update", "Cancel")
"""What the names of methods begin with that are sent again only if they certainly were not processed."""


def tables() -> str:
    """Return a table for each service."""
    services = {service: [each for each in METHODS.values() if _service(each) == service] for service in _GROUPS}
    return "\n\n".join(
        f"## {service}: `client.{_GROUPS[service]}`\n\n{_table(methods)}" for service, methods in services.items()
    )


def _table(methods: Sequence[Method]) -> str:
    return table(
        ("REST", "gRPC and Connect", "Python", "travels as", "retried"),
        (
            (
                "" if method.http is None else f"`{method.http.verb} {method.http.template.removeprefix(PREFIX)}`",
                f"`{method.name}`",
                _link(method),
                _form(method),
                "if not processed" if is_sent_once(method) else "yes",
            )
            for method in methods
        ),
    )


def is_sent_once(method: Method) -> bool:
    """Return whether a method is sent again only if it certainly was not processed."""
    return method.name.startswith(ONCE)


def group_of(method: Method) -> str:
    """Return the group of methods to which a call belongs."""
    return _GROUPS[_service(method)]


def _link(method: Method) -> str:
    """Return the method of a client that makes a call, with a link."""
    group, name = group_of(method), python_name(method)
    return f"[`{name}`]({_PAGES[group]}#cwinference.resources.{_CLASSES[group]}.{name})"


def python_name(method: Method) -> str:
    """Return what a method of the API is called in a group of methods."""
    if method.name.endswith("Parameters"):
        return "parameters"
    if method.name.endswith("Replicas"):
        return "replicas"
    return re.split(r"(?<=[a-z])(?=[A-Z])", method.name)[0].lower()


def _service(method: Method) -> str:
    return method.service.rpartition(".")[2]


def _form(method: Method) -> str:
    if method.json_only:
        return "JSON"
    return "JSON if needed" if method.may_contain_placeholder else "any"
