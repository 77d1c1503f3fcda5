"""How a connection for HTTP/1.1 is made: to one address of a host, or to the one of several that accepts it first.

`create_connection` can try several by itself. But where event loops start tasks eagerly it fails, on Python 3.11 it
leaves sockets open when it is canceled, and uvloop waits for as long as the first address does.
"""

import asyncio
import os
import re
import socket
from collections.abc import Iterable
from itertools import chain, zip_longest

from .. import errors
from .._hosts import address_of
from .._retry_rules import Hint
from ._http1_connection import Connection

HEAD_START = 0.25
"""After how many seconds the next address of a host is tried as well."""

_ERRNO = re.compile(r"\[Errno (\d+)\]")
_NO_SUCH_NAME = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)}


async def connect(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Connection:
    """Return a new connection. Raises OSError, or UnicodeError if the host has no name that could exist."""
    if address_of(host) is not None:
        return await _connect_to(loop, host, port)
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = _alternating(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    return await (_connect_to(loop, addresses[0], port) if len(addresses) == 1 else _race(loop, addresses, port))


def no_connection(error: Exception, where: str) -> errors.ApiError:
    """Return the error of a connection that could not be made."""
    if isinstance(error, socket.gaierror | UnicodeError):
        unknown = isinstance(error, UnicodeError) or error.errno in _NO_SUCH_NAME
        text = f"dns error: {getattr(error, 'strerror', None) or error}"
        hint = Hint.NO_SUCH_NAME if unknown else Hint.NOT_SENT
    else:
        numbers = [error.errno] if isinstance(error, OSError) and error.errno else _ERRNO.findall(str(error))
        text, hint = os.strerror(int(numbers[-1])) if numbers else str(error), Hint.NOT_SENT
    return errors.with_hint(errors.Unavailable(f"no connection to {where}: {text}"), hint)


def _alternating(found: Iterable[tuple[int, str]]) -> list[str]:
    """Return addresses in their order, but of the two families in turn: one of them may lead nowhere."""
    addresses = [*found]
    first = [address for family, address in addresses if family == addresses[0][0]]
    second = [address for family, address in addresses if family != addresses[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, second)) if address is not None]


async def _connect_to(loop: asyncio.AbstractEventLoop, address: str, port: int) -> Connection:
    return (await loop.create_connection(Connection, address, port))[1]


async def _race(loop: asyncio.AbstractEventLoop, addresses: list[str], port: int) -> Connection:
    """Return the connection that is made first. An address has a head start over the next one, until it fails."""
    tasks, waiting = set[asyncio.Task[Connection]](), iter(addresses)
    failure: BaseException = OSError("the host has no address")
    address = next(waiting, None)
    try:
        while tasks or address is not None:
            if address is not None:
                tasks.add(loop.create_task(_connect_to(loop, address, port)))
                address = next(waiting, None)
            head_start = None if address is None else HEAD_START
            done, _ = await asyncio.wait(tasks, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                tasks.discard(each)
                failure = each.exception() or failure
                if each.exception() is None:
                    return each.result()
        raise failure
    finally:
        for each in tasks:
            each.cancel()
            each.add_done_callback(_discard)


def _discard(task: asyncio.Task[Connection]) -> None:
    """Close a connection that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
