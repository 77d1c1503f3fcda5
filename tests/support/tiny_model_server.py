"""A model server in a process of its own, for many requests: each response is the prompt, and nothing is kept."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

_LENGTH = b"content-length:"


@contextmanager
def tiny_model_server() -> Generator[str]:
    """Run the server; yield its URL."""
    with subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


async def _serve() -> None:
    server = await asyncio.start_server(_respond, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


async def _respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            length = next(int(line.removeprefix(_LENGTH)) for line in head if line.startswith(_LENGTH))
            choice = {"index": 0, "text": json.loads(await reader.readexactly(length))["prompt"]}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            body = json.dumps({"id": "c", "object": "text_completion", "choices": [choice], "usage": usage}).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


if __name__ == "__main__":
    asyncio.run(_serve())
