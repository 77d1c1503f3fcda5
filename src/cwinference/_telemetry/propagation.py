"""The headers by which a server learns of the trace that its call belongs to."""

from collections.abc import Iterable

from opentelemetry import propagate
from opentelemetry.context import Context

from ..auth import Headers

_OWN = frozenset(
    {
        *("accept", "accept-encoding", "authorization", "connection", "content-encoding", "content-length"),
        *("content-type", "cookie", "host", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"),
        "user-agent",
    }
)
"""Names that no propagator may set: each transport sets its own, or the server would take the call for another."""
_OWN_PREFIXES = (":", "grpc-", "connect-")
_NAME = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def headers_of(context: Context, taken: Iterable[tuple[str, str]]) -> Headers:
    """Return what the global propagator injects, but for names that are taken and for what no header may contain.

    Raises what the propagator raises.
    """
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    if not carrier:
        return ()
    reserved = {name.lower() for name, _ in taken}
    found = ((name.lower(), value) for name, value in carrier.items())
    return tuple((name, value) for name, value in found if name not in reserved and _may_be_sent(name, value))


def _may_be_sent(name: str, value: str) -> bool:
    if name in _OWN or name.startswith(_OWN_PREFIXES) or name.endswith("-bin"):
        return False
    return bool(name) and _NAME.issuperset(name) and isinstance(value, str) and value.isascii() and value.isprintable()
