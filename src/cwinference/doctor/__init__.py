"""Examines the way from a client to the API, and whether the service still speaks as this release expects.

    from cwinference import doctor

    print(doctor.examine(client))           # await it for an AsyncClient

It reads only, at most 20 calls. The field numbers of this release are kept by hand, from what CoreWeave has published:
the wire self-check makes the same reads in binary and as JSON, where fields go by name, and compares them.
"""

from collections.abc import Coroutine
from typing import Any, overload

from .._arguments import check_at_least, check_flag
from .._calls.flow import Flow
from .._calls.signatures import checks_keywords
from ..client import AsyncClient, Client
from ..errors import ConfigurationError
from ._examination import Examination
from ._report import Area, Finding, Level, Report


@overload
def examine(client: Client, *, names: bool = False, timeout: float = 60.0) -> Report: ...
@overload
def examine(client: AsyncClient, *, names: bool = False, timeout: float = 60.0) -> Coroutine[Any, Any, Report]: ...
@checks_keywords("doctor.examine")
def examine(
    client: Client | AsyncClient, *, names: bool = False, timeout: float = 60.0
) -> Report | Coroutine[Any, Any, Report]:
    """Examine the connection to the API: token, host name, proxy, certificates, each transport, and the wire format.

    It makes at most 20 calls, all of them reads, over gRPC, Connect and REST, with the client's endpoint, token,
    certificates and proxy. It raises no errors for problems that it finds, such as a server that cannot be reached, is
    slow, or refuses the token: the report lists them.

    Args:
        client: a `Client`, or an `AsyncClient`, for which the result has to be awaited.
        names: whether the report may contain names and ids of resources (False). Without them it can be sent to the
            maintainers as it is. It never contains secrets.
        timeout: seconds for all of it (60); each call has 10 of them at most.

    Returns:
        A `Report`: `print(report)`, `report.to_json()`, `report.findings`, `report.exit_code`.

    Raises:
        ConfigurationError: an argument is wrong, or the client is closed.
    """
    if not isinstance(client, Client | AsyncClient):
        raise ConfigurationError(f"client: expected a Client or an AsyncClient, got {type(client).__name__}")
    check_flag(names, "names")
    check_at_least(0.001, timeout, "timeout")

    def run() -> Flow[Report]:
        return Examination(client._session, client._driver.context, names=names, timeout=timeout).run()  # pyright: ignore[reportPrivateUsage]

    return client._driver.bind(run)()  # pyright: ignore[reportPrivateUsage]


__all__ = ["Area", "Finding", "Level", "Report", "examine"]
