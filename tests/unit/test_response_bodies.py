"""The body of a streamed answer: what its end gives back."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pyqwest

from cwinference.transports.completions import AsyncBody


class Response:
    """An answer whose body is empty."""

    status = 200
    headers = pyqwest.Headers()
    closed = 0

    @property
    def content(self) -> AsyncIterator[bytes]:
        return nothing()

    async def aclose(self) -> None:
        self.closed += 1


class Connection:
    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def nothing() -> AsyncIterator[bytes]:
    for each in list[bytes]():
        yield each


def body_of(response: Response, spare: Connection | None) -> AsyncBody:
    return AsyncBody(cast(Any, response), lambda: spare)


async def test_the_end_of_a_stream_closes_the_connection_that_the_pool_has_no_more_use_for() -> None:
    response, spare = Response(), Connection()
    body = body_of(response, spare)
    await body.close()
    await body.close()
    assert (response.closed, spare.closed) == (1, 1)


async def test_the_end_of_a_stream_leaves_a_connection_alone_that_is_still_of_use() -> None:
    response = Response()
    await body_of(response, None).close()
    assert response.closed == 1
