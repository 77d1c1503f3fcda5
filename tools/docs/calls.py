"""The calls of the API: REST, gRPC, and the method of ours; from the descriptors, as the transports have them."""

from collections.abc import Iterator, Sequence

from cwinference._wire.methods import METHODS, Method

from .declarations import groups, sender_of
from .tables import table

PREFIX = "/v1alpha1/inference"
"""What all paths of REST begin with."""
ONCE = ("Update", "Cancel")
"""What the names of methods begin with that are sent again only if they certainly were not processed."""


def tables() -> str:
    """Return a table for each group of methods."""
    return "\n\n".join(
        f"## {_service(methods[0])}: `client.{group}`\n\n{_table(methods)}" for group, methods in _groups()
    )


def _groups() -> Iterator[tuple[str, list[Method]]]:
    for group in groups():
        yield group, [method for method in METHODS.values() if sender_of(method)[0] == group]


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


def _link(method: Method) -> str:
    """Return the method of a client that makes a call, with a link."""
    group, name = sender_of(method)
    page = f"python/{group.replace('_', '-')}.md"
    return f"[`{name}`]({page}#cwinference.resources.{groups()[group].__name__}.{name})"


def _service(method: Method) -> str:
    return method.service.rpartition(".")[2]


def _form(method: Method) -> str:
    if method.json_only:
        return "JSON"
    return "JSON if needed" if method.may_contain_placeholder else "any"
