"""Files of a batch that are replaced as a whole, and the fingerprint by which another input is known."""

import errno
import os
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from cwinference.inference.batch.fingerprint import Fingerprint, RollingFingerprint, content_of
from cwinference.inference.batch.input_check import InputCheck
from cwinference.inference.batch.manifest import Manifest, Shard
from cwinference.inference.batch.replacing import replace_file, write_all


def fingerprint(*requests: str) -> Fingerprint:
    rolling = RollingFingerprint()
    for line, request in enumerate(requests, 1):
        rolling.add(line, content_of(request))
    return rolling.now


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write(file: FileIO) -> None:
        write_all(file, b"new")

    with pytest.raises(OSError, match="No space left") as caught:
        replace_file(path, fail, "out")
    assert caught.value.filename == str(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            replace_file(path, write, "out")
    assert ([each.name for each in tmp_path.iterdir()], path.read_text()) == (["file"], "old")
    (tmp_path / ".file.tmp").write_text("what a killed run has left")
    replace_file(path, write, "out").close()
    assert ([each.name for each in tmp_path.iterdir()], path.read_text()) == (["file"], "new")


@pytest.mark.skipif(os.name != "posix", reason="symbolic links and modes")
def test_a_symbolic_link_stays_one_and_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    replace_file(link, lambda file: write_all(file, b"new"), "out").close()
    assert (link.is_symlink(), path.read_text(), path.stat().st_mode & 0o777) == (True, "new", 0o640)


def test_a_manifest_is_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "out.manifest.json"
    for manifest in (
        Manifest(("a", "https://host/path"), Shard(2, 3), fingerprint("x", "y", "z"), finished=True),
        Manifest(("a",)),
    ):
        manifest.save(path)
        assert Manifest.load(path) == manifest
    assert path.stat().st_size < 1000


def test_a_manifest_of_millions_of_requests_is_small(tmp_path: Path) -> None:
    many = Fingerprint(10**9, "f" * 32, tuple((2**power, "f" * 32) for power in range(30)))
    Manifest(("6e5e9e02-0000-4000-8000-000000000000",), None, many).save(tmp_path / "out.manifest.json")
    assert (tmp_path / "out.manifest.json").stat().st_size < 2000


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 100])
def test_a_longer_input_is_known_as_soon_as_the_former_one_is_over(count: int) -> None:
    former = [f"request {number}" for number in range(count)]
    check = InputCheck(fingerprint(*former), 5)
    for line, request in enumerate([*former, "more", "and more"], 1):
        assert check.is_settled == (line > count)
        check.add(line, content_of(request))
    assert not check.differs


@pytest.mark.parametrize(("place", "noticed"), [(0, 1), (1, 2), (2, 4), (5, 8), (70, 100)])
def test_another_input_is_known_at_the_next_checkpoint(place: int, noticed: int) -> None:
    former = [f"request {number}" for number in range(100)]
    check = InputCheck(fingerprint(*former), 5)
    for line, request in enumerate(former, 1):
        check.add(line, content_of("another" if line - 1 == place else request))
        assert check.differs == (line >= noticed)
    assert "differs" in str(check.error("it", Path("out")))
    for found in range(5):
        assert check.is_settled is False, found
        check.find()
    assert (check.is_settled, check.differs) == (True, False)


def test_requests_are_identified_by_their_bodies_keys_and_lines() -> None:
    body: Any = {"model": "m", "prompt": "p"}
    contents = [
        content_of(each)
        for each in (body, {**body, "custom_id": "a"}, {**body, "custom_id": "b"}, {**body, "x": 1}, 5, b" a ", "b")
    ]
    assert len({*contents}) == len(contents)
    assert content_of({"prompt": "p", "model": "m"}) == content_of(body)
    assert content_of(b" a\n") == content_of("a")
    assert fingerprint("a", "b").value not in (fingerprint("b", "a").value, fingerprint("a", "", "b").value)
