"""Batches that are killed at random points, with inputs that are edited in between: each request has one completion.

`CWINFERENCE_KILLS` sets how many batches are killed; `make soak` kills many.
"""

import os
import random
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.batch_files import batch_request, echo, read_lines
from tests.support.batch_runs import run_command, start_command, write_requests
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response

BATCHES = max(2, int(os.environ.get("CWINFERENCE_KILLS", "2")))
KILLS = 2
LINES = 300


class Server:
    """Echoes requests, some of them late, and refuses some at first; it says when so many were there."""

    def __init__(self, chance: random.Random) -> None:
        self.sent = Counter[str]()
        self.reached = threading.Event()
        self.until = 0
        self._chance = chance
        self._lock = threading.Lock()

    def __call__(self, request: HttpRequest) -> ScriptedResponse:
        """Respond to a request."""
        text = request.body["messages"][0]["content"]
        with self._lock:
            self.sent[text] += 1
            is_refused, is_late = self._chance.random() < 0.05, self._chance.random() < 0.2
            if self.sent.total() >= self.until:
                self.reached.set()
        if is_late:
            threading.Event().wait(0.01)
        return json_response({"error": {"message": "no"}}, 400) if is_refused else echo(request)


def edited(requests: list[Any], chance: random.Random, fresh: int) -> list[Any]:
    """Return requests with a change: a text, a line more in front or at the end, or two that have changed places."""
    found, place = [*requests], chance.randrange(len(requests))
    match chance.choice(["nothing", "changed", "inserted", "removed", "swapped", "appended"]):
        case "changed":
            found[place] = {**found[place], **fitting(found[place], batch_request(fresh))}
        case "inserted":
            found.insert(0, fitting(found[0], batch_request(fresh), f"id-{fresh}"))
        case "removed":
            del found[place]
        case "swapped":
            found[place], found[0] = found[0], found[place]
        case "appended":
            found.append(fitting(found[0], batch_request(fresh), f"id-{fresh}"))
        case _:
            pass
    return found


def fitting(model: Any, request: Any, custom_id: str | None = None) -> Any:
    """Return a request with a `custom_id` if the others have one."""
    if "custom_id" not in model:
        return request["body"]
    return {**request, "custom_id": custom_id or model["custom_id"]}


def expected(requests: list[Any]) -> dict[str, str]:
    """Return the text that each request has, by its key."""
    return {
        each.get("custom_id", str(line)): each.get("body", each)["messages"][0]["content"]
        for line, each in enumerate(requests, 1)
    }


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("seed", range(BATCHES))
def test_each_request_has_one_completion_whatever_was_killed_and_edited(tmp_path: Path, seed: int) -> None:
    chance, named = random.Random(seed), seed % 2 == 0  # noqa: S311
    requests: list[Any] = [batch_request(number) if named else batch_request(number)["body"] for number in range(LINES)]
    source, out, respond = tmp_path / "in.jsonl", tmp_path / "out.jsonl", Server(chance)
    with ScriptedModelServer(respond) as server:
        command = ("batch", source, out, "--base-url", server.url, "--concurrency", 8, "--force")
        for kill in range(KILLS):
            write_requests(source, requests)
            respond.reached.clear()
            respond.until = respond.sent.total() + chance.randrange(1, LINES // 2)
            with start_command(*command) as process:
                while process.poll() is None and not respond.reached.wait(0.02):
                    pass
                threading.Event().wait(chance.random() * 0.1)  # the seed decides where it is met
                process.send_signal(signal.SIGKILL)
                process.communicate()
            requests = edited(requests, chance, LINES + kill)
        write_requests(source, requests)
        code, _, error = run_command(*command)
        for _ in range(10):
            if code == 0:
                break
            assert code == 1, error
            code, _, error = run_command(*command, "--retry-failed")
        assert code == 0, error
    found = read_lines(out)
    wanted = expected(requests)
    texts = {each["custom_id"]: each["response"]["body"]["choices"][0]["message"]["content"] for each in found}
    assert len(texts) == len(found)
    assert {key: texts.get(key) for key in wanted} == wanted
    assert max(respond.sent.values()) <= 1 + KILLS + 10
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "out.manifest.json"]
