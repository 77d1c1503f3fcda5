"""The body of a streamed response: what is closed when it is closed."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pyqwest

from cwinference.transports.completions import AsyncBody


class Response:
    """A response whose body is empty."""

    status = 200
    headers = pyqwest.Headers()
    closed = 0

    @property
    def content(self) -> AsyncIterator[bytes]:
        return nothing()

    async def aclose(self) -> None:
        self.closed += 1


class Connection:
    """A surplus connection of the pool."""

    closed = 0

    async def close(self) -> None:
        self.closed += 1


async def nothing() -> AsyncIterator[bytes]:
    for each in list[bytes]():
        yield each


def body_of(response: Response, spare: Connection | None) -> AsyncBody:
    return AsyncBody(cast(Any, response), lambda early: spare)


async def test_closing_a_stream_also_closes_its_connection_if_the_pool_does_not_need_it() -> None:
    response, spare = Response(), Connection()
    body = body_of(response, spare)
    await body.close()
    await body.close()
    assert (response.closed, spare.closed) == (1, 1)


async def test_closing_a_stream_keeps_a_connection_that_the_pool_needs() -> None:
    response = Response()
    await body_of(response, None).close()
    assert response.closed == 1
