"""Batches on a cluster of Ray: what is asked, what is written, and what remains when something is killed."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from signal import SIGINT
from traceback import format_exception
from types import SimpleNamespace
from typing import Any

import pytest

import cwinference.ray
from cwinference import auth
from cwinference._cli.main import main
from cwinference.inference.batch.lines import completion_line
from cwinference.inference.batch.manifest import Manifest, Shard
from cwinference.inference.batch.requests import completion_of, digest_of
from cwinference.ray._prepared import Prepared
from tests.distributed.conftest import TOKEN
from tests.support.batch_files import batch_request, echo
from tests.support.batch_runs import write_requests
from tests.support.ray_cluster import RayCluster, files_with, keys_in, once, rows_in, wait_until
from tests.support.ready_gateways import ready_gateway
from tests.support.scripted_model_server import (
    HttpRequest,
    ScriptedModelServer,
    ScriptedResponse,
    completion,
    json_response,
)

pytestmark = pytest.mark.timeout(170)
"""The first one waits for the cluster too. `make distributed` ends all of them after 180 seconds."""


def asked(server: ScriptedModelServer) -> list[str]:
    return [request.body["messages"][-1]["content"] for request in server.requests]


def slowly(request: HttpRequest) -> ScriptedResponse:
    """Take a while really, so that other processes of the cluster are met at their work."""
    time.sleep(0.1)
    return echo(request)


def digest(row: dict[str, Any]) -> str:
    """Return the digest of a request."""
    return digest_of(*completion_of(dict(row)))


def write_completions(out: Path, run: str, rows: list[dict[str, Any]]) -> None:
    """Write the completions of requests, as a run does."""
    with (out / f"completed-{run}-000000.jsonl").open("wb") as file:
        for row in rows:
            file.write(completion_line(row["custom_id"], json.dumps(completion()).encode(), digest(row)))


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import_module("pyarrow.parquet").write_table(import_module("pyarrow").Table.from_pylist(rows), path)
    return path


def test_each_request_of_many_files_is_completed_once_and_a_bad_row_is_a_row(
    cluster: RayCluster, tmp_path: Path
) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        if request.body["messages"][-1]["content"] == "text 3":
            return json_response({"error": {"message": "too long"}}, 400)
        return echo(request)

    folder = tmp_path / "in"
    folder.mkdir()
    write_requests(folder / "a.jsonl", map(batch_request, range(20)))
    bad = ["no JSON", json.dumps({"custom_id": "nobody"}), json.dumps(batch_request(4)), json.dumps({"body": {}})]
    (folder / "b.jsonl").write_text("\n".join([*bad, "", json.dumps(batch_request(20))]))
    bodies = [{"custom_id": f"id-{n}", **batch_request(n)["body"]} for n in range(21, 25)]
    write_parquet(folder / "c.parquet", [{**each, "seed": None} for each in bodies])
    token = tmp_path / "token"
    token.write_text("token-of-a-file-5e8a")
    out = tmp_path / "out"
    with ScriptedModelServer(respond) as server:
        settings: dict[str, Any] = {"base_url": server.url, "token": auth.from_file(token), "workers": 2}
        result = cwinference.ray.batch(folder, out, **settings)

        assert (result.completed, result.failed, result.skipped) == (24, 5, 0)
        failed = {row["custom_id"]: row["error"]["message"] for row in rows_in(out) if row["error"]}
        b = folder / "b.jsonl"
        assert failed.keys() == {"id-3", "id-4", "nobody", f"{b}:1", f"{b}:4"}
        assert keys_in(out) == once(range(25)) + Counter(["id-4", "nobody", f"{b}:1", f"{b}:4"])
        assert "duplicate custom_id" in failed["id-4"]
        assert "not JSON" in failed[f"{b}:1"]
        assert "prompt is missing" in failed["nobody"]
        assert "custom_id is missing" in failed[f"{b}:4"]
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer token-of-a-file-5e8a"}
        assert all("seed" not in request.body for request in server.requests)

        server.requests.clear()
        write_requests(folder / "d.jsonl", map(batch_request, range(30, 33)))
        again = cwinference.ray.batch([f"{folder}/*.jsonl", folder / "c.parquet"], out, **settings)

        assert sorted(asked(server)) == ["text 3", "text 30", "text 31", "text 32"]
        assert (again.completed, again.failed, again.skipped) == (3, 5, 24)
        assert keys_in(out)["id-3"] == 1

        server.requests.clear()
        with pytest.raises(cwinference.errors.ConfigurationError, match=f"are from {server.url}.*, and not from http:"):
            cwinference.ray.batch(folder, out, base_url="http://127.0.0.1:9/v1")
        write_requests(folder / "a.jsonl", [batch_request(0), batch_request(1, temperature=1)])
        with pytest.raises(cwinference.errors.ConfigurationError, match="'id-1' differs from the request"):
            cwinference.ray.batch(folder / "a.jsonl", out, **settings)
        assert server.requests == []
    assert files_with("token-of-a-file-5e8a", cluster.folder, out) == []
    read = import_module("ray.data").read_json(str(out))
    assert {"custom_id", "response", "error"} <= set(read.schema().names)


def test_workers_take_the_token_of_their_environment_for_a_gateway_and_nothing_shows_it(
    cluster: RayCluster, tmp_path: Path
) -> None:
    requests, out = import_module("ray.data").from_items([batch_request(n) for n in range(6)]), tmp_path / "out"
    with ready_gateway(token=TOKEN) as ready:
        result = cwinference.ray.batch(requests, out, gateway="front", endpoint=ready.emulator.endpoint, workers=2)

    assert (result.completed, result.failed) == (6, 0)
    assert keys_in(out) == once(range(6))
    assert files_with(TOKEN, cluster.folder, out) == []


def test_a_refused_token_ends_the_run(cluster: RayCluster, tmp_path: Path) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(40))), tmp_path / "out"
    refusal = json_response({"error": {"message": "who are you"}}, 401)
    with (
        ScriptedModelServer(lambda _: refusal) as server,
        pytest.raises(cwinference.errors.Unauthenticated, match="who are you"),
    ):
        cwinference.ray.batch(requests, out, base_url=server.url, workers=1, concurrency=4)

    assert 0 < len(server.requests) <= 8
    assert keys_in(out) == {}


def test_a_429_pauses_all_workers_together_and_progress_is_shown(
    cluster: RayCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times: list[float] = []
    refused: list[float] = []

    def respond(request: HttpRequest) -> ScriptedResponse:
        times.append(time.monotonic())
        if len(times) == 30:
            refused.append(time.monotonic())
            return json_response({"error": {"message": "slow down"}}, 429, retry_after="2")
        return slowly(request)

    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(80))), tmp_path / "out"
    with ScriptedModelServer(respond) as server:
        result = cwinference.ray.batch(requests, out, base_url=server.url, workers=2, concurrency=8, progress=True)

    assert "80 of 80 requests" in capsys.readouterr().err
    assert (result.completed, result.failed) == (80, 0)
    began = refused[0] + 0.5
    assert [each - began for each in times if began < each < refused[0] + 1.9] == []
    assert sum(each < refused[0] for each in times) >= 29


def test_each_request_is_completed_once_when_the_driver_is_killed_and_in_the_next_run_a_worker(
    cluster: RayCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(160))), tmp_path / "out"
    with ScriptedModelServer(slowly) as server:
        words: list[str] = ["--base-url", server.url, "--workers", "2", "--concurrency", "4", "--ray", cluster.address]
        command = [sys.executable, "-m", "cwinference", "batch", str(requests), str(out), *words]
        with subprocess.Popen(command) as driver:
            wait_until(lambda: len(list(out.glob("completed-*"))) >= 2 or driver.poll() is not None, 200)
            driver.kill()
        wait_until(lambda: cluster.workers() == [], 30)
        before = set(keys_in(out))
        assert 0 < len(before) < 160
        server.requests.clear()
        kill = kill_after(10, server, cluster.kill_worker)
        capsys.readouterr()  # what Ray has said to this process, which is connected all the time
        code = main([*command[3:], "-o", "json"])
        kill.join()

        assert code == 0
        printed = capsys.readouterr()
        assert "(raylet)" in printed.err  # that a worker died
        result = json.loads(printed.out)
        assert (result["completed"], result["failed"], result["skipped"]) == (160 - len(before), 0, len(before))
        assert {f"id-{text.removeprefix('text ')}" for text in asked(server)} & before == set()
    assert keys_in(out) == once(range(160))
    assert {path.name for path in out.iterdir() if path.suffix != ".jsonl"} == {"_lock", "_manifest.json"}


def test_ctrl_c_ends_a_run_and_its_workers_and_says_how_to_continue(
    cluster: RayCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(160))), tmp_path / "out"
    with ScriptedModelServer(slowly) as server:
        words = ["--base-url", server.url, "--workers", "2", "--concurrency", "4", "--ray", cluster.address]
        command = ["batch", str(requests), str(out), *words]
        interrupt = kill_when(lambda: len(list(out.glob("completed-*"))) >= 2, lambda: os.kill(os.getpid(), SIGINT))
        code = main(command)
        interrupt.join()

        assert code == 130
        assert "interrupted; run the same command again to continue" in capsys.readouterr().err
        wait_until(lambda: cluster.workers() == [], 30)
    before = keys_in(out)
    assert 0 < len(before) < 160
    assert set(before.values()) == {1}


def test_force_replaces_what_changed_also_after_a_run_that_was_killed_and_a_shard_has_its_part(
    cluster: RayCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def respond(request: HttpRequest) -> ScriptedResponse:
        refused = json_response({"error": {"message": "too long"}}, 400)
        return refused if request.body["messages"][-1]["content"] == f"text {fails}" else echo(request)

    is_in, shard = import_module("cwinference.ray._source")._is_in, Shard(1, 2)
    mine = [n for n in range(40) if is_in(shard, Prepared(f"id-{n}", 0, b"", "", ""))]
    replaced, again, fails, new = mine[0], mine[1], mine[2], mine[-1]
    changed = {n: batch_request(n, temperature=1) if n in (replaced, again, fails) else batch_request(n) for n in mine}
    out = tmp_path / "out"
    out.mkdir()
    write_completions(out, "0" * 32, [batch_request(n) for n in mine if n != new])
    write_completions(out, "1" * 32, [changed[replaced]])
    (out / f"_replaces-{'1' * 32}").touch()
    (out / "_manifest.json").write_bytes(Manifest(servers=("http://elsewhere/v1",), shard=Shard(2, 2)).content)
    rows = [changed.get(n, batch_request(n)) for n in range(40)]
    requests = write_requests(tmp_path / "in.jsonl", [*rows, changed[again]])
    with ScriptedModelServer(respond) as server:
        settings: dict[str, Any] = {"base_url": server.url, "workers": 1, "concurrency": "auto"}
        with pytest.raises(cwinference.errors.ConfigurationError, match="is for shard 2/2, and not for shard 1/2; use"):
            cwinference.ray.batch(requests, out, shard=(1, 2), **settings)
        result = cwinference.ray.batch(requests, out, shard=(1, 2), force=True, **settings)

        assert sorted(asked(server)) == sorted(f"text {n}" for n in (again, fails, new))
        assert (result.completed, result.failed, result.skipped) == (2, 2, len(mine) - 3)
    reported = {f"'id-{n}' has changed since it was completed, and is sent again" for n in (again, fails)}
    assert {message for message in caplog.messages if "has changed" in message} == reported
    assert keys_in(out) == Counter(f"id-{n}" for n in (*mine, again))
    failed = {row["custom_id"]: row["error"]["message"] for row in rows_in(out) if row["error"]}
    assert "too long" in failed[f"id-{fails}"]
    assert "duplicate custom_id" in failed[f"id-{again}"]
    digests = {row["custom_id"]: row["request_digest"] for row in rows_in(out) if not row["error"]}
    assert digests == {f"id-{n}": digest(changed[n]) for n in mine if n != fails}
    assert {path.name for path in out.iterdir() if path.suffix != ".jsonl"} == {"_lock", "_manifest.json"}


def test_the_memory_of_the_driver_does_not_grow_with_the_requests(cluster: RayCluster, tmp_path: Path) -> None:
    count, padding = 30_000, "x" * 1000
    rows = [{**batch_request(n), "custom_id": f"{padding}-{n}"} for n in range(count)]
    requests, out = write_requests(tmp_path / "in.jsonl", rows), tmp_path / "out"
    few = write_requests(tmp_path / "few.jsonl", rows[:5])
    out.mkdir()
    write_completions(out, "0" * 32, rows[::2])
    size = requests.stat().st_size
    del rows
    finder = import_module("cwinference.ray._todo").Finder
    read = import_module("cwinference.ray._source").read_requests
    store = import_module("cwinference.ray._store").Store(out)
    with import_module("cwinference.ray._ray").quiet_data():
        store.begin("few")
        finder(store, "few").find(read(few), store.completed(), lambda total: 1000)
        before = resident()
        store.begin("all")
        found = finder(store, "all").find(read(requests), store.completed(), lambda total: 1000)
        grown = resident() - before

    half = count // 2
    assert (found.missing, found.completed, found.tokens) == (half, half, (3 * half, 2 * half, 5 * half))
    assert size > 30_000_000
    assert grown < size / 3


def test_a_task_that_gets_no_rows_finds_nothing_to_send(cluster: RayCluster, tmp_path: Path) -> None:
    todo = import_module("cwinference.ray._todo")
    store = import_module("cwinference.ray._store").Store(tmp_path)
    empty = import_module("cwinference.ray._source").table_of([])
    for blocks in ([], [empty, empty]):
        sink = todo._new_sink(todo.Finder(store, "run"), frozenset(), 10)

        assert sink.write(blocks, SimpleNamespace(task_idx=0)) == todo.Todo()


def test_a_pipeline_of_ones_own_has_a_response_or_an_error_in_each_row(cluster: RayCluster) -> None:
    rows: list[dict[str, Any]] = [{"custom_id": "a", **batch_request(1)["body"]}, {"custom_id": "b", "messages": None}]
    with ScriptedModelServer(echo) as server:
        completions = pipeline(rows, base_url=server.url, concurrency=cwinference.ray.SharedLimit(4))
        found = {row["custom_id"]: row for row in completions.take_all()}

    response = json.loads(found["a"]["response"])
    assert (response["status_code"], response["body"]["choices"][0]["message"]["content"]) == (200, "text 1")
    assert found["a"]["error"] is None
    assert found["b"]["response"] is None
    assert json.loads(found["b"]["error"])["message"] == "prompt is missing"


@pytest.mark.parametrize("kind", ["source", "environment", "string"])
def test_neither_plans_nor_the_errors_and_logs_of_workers_show_a_token(
    kind: str, cluster: RayCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, text = tmp_path / "token", f"token-of-a-{kind}-9d3b"
    path.write_text(text)
    token = {"source": auth.from_file(path), "environment": None, "string": text}[kind]
    with ready_gateway(token=TOKEN) as ready:  # which has no gateway of this name, and refuses the other tokens
        completions = pipeline(
            [batch_request(1)], gateway="nowhere", endpoint=ready.emulator.endpoint, token=token, concurrency=1
        )
        plan = f"{completions!r}{completions}{completions.explain()}"
        with pytest.raises(Exception) as failure:  # noqa: PT011 - it is Ray's, around ours
            completions.take_all()
    trace = "".join(format_exception(failure.value))

    assert {"source": "token is not valid", "environment": "nowhere", "string": "token: a string"}[kind] in trace
    printed = capfd.readouterr()
    shown = plan + trace + printed.out + printed.err
    assert [each for each in (text, TOKEN) if each in shown] == []
    assert files_with(text, cluster.folder) + files_with(TOKEN, cluster.folder) == []


def pipeline(rows: list[dict[str, Any]], **settings: Any) -> Any:
    """Return a dataset with the completions of rows."""
    data = import_module("ray.data")
    return data.from_items(rows).map_batches(
        cwinference.ray.Completions,
        fn_constructor_kwargs=settings,
        compute=data.ActorPoolStrategy(size=1),
        num_cpus=0,
        batch_format="pyarrow",
    )


def test_each_request_is_completed_once_when_a_node_is_killed(cluster: RayCluster, tmp_path: Path) -> None:
    requests, out = write_requests(tmp_path / "in.jsonl", map(batch_request, range(100))), tmp_path / "out"
    with ScriptedModelServer(slowly) as server:
        nodes: list[int] = []

        def kill_node() -> None:
            nodes.append(cluster.nodes_with_workers())
            cluster.kill_node()

        kill = kill_after(20, server, kill_node)
        result = cwinference.ray.batch(requests, out, base_url=server.url, concurrency=4)
        kill.join()

    assert nodes == [2]
    assert (result.completed, result.failed) == (100, 0)
    assert keys_in(out) == once(range(100))


def kill_after(count: int, server: ScriptedModelServer, kill: Any) -> threading.Thread:
    """Start a thread that kills something when the server has got a number of requests."""
    return kill_when(lambda: len(server.requests) >= count, kill)


def kill_when(condition: Any, kill: Any) -> threading.Thread:
    """Start a thread that kills something when a function returns True."""

    def run() -> None:
        wait_until(condition, 120)
        kill()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
