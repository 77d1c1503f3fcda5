"""`cwinference batch` with gateways: by names and ids, several at once; and what the manifest calls them."""

import json
from pathlib import Path

from tests.support.commands import CommandLine
from tests.support.specs import FRONT, LLAMA


def test_a_batch_goes_to_several_gateways_by_names_and_ids(full: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    lines = "".join(f'{{"model":"org/llama","prompt":"{number}","max_tokens":1}}\n' for number in range(8))
    with full.client() as client:
        front = client.gateways.find("front").spec.id
        back = client.gateways.create("back", **FRONT, wait=True).spec.id
        client.deployments.create("llama-3", **LLAMA, gateway_ids=[back], traffic={"weight": 1}, wait=True)
    ran = full.ok("batch", "-", out, "--gateway", "front", "--gateway", back, stdin=lines)
    assert ran.out == "8 completed, 0 failed, 0 skipped\n"
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    assert manifest["servers"] == sorted([front, back])
    assert full.emulator.token not in json.dumps(manifest)
    ran = full.ok("batch", "-", out, "--gateway", "back,front", "-o", "json", stdin=lines)
    assert (ran.json["completed"], ran.json["skipped"]) == (0, 8)
    assert ran.json["total_usage"]["completion_tokens"] == 8
    ran = full("batch", "-", out, "--gateway", "back", stdin=lines)
    assert (ran.code, "another OUT, or --force to mix them" in ran.err) == (2, True)


def test_options_of_a_batch_are_checked(full: CommandLine, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    for arguments, message in (
        ([source, out, "--gateway", "front", "--shard", "3/2"], "expected K/N, the K-th of N parts"),
        ([source, out, "--gateway", "front", "--shard", "1"], "expected K/N, the K-th of N parts"),
        ([source, out, "--gateway", "front,"], "expected words with commas in between"),
        ([source, out, "--gateway", "front", "--base-url", "http://127.0.0.1:9"], "one of --gateway and --base-url"),
        ([source, "-", "--gateway", "front"], "and not to standard output"),
        (["merge", out], "PART.jsonl"),
        (["merge", out, "part"], "parts: part does not exist"),
    ):
        ran = full("batch", *arguments)
        assert (ran.code, message in ran.err) == (2, True), ran.err
    assert "--base-url" in full.ok("batch", "--help").out
    assert "PART.jsonl..." in full.ok("batch", "merge", "--help").out
