"""The headers by which a server learns of the trace that its call belongs to."""

from opentelemetry import propagate
from opentelemetry.context import Context

from ..auth import Headers

_USUAL = frozenset({"traceparent", "tracestate", "baggage"})
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


def headers_of(context: Context, taken: Headers) -> Headers:
    """Return what the global propagator injects, but for names that are taken and for what no header may contain.

    Raises what the propagator raises.
    """
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    if not carrier:
        return ()
    found = tuple((name.lower(), value) for name, value in carrier.items() if _may_be_sent(name.lower(), value))
    if not taken:
        return found
    reserved = {name.lower() for name, _ in taken}
    return tuple(pair for pair in found if pair[0] not in reserved)


def _may_be_sent(name: str, value: object) -> bool:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return False
    return name in _USUAL or (
        _NAME.issuperset(name or " ")
        and name not in _OWN
        and not name.startswith(_OWN_PREFIXES)
        and not name.endswith("-bin")  # which gRPC would take for bytes
    )
