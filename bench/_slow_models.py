"""Model servers on a thread that take their time: one refuses what is more than it holds, one is late now and then."""

import asyncio
import json
import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

_BODY = json.dumps(
    {"choices": [{"index": 0, "message": {"content": "twelve words"}, "finish_reason": "stop"}]}
).encode()
_BUSY = b'{"error": {"message": "busy"}}'


class SlowModels:
    """What such a server does, and what it has seen."""

    def __init__(self, seconds: Callable[[], float], holds: int = 1_000_000) -> None:
        self._seconds = seconds
        self._holds = holds
        self._in_flight = self.requests = self.refused = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to the requests of a connection one by one."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
                status, body = await self._respond()
                length = b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                writer.write(b"HTTP/1.1 %s\r\n%s%s" % (status, length, body))
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def _respond(self) -> tuple[bytes, bytes]:
        self.requests += 1
        if self._in_flight >= self._holds:
            self.refused += 1
            return b"429 Too Many Requests", _BUSY
        self._in_flight += 1
        try:
            await asyncio.sleep(self._seconds())
        finally:
            self._in_flight -= 1
        return b"200 OK", _BODY


def late_now_and_then(usual: float, late: float, share: float) -> Callable[[], float]:
    """Return how long responses take, of which some are late."""
    chance = random.Random(7)  # noqa: S311 - the same ones each time
    return lambda: late if chance.random() < share else usual


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def running_models(*models: SlowModels) -> Generator[None]:
    """Run these servers on a loop of their own for as long as the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        for each in models:
            server = asyncio.run_coroutine_threadsafe(asyncio.start_server(each.serve, "127.0.0.1", 0), loop).result()
            each.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_end_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
