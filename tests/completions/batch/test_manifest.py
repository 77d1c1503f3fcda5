"""The manifest of a batch: by it, another input or another model server is refused by name."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import BatchResult
from tests.support.batch_files import UNREACHABLE, batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.batch_runs import run_batch, run_command, write_requests
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response
from tests.support.waiting import wait_until, wait_until_async


def body(number: int) -> Any:
    return batch_request(number)["body"]


async def test_a_manifest_says_what_was_read_and_where_it_was_sent(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    manifest = tmp_path / "out.manifest.json"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, f"{server.url}/v1", [batch_request(0), "", "not JSON"], out)
        found = json.loads(manifest.read_text())
        assert found.pop("version")
        assert [count for count, _ in found["requests"].pop("checkpoints")] == [1, 2]
        assert len(found["requests"].pop("fingerprint")) == 32
        assert found == {
            "cwinference_batch": 1,
            "out": "out.jsonl",
            "servers": [server.url],
            "shard": None,
            "requests": {"count": 2},
            "finished": True,
        }
    assert sorted(each.name for each in out.parent.iterdir()) == [
        "out.errors.jsonl",
        "out.jsonl",
        "out.manifest.json",
    ]


async def test_a_manifest_is_there_before_the_first_completion(kind: str, tmp_path: Path) -> None:
    out, counts = tmp_path / "out.jsonl", list[int]()

    def requests() -> Iterator[Any]:
        yield batch_request(0)
        wait_until(lambda: bool(out.read_bytes()))
        counts.append(json.loads((tmp_path / "out.manifest.json").read_text())["requests"]["count"])

    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, requests(), out)
    assert counts == [1]


async def test_another_model_server_is_refused_by_name_unless_it_is_forced(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as first, ScriptedModelServer(echo) as second:
        await run_batch(kind, first.url, [batch_request(0)], out)
        before = out.read_bytes()
        message = (
            f"^out: the completions in {out} are from {first.url}, and not from {second.url}; use another out, or force"
        )
        with pytest.raises(errors.ConfigurationError, match=message):
            await run_batch(kind, second.url, map(batch_request, range(2)), out)
        assert (second.requests, out.read_bytes()) == ([], before)
        assert await run_batch(kind, second.url, map(batch_request, range(2)), out, force=True) == BatchResult(1, 0, 1)
        assert await run_batch(kind, second.url, map(batch_request, range(3)), out) == BatchResult(1, 0, 2)
    assert read_texts(out) == echoed_texts(0, 1, 2)


async def test_the_servers_of_a_batch_may_come_in_another_order(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    manifest = tmp_path / "out.manifest.json"
    with ScriptedModelServer(echo) as first, ScriptedModelServer(echo) as second:
        urls: Any = [first.url, second.url]
        await run_batch(kind, urls, map(batch_request, range(3)), out)
        assert json.loads(manifest.read_text())["servers"] == sorted(urls)
        assert await run_batch(kind, urls[::-1], map(batch_request, range(4)), out) == BatchResult(1, 0, 3)
        with pytest.raises(errors.ConfigurationError, match="are from .*, .*, and not from"):
            await run_batch(kind, first.url, map(batch_request, range(4)), out)


@pytest.mark.parametrize("count", [3, 5000])
@pytest.mark.parametrize("is_file", [True, False])
async def test_another_input_is_refused_by_name_and_nothing_is_sent(
    kind: str, tmp_path: Path, count: int, is_file: bool
) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(3)), out)
        before, sent = out.read_bytes(), len(server.requests)
        others = map(batch_request, range(10, 10 + count))
        requests: Any = write_requests(tmp_path / "in.jsonl", others) if is_file else others
        message = (
            f"^requests: {requests if is_file else 'the iterable'} is another input than the one whose completions are "
            f"in {out}: its first request differs, and 3 of the 3 completions belong to no request so far"
        )
        with pytest.raises(errors.ConfigurationError, match=message):
            await run_batch(kind, server.url, requests, out)
        assert (out.read_bytes(), len(server.requests)) == (before, sent)
        if count == 3:
            others = map(batch_request, range(10, 13))
            assert await run_batch(kind, server.url, others, out, force=True) == BatchResult(3, 0, 0)
            assert read_texts(out) == echoed_texts(0, 1, 2, 10, 11, 12)


async def test_an_input_that_grew_at_its_end_is_the_same(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        for count in (1, 2, 5, 40, 41):
            assert (await run_batch(kind, server.url, map(batch_request, range(count)), out)).failed == 0
        assert len(server.requests) == 41
    assert read_texts(out) == echoed_texts(*range(41))


@pytest.mark.parametrize(
    ("edited", "where"),
    [
        ([body(0), body(1)], "it ends after 2 requests, and earlier runs have read 5"),
        ([batch_request(9), *map(batch_request, range(4))], "its first request differs"),
        ([batch_request(0), *map(batch_request, range(2, 5))], "its request 2 differs"),
    ],
    ids=["shorter", "inserted", "removed"],
)
async def test_an_input_that_lacks_completed_requests_is_refused(
    kind: str, tmp_path: Path, edited: list[Any], where: str
) -> None:
    out = tmp_path / "out.jsonl"
    first = [body(number) for number in range(5)] if "ends" in where else [*map(batch_request, range(5))]
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, first, out)
        with pytest.raises(errors.ConfigurationError, match=f"is another input .*: {where}"):
            await run_batch(kind, server.url, edited, out)
        assert len(server.requests) == 5


async def test_named_requests_may_come_in_another_order_and_with_others_in_between(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(20)), out)
        mixed = [batch_request(number) for number in reversed(range(25))]
        assert await run_batch(kind, server.url, mixed, out) == BatchResult(5, 0, 20)
        mixed.append(batch_request(25))
        assert await run_batch(kind, server.url, mixed, out) == BatchResult(1, 0, 25)
    assert read_texts(out) == echoed_texts(*range(26))


async def test_a_failed_request_may_be_corrected(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        wrong = [batch_request(0), "not JSON", batch_request(2)]
        assert await run_batch(kind, server.url, wrong, out) == BatchResult(2, 1, 0)
        assert await run_batch(kind, server.url, map(batch_request, range(3)), out) == BatchResult(1, 0, 2)
    assert read_texts(out) == echoed_texts(0, 1, 2)


async def test_where_nothing_is_completed_any_input_and_server_will_do(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert (await run_batch(kind, UNREACHABLE, [batch_request(0)], out)).failed == 1
    with ScriptedModelServer(echo) as server:
        assert await run_batch(kind, server.url, [batch_request(1)], out) == BatchResult(1, 0, 0)


@pytest.mark.parametrize("left", ["", "\0\0\0", '{"cwin', '{"cwinference_batch": 1, "version": "1", "ser'])
async def test_a_torn_manifest_is_replaced(kind: str, tmp_path: Path, left: str) -> None:
    out = tmp_path / "out.jsonl"
    manifest = tmp_path / "out.manifest.json"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(3)), out)
        whole = manifest.read_text()
        manifest.write_text(left)
        assert await run_batch(kind, server.url, map(batch_request, range(3)), out) == BatchResult(0, 0, 3)
        assert manifest.read_text() == whole


@pytest.mark.parametrize("content", ["mine", "{}", "[1]", '{"servers": []}'])
async def test_a_file_in_place_of_the_manifest_is_left_as_it_is(kind: str, tmp_path: Path, content: str) -> None:
    out = tmp_path / "out.jsonl"
    manifest = tmp_path / "out.manifest.json"
    manifest.write_text(content)
    with pytest.raises(errors.ConfigurationError, match=f"^out: {manifest} is not the manifest of a batch"):
        await run_batch(kind, UNREACHABLE, [batch_request(0)], out, force=True)
    assert (manifest.read_text(), out.exists()) == (content, False)


@pytest.mark.parametrize("version", ["9.9", None])
async def test_a_manifest_of_a_later_version_is_refused_by_name(kind: str, tmp_path: Path, version: str | None) -> None:
    out = tmp_path / "out.jsonl"
    manifest = tmp_path / "out.manifest.json"
    content = json.dumps({"cwinference_batch": 2, "version": version, "inputs": []})
    manifest.write_text(content)
    written = f"was written by {'version 9.9' if version else 'a later version'} of cwinference"
    with pytest.raises(errors.ConfigurationError, match=f"^out: {manifest} {written}, .*; update cwinference"):
        await run_batch(kind, UNREACHABLE, [batch_request(0)], out, force=True)
    assert (manifest.read_text(), out.exists()) == (content, False)


async def test_a_folder_in_place_of_the_manifest_is_one_clear_line(kind: str, tmp_path: Path) -> None:
    manifest = tmp_path / "out.manifest.json"
    manifest.mkdir()
    with pytest.raises(errors.ConfigurationError, match=f"{manifest} is a folder; move it, or use another out$"):
        await run_batch(kind, UNREACHABLE, [batch_request(0)], tmp_path / "out.jsonl")


@pytest.mark.parametrize(("first", "second"), [("run", "run.jsonl"), ("run.jsonl", "run")])
async def test_two_files_that_would_have_one_manifest_are_refused_by_name(
    kind: str, tmp_path: Path, first: str, second: str
) -> None:
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, [batch_request(0)], tmp_path / first)
        before = (tmp_path / "run.manifest.json").read_text()
        message = f"the manifest and the failures of {tmp_path / first}, whose name differs only in .jsonl; use another"
        with pytest.raises(errors.ConfigurationError, match=message):
            await run_batch(kind, server.url, [batch_request(1)], tmp_path / second, force=True)
        assert (tmp_path / "run.manifest.json").read_text() == before
        assert not (tmp_path / second).exists()
        (tmp_path / first).rename(tmp_path / second)  # which is the same batch under another name
        result = await run_batch(kind, server.url, map(batch_request, range(2)), tmp_path / second)
    assert result == BatchResult(1, 0, 1)


async def test_two_that_begin_at_once_find_out_that_they_would_have_one_manifest(kind: str, tmp_path: Path) -> None:
    go = threading.Event()

    def requests() -> Iterator[Any]:
        go.wait(60)
        yield batch_request(1)

    with ScriptedModelServer(echo) as server:
        first = asyncio.create_task(run_batch(kind, server.url, requests(), tmp_path / "run"))
        await wait_until_async((tmp_path / "run").exists)
        await run_batch(kind, server.url, [batch_request(2)], tmp_path / "run.jsonl")
        go.set()
        with pytest.raises(errors.ConfigurationError, match=r"run\.jsonl, whose name differs only in \.jsonl"):
            await first
    assert read_texts(tmp_path / "run.jsonl") == echoed_texts(2)


async def test_a_refused_run_leaves_the_manifest_as_it_was(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    manifest = tmp_path / "out.manifest.json"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(3)), out)
        before = manifest.read_text()
        changed = {**batch_request(9), "custom_id": "id-2"}
        with pytest.raises(errors.ConfigurationError, match="^requests: request 4 differs from the request that has"):
            await run_batch(kind, server.url, [*map(batch_request, (0, 1, 7)), changed], out)
        assert manifest.read_text() == before
        manifest.unlink()
        with pytest.raises(errors.ConfigurationError, match="^requests: request 2 differs from the request that has"):
            await run_batch(kind, server.url, [batch_request(8), changed], out)
    assert not manifest.exists()


async def test_the_producer_of_another_input_that_waits_for_results_gets_none(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(3)), out)
        refused = threading.Event()

        def requests() -> Iterator[Any]:
            yield batch_request(7)
            refused.wait(60)

        with pytest.raises(errors.ConfigurationError, match="is another input"):
            await run_batch(kind, server.url, requests(), out)
        refused.set()
        assert len(server.requests) == 3


def test_the_command_refuses_another_input_and_server_unless_it_is_forced(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    source = write_requests(tmp_path / "in.jsonl", map(batch_request, range(2)))
    with ScriptedModelServer(echo) as server, ScriptedModelServer(echo) as other:
        assert run_command("batch", source, out, "--base-url", server.url)[0] == 0
        code, _, error = run_command("batch", source, out, "--base-url", other.url)
        assert (code, error) == (
            2,
            f"cwinference batch: out: the completions in {out} are from {server.url}, and not from {other.url}; use "
            "another OUT, or --force to mix them\n",
        )
        write_requests(source, map(batch_request, range(5, 8)))
        code, _, error = run_command("batch", source, out, "--base-url", server.url)
        assert (code, "--force to go on with this input" in error) == (2, True)
        assert run_command("batch", source, out, "--base-url", server.url, "--force")[:2] == (
            0,
            "3 completed, 0 failed, 0 skipped\n",
        )


@pytest.mark.parametrize("named", [True, False])
async def test_a_request_that_has_changed_is_refused_by_name_and_sent_again_if_forced(
    kind: str, tmp_path: Path, named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out.jsonl"
    make = batch_request if named else body
    key = "id-1" if named else "2"
    requests: list[Any] = [make(number) for number in range(4)]
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, requests, out)
        requests[1] = {**make(9), "custom_id": "id-1"} if named else make(9)
        with pytest.raises(errors.ConfigurationError, match=f"request 2 differs from .* under '{key}' in "):
            await run_batch(kind, server.url, requests, out)
        with caplog.at_level("WARNING", "cwinference"):
            assert await run_batch(kind, server.url, requests, out, force=True) == BatchResult(1, 0, 3)
        assert f"request 2 ('{key}') has changed since it was completed, and is sent again" in caplog.text
        assert await run_batch(kind, server.url, requests, out) == BatchResult(0, 0, 4)
    texts = read_texts(out)
    assert (texts.pop(key), len(texts)) == ("text 9", 3)
    assert "replaces" not in out.read_text()


async def test_a_changed_request_that_fails_is_left_without_a_completion(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def respond(request: HttpRequest) -> ScriptedResponse:
        is_odd = request.body["messages"][0]["content"] == "text 9"
        return json_response({"error": {"message": "no"}}, 400) if is_odd else echo(request)

    requests: list[Any] = [batch_request(number) for number in range(4)]
    with ScriptedModelServer(respond) as server:
        await run_batch(kind, server.url, requests, out)
        requests[1:3] = [{**batch_request(9), "custom_id": "id-1"}, {"custom_id": "id-2", "body": 5}]
        assert await run_batch(kind, server.url, requests, out, force=True) == BatchResult(0, 2, 2)
        assert {each["custom_id"] for each in read_lines(out.with_suffix(".errors.jsonl"))} == {"id-1", "id-2"}
    assert read_texts(out) == echoed_texts(0, 3)


async def test_a_killed_run_that_replaced_completions_is_put_in_order_by_the_next_one(
    kind: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    requests: list[Any] = [batch_request(number) for number in range(3)]
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, requests, out)
        former = out.read_bytes()
        requests[0] = {**batch_request(7), "custom_id": "id-0"}
        await run_batch(kind, server.url, requests, out, force=True)
        (new,) = [line for line in out.read_bytes().splitlines() if b"text 7" in line]
        out.write_bytes(former + new[:-1] + b',"replaces":true}\n')  # as a kill before the end leaves it
        assert await run_batch(kind, server.url, requests, out) == BatchResult(0, 0, 3)
        assert read_texts(out) == {**echoed_texts(1, 2), "id-0": "text 7"}

        out.write_bytes(former + new[:-1] + b',"replaces":true}\n')
        requests[0] = batch_request(0)
        assert await run_batch(kind, server.url, requests, out, force=True) == BatchResult(1, 0, 2)
    assert read_texts(out) == echoed_texts(0, 1, 2)
