"""Batches that are split by hand: each part sends its lines, and `merge` joins them if they belong together."""

import json
from pathlib import Path
from typing import Any

import pytest

from cwinference import errors
from cwinference.inference import BatchResult, merge_batches
from cwinference.inference.batch.access import manifest_path
from tests.support.batch_files import batch_request, echo, echoed_texts, read_lines, read_texts
from tests.support.batch_runs import run_batch, run_command, write_requests
from tests.support.scripted_model_server import HttpRequest, ScriptedModelServer, ScriptedResponse, json_response


def body(number: int) -> Any:
    return batch_request(number)["body"]


async def run_shards(url: str, folder: Path, requests: Any, of: int, *, kind: str = "async", **options: Any) -> Any:
    """Run all parts; return their files."""
    parts = [folder / f"part-{number}.jsonl" for number in range(1, of + 1)]
    for number, part in enumerate(parts, 1):
        await run_batch(kind, url, requests, part, shard=(number, of), **options)
    return parts


@pytest.mark.parametrize("named", [True, False])
async def test_parts_together_are_the_whole(kind: str, tmp_path: Path, named: bool) -> None:
    requests = [(batch_request if named else body)(number) for number in range(11)]
    with ScriptedModelServer(echo) as server:
        parts = await run_shards(server.url, tmp_path, requests, 3, kind=kind)
        assert [len(read_lines(part)) for part in parts] == [4, 4, 3]
        assert await run_batch(kind, server.url, requests, parts[1], shard=(2, 3)) == BatchResult(0, 0, 4)
        merged = merge_batches(parts[::-1], out=tmp_path / "out.jsonl")
        assert merged == BatchResult(11, 0, 0)
        assert merged.total_usage.total_tokens > 0
        await run_batch(kind, server.url, requests, tmp_path / "whole.jsonl")
        assert await run_batch(kind, server.url, [*requests, body(11)], tmp_path / "out.jsonl") == BatchResult(1, 0, 11)
    joined, whole = (
        {(each["custom_id"], each["request_digest"]) for each in read_lines(tmp_path / name)}
        for name in ("out.jsonl", "whole.jsonl")
    )
    assert whole < joined
    assert len(joined) == len(read_lines(tmp_path / "out.jsonl")) == 12
    assert all(len(read_lines(part)) in (3, 4) for part in parts)


async def test_failures_are_joined_and_can_be_retried(kind: str, tmp_path: Path) -> None:
    out, down = tmp_path / "out.jsonl", [True]

    def respond(request: HttpRequest) -> ScriptedResponse:
        is_odd = request.body["messages"][0]["content"] in ("text 3", "text 4")
        return json_response({"error": {"message": "no"}}, 400) if is_odd and down else echo(request)

    requests = [*map(batch_request, range(6))]
    with ScriptedModelServer(respond) as server:
        parts = await run_shards(server.url, tmp_path, requests, 2)
        assert merge_batches(parts, out=out) == BatchResult(4, 2, 0)
        assert {each["custom_id"] for each in read_lines(tmp_path / "out.errors.jsonl")} == {"id-3", "id-4"}
        down.clear()
        assert await run_batch(kind, server.url, requests, out, retry_failed=True) == BatchResult(2, 0, 4)
    assert read_texts(out) == echoed_texts(*range(6))


async def test_another_shard_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        await run_batch(kind, server.url, map(batch_request, range(6)), out, shard=(1, 2))
        with pytest.raises(errors.ConfigurationError, match=f"^shard: {out} is for shard 1/2, and not for shard 2/2;"):
            await run_batch(kind, server.url, map(batch_request, range(6)), out, shard=(2, 2))
        with pytest.raises(errors.ConfigurationError, match="is for shard 1/2, and not for all requests"):
            await run_batch(kind, server.url, map(batch_request, range(6)), out)
        assert (await run_batch(kind, server.url, map(batch_request, range(6)), out, force=True)).completed == 3
    assert read_texts(out) == echoed_texts(*range(6))


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 2, 3), "1/2", 1, (1.0, 2), (True, 2)])
async def test_a_shard_that_cannot_be_is_refused(kind: str, tmp_path: Path, shard: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="^shard: expected"):
        await run_batch(kind, "http://127.0.0.1:9", [], tmp_path / "out.jsonl", shard=shard)


