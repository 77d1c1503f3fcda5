"""Opens the transport that was chosen: gRPC, Connect and REST are a module each, imported only when needed."""

from ..config import Settings
from .base import AsyncTransport, Transport


def open_sync(settings: Settings) -> Transport:
    """Return the chosen transport for `Client`. Only its own library is imported, and nothing connects yet."""
    if settings.transport == "grpc":
        from .grpc import GrpcTransport

        return GrpcTransport(settings)
    if settings.transport == "connect":
        from .connect import ConnectTransport

        return ConnectTransport(settings)
    from .rest import RestTransport

    return RestTransport(settings)


def open_async(settings: Settings) -> AsyncTransport:
    """Return the chosen transport for `AsyncClient`; as `open_sync`."""
    if settings.transport == "grpc":
        from .grpc import AsyncGrpcTransport

        return AsyncGrpcTransport(settings)
    if settings.transport == "connect":
        from .connect import AsyncConnectTransport

        return AsyncConnectTransport(settings)
    from .rest import AsyncRestTransport

    return AsyncRestTransport(settings)
