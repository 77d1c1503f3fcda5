"""Options of `cwinference batch --ray` that do not go together. What it does is tested in tests/distributed."""

import socket
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import cwinference.ray
from cwinference import errors
from cwinference._cli.main import main
from cwinference.inference.batch.manifest import Shard
from cwinference.ray import _ray
from cwinference.ray._prepared import Prepared
from cwinference.ray._ray import _check_listens
from cwinference.ray._source import _expanded, _is_in


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--workers", "2"], "--workers goes with --ray"),
        (["--ray", "--ordered"], "its files have no order"),
        (["--ray", "--retry-failed"], "--ray, which sends what failed again anyway"),
        (["--ray", "--proxy", "http://proxy:1"], "--proxy does not go with --ray"),
    ],
    ids=["workers", "ordered", "retry-failed", "proxy"],
)
def test_options_of_one_machine_and_of_a_cluster_do_not_go_together(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "in.jsonl", "out", "--gateway", "front", *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_a_file_that_is_taken_as_the_address_of_a_cluster_is_missed_with_an_explanation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["batch", "--ray", "in.jsonl", "out", "--gateway", "front"]) == 2
    assert "write --ray last" in capsys.readouterr().err
    assert main(["batch", "in.jsonl", "--gateway", "front", "--ray"]) == 2
    assert "missing argument 'OUT.jsonl'" in capsys.readouterr().err


def test_a_cluster_does_not_read_standard_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "-", "out", "--gateway", "front", "--ray"]) == 2
    assert "--ray reads files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"concurrency": 0}, "concurrency: expected a whole number above 0"),
        ({"concurrency": "all"}, "concurrency: expected a number or \"auto\", got 'all'"),
        ({"shard": (3, 2)}, r"shard: expected \(k, n\)"),
        ({"force": 1}, "force: "),
    ],
    ids=["no-number", "no-word", "no-shard", "no-flag"],
)
def test_arguments_of_a_batch_on_a_cluster_are_checked_before_ray_is_loaded(
    arguments: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        cwinference.ray.batch("in.jsonl", tmp_path / "out", base_url="http://127.0.0.1:9", **arguments)
    with pytest.raises(errors.ConfigurationError, match=r'give SharedLimit\("auto"\)'):
        cwinference.ray.Completions(base_url="http://127.0.0.1:9", concurrency=cast(Any, "auto"))


def test_each_request_is_in_one_shard_whatever_the_order() -> None:
    rows = [Prepared(f"id-{number}", 0, b"", "", "") for number in range(300)]
    shards = [[row for row in rows if _is_in(Shard(number, 3), row)] for number in (1, 2, 3)]

    assert sorted(row for shard in shards for row in shard) == sorted(rows)
    assert all(len(shard) > 70 for shard in shards)
    assert all(_is_in(None, row) for row in rows)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_command_names_the_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "in.jsonl", "out", "--gateway", "front", "--ray", "10.0.0.5:6379"]) == 2
    assert "cwinference[ray]" in capsys.readouterr().err


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        _check_listens(address, "address")
    with pytest.raises(errors.ConfigurationError, match=f"RAY_ADDRESS: no Ray cluster at '{address}': .*refused"):
        _check_listens(address, "RAY_ADDRESS")
    for what_only_ray_knows in ("auto", "local", "ray://127.0.0.1:1"):
        _check_listens(what_only_ray_knows, "address")


def test_a_cluster_that_ray_remembers_and_that_is_gone_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def remember(address: str | None) -> None:
        utils = SimpleNamespace(read_ray_address=lambda: address)
        monkeypatch.setattr(_ray, "ray_module", lambda name: utils)

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        remember(address)
        assert not _ray._is_gone()
    assert _ray._is_gone()
    assert f"there was a Ray cluster at {address} (Connection refused)" in caplog.text
    remember(None)
    assert not _ray._is_gone()
    for changed in (SimpleNamespace(), None):
        monkeypatch.setattr(_ray, "ray_module", lambda name, changed=changed: changed or import_module("ray._nothing"))
        assert not _ray._is_gone()


class Type(Enum):
    File, Directory, NotFound = range(3)


class Folders:
    """What the file systems of pyarrow do here, on this machine's disk."""

    FileType = Type

    @staticmethod
    def FileSelector(folder: str, *, recursive: bool) -> list[Path]:  # noqa: N802 - as there
        return sorted(Path(folder).rglob("*") if recursive else Path(folder).iterdir())

    def get_file_info(self, what: str | list[Path]) -> SimpleNamespace | list[SimpleNamespace]:
        if isinstance(what, list):
            return [self._info(each) for each in what]
        return self._info(Path(what))

    @staticmethod
    def _info(path: Path) -> SimpleNamespace:
        kind = Type.File if path.is_file() else Type.Directory if path.is_dir() else Type.NotFound
        return SimpleNamespace(path=str(path), type=kind)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("in/*.jsonl", ["in/one.jsonl"]),
        ("in/*/x.jsonl", ["in/a/x.jsonl"]),
        ("in/**/x.jsonl", ["in/a/b/x.jsonl", "in/a/x.jsonl"]),
        ("in", ["in/a/b/x.jsonl", "in/a/x.jsonl", "in/one.jsonl"]),
    ],
    ids=["in-a-folder", "in-folders-of-it", "at-any-depth", "a-folder"],
)
def test_a_cluster_reads_the_files_that_a_pattern_names(pattern: str, found: list[str], tmp_path: Path) -> None:
    for name in ("one.jsonl", "a/x.jsonl", "a/b/x.jsonl", "a/b/.hidden"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    assert _expanded(Folders, Folders(), str(tmp_path / pattern)) == [str(tmp_path / each) for each in found]