async def test_parts_that_do_not_belong_together_are_refused_by_name(tmp_path: Path) -> None:
    out, requests = tmp_path / "out.jsonl", [*map(batch_request, range(9))]
    with ScriptedModelServer(echo) as server:
        one, two, three = await run_shards(server.url, tmp_path, requests, 3)
        for folder, others, of in (("other", map(batch_request, range(9, 18)), 3), ("half", requests, 2)):
            (tmp_path / folder).mkdir()
            await run_shards(server.url, tmp_path / folder, [*others], of)
        await run_batch("async", server.url, requests, tmp_path / "whole.jsonl")
        twice = [*requests, batch_request(0)]
        (tmp_path / "twice").mkdir()
        parts_with_duplicate = await run_shards(server.url, tmp_path / "twice", [*twice, batch_request(1)], 2)
    other, half, whole = tmp_path / "other/part-3.jsonl", tmp_path / "half/part-2.jsonl", tmp_path / "whole.jsonl"
    unfinished = json.loads((tmp_path / "other/part-1.manifest.json").read_text())
    (tmp_path / "other/part-1.manifest.json").write_text(json.dumps({**unfinished, "finished": False}))
    copy, link = tmp_path / "copy.jsonl", tmp_path / "folder" / ".." / two.name
    (tmp_path / "folder").mkdir()
    for path, name in ((copy, two), (manifest_path(copy), manifest_path(two))):
        path.write_bytes(name.read_bytes())
    for parts, message in (
        ([one, two], "parts: shard 3/3 is missing"),
        ([one, two, copy], f"parts: {copy} is shard 2/3, and so is {two}"),
        ([one, two, link], f"parts: {link} is given twice, the first time as {two}; give each part once"),
        ([one, two, other], f"parts: {other} has read other requests than {one}"),
        ([one, two, half], f"parts: {half} is shard 2/2, and {one} is shard 1/3"),
        ([one, two, whole], f"parts: {whole} is not one of the parts"),
        ([one, two, tmp_path / "none"], f"parts: {tmp_path / 'none'} does not exist"),
        ([tmp_path / "other/part-1.jsonl"], "shard 1/3, is not finished; run it again"),
        ([], "parts: expected the paths"),
        (parts_with_duplicate, "parts: two completions have the key 'id-"),
    ):
        with pytest.raises(errors.ConfigurationError, match=message):
            merge_batches(parts, out=out)
        assert not out.exists()
    with pytest.raises(errors.ConfigurationError, match=f"^out: {whole} exists"):
        merge_batches([one, two, three], out=whole)
    with pytest.raises(errors.ConfigurationError, match="^out: .*out.jsonl cannot be created, because its folder does"):
        merge_batches([one, two, three], out=tmp_path / "no" / "out.jsonl")
    whole_part = two.read_bytes()
    two.write_bytes(whole_part[: whole_part.index(b"\n") + 1])
    with pytest.raises(errors.ConfigurationError, match="^parts: 2 requests have neither a completion nor a failure"):
        merge_batches([one, two, three], out=out)
    two.write_bytes(whole_part)
    (tmp_path / "out.errors.jsonl").write_text("mine")
    with pytest.raises(errors.ConfigurationError, match="is not a failure of a batch"):
        merge_batches([one, two, three], out=out)
    assert (tmp_path / "out.errors.jsonl").read_text() == "mine"


def test_the_command_splits_and_merges(tmp_path: Path) -> None:
    source = write_requests(tmp_path / "in.jsonl", map(batch_request, range(5)))
    parts, out = [tmp_path / f"{number}.jsonl" for number in (1, 2)], tmp_path / "out.jsonl"
    with ScriptedModelServer(echo) as server:
        for number, part in enumerate(parts, 1):
            command = ("batch", source, part, "--base-url", server.url, "--shard", f"{number}/2")
            assert run_command(*command)[0] == 0
    assert run_command("batch", "merge", out, *parts) == (0, "5 completed, 0 failed, 0 skipped\n", "")
    assert read_texts(out) == echoed_texts(*range(5))
    code, _, error = run_command("batch", "merge", out, *parts)
    assert (code, error) == (2, f"cwinference batch merge: out: {out} exists; remove it, or use another out\n")
