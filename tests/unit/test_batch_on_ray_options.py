"""Options of `cwinference batch --ray` that do not go together. What it does is tested in tests/distributed."""

import socket
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from cwinference import errors
from cwinference._cli.main import main
from cwinference.ray._ray import _check_listens
from cwinference.ray._source import _expanded


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--workers", "2"], "--workers goes with --ray"),
        (["--ray", "--ordered"], "its files have no order"),
        (["--ray", "--shard", "1/2"], "--ray, which distributes the requests itself"),
        (["--ray", "--force"], "--ray; for another server, or changed requests, use another OUT_DIR"),
        (["--ray", "--retry-failed"], "--ray, which sends what failed again anyway"),
        (["--ray", "--concurrency", "auto"], "--concurrency auto does not go with --ray"),
        (["--ray", "--proxy", "http://proxy:1"], "--proxy does not go with --ray"),
    ],
    ids=["workers", "ordered", "shard", "force", "retry-failed", "auto", "proxy"],
)
def test_options_of_one_machine_and_of_a_cluster_do_not_go_together(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "in.jsonl", "out", "--gateway", "front", *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_a_cluster_does_not_read_standard_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "-", "out", "--gateway", "front", "--ray"]) == 2
    assert "--ray reads files" in capsys.readouterr().err


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
