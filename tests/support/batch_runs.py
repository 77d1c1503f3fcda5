"""Runs of batches: by both kinds of `Inference`, and by the command in a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cwinference.inference import AsyncInference, BatchResult, Inference

FAILURE = '{"custom_id":"a","line":1,"response":null,"error":{"code":"unavailable","message":"no"}}'
"""A line of OUT.errors.jsonl as a batch writes it, without its newline."""
_PROGRAM = "import sys; from cwinference._cli.main import main; sys.exit(main())"


async def run_batch(kind: str, url: str, requests: Any, out: Any, *, limit: int = 1000, **options: Any) -> BatchResult:
    """Run a batch by an `Inference` ("sync", on a thread) or an `AsyncInference` ("async")."""
    settings: dict[str, Any] = {"token": "t", "retry": None, "limit": limit, **options.pop("settings", {})}
    if kind == "async":
        async with AsyncInference(url, **settings) as inference:
            return await inference.batch(requests, out=out, **options)

    def run_sync() -> BatchResult:
        with Inference(url, **settings) as inference:
            return inference.batch(requests, out=out, **options)

    return await asyncio.to_thread(run_sync)


def start_command(*arguments: object, before: str = "", **options: Any) -> "subprocess.Popen[str]":
    """Start `cwinference` in a process; `before` is Python code that it runs first."""
    command = [sys.executable, "-W", "error", "-c", f"{before}\n{_PROGRAM}", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if "TOKEN" not in name}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, env=environment, text=True, **options)


def run_command(*arguments: object, before: str = "", **options: Any) -> tuple[int, str, str]:
    """Run `cwinference`; return its exit code and what it printed to standard output and error."""
    with start_command(*arguments, before=before, **options) as command:
        output, error = command.communicate(timeout=60)
        return command.returncode, output or "", error or ""


def write_requests(path: Path, requests: Iterable[Any]) -> Path:
    """Write a JSONL file of requests."""
    path.write_text("".join(f"{json.dumps(each)}\n" for each in requests))
    return path


def completed_line(custom_id: str, text: str = "done", **more: Any) -> str:
    """Return a line of OUT as a batch writes it, without its newline."""
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    return response_line(custom_id, 200, body, None, **more)


def response_line(custom_id: str, status: int, body: Any, error: Any, **more: Any) -> str:
    """Return a response in OpenAI's batch form."""
    response = {"status_code": status, "body": body}
    return json.dumps({"custom_id": custom_id, "response": response, "error": error, **more}, separators=(",", ":"))
