"""The gate around `proto/` and `gen/` closes on what would corrupt calls, and only on that; tried in a copy."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / ".venv-generate" / "bin"
GOOGLEAPIS = ROOT / "third_party" / "googleapis"
STATUS = "proto/coreweave/inference/v1alpha1/status.proto"
TOOLS = ("tools/check-breaking", "tools/check-fresh", "tools/protoc_gen_grpc_python.py", "tools/type_docs.py")
DOCSTRINGS = "src/cwinference/_type_docs.py"
CLAIM = "proto/coreweave/inference/v1alpha1/capacity_claim.proto"


class Checkout:
    """A git repository with what the gate reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *command: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *identity, *command], cwd=self.folder, check=True, capture_output=True)

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.folder / file
        text = path.read_text("utf-8")
        assert before in text
        path.write_text(text.replace(before, after), "utf-8")

    def commit(self, *options: str) -> None:
        self.git("commit", "--all", "--message", "a change", *options)

    def run(self, tool: str, *arguments: str | Path) -> tuple[bool, str]:
        """Whether the tool is content, and what it says."""
        done = subprocess.run(
            [self.folder / tool if "/" in tool else PROGRAMS / tool, *arguments],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode == 0, done.stdout.decode()

    def breaks(self) -> tuple[bool, str]:
        return self.run("tools/check-breaking", PROGRAMS, GOOGLEAPIS)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """On a branch that has left main."""
    assert GOOGLEAPIS.exists(), "run `make lint` once: it makes what buf needs"
    checkout = Checkout(tmp_path / "checkout")
    for name in ("proto", "gen", "third_party"):
        shutil.copytree(ROOT / name, checkout.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*TOOLS, DOCSTRINGS, "buf.yaml", "buf.gen.yaml", ".gitignore"):
        (checkout.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout.folder / name)
    checkout.git("init", "--initial-branch", "main")
    checkout.git("add", ".")
    checkout.commit()
    checkout.git("switch", "--create", "branch")
    return checkout


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("uint32 pending_instances = 6", "uint32 pending_instances = 7", 'field "6"'),
        ("uint32 pending_instances = 6", "uint64 pending_instances = 6", "changed type"),
        ("uint32 pending_instances = 6", "uint32 waiting_instances = 6", "changed name"),
        ("CAPACITY_TYPE_MANAGED = 3", "CAPACITY_TYPE_MANAGED = 4", 'enum value "3"'),
    ],
)
def test_a_change_that_breaks_callers_is_refused(checkout: Checkout, before: str, after: str, complaint: str) -> None:
    checkout.edit(CLAIM, before, after)

    content, said = checkout.breaks()

    assert not content
    assert complaint in said


def test_an_addition_breaks_nobody(checkout: Checkout) -> None:
    checkout.edit(STATUS, "STATUS_READY = 6;", "STATUS_READY = 6;\n  // In service, with a limp.\n  STATUS_LAME = 7;")
    checkout.commit()

    assert checkout.breaks()[0]


def test_in_a_clone_of_main_the_last_change_of_the_protos_is_judged(checkout: Checkout, tmp_path: Path) -> None:
    checkout.git("switch", "main")
    checkout.edit(STATUS, "STATUS_READY = 6", "STATUS_READY = 7")
    checkout.commit()
    checkout.commit("--allow-empty")
    checkout.git("clone", f"file://{checkout.folder}", str(tmp_path / "clone"))
    clone = Checkout(tmp_path / "clone")
    shutil.copytree(GOOGLEAPIS, clone.folder / "third_party" / "googleapis")
    clone.git("switch", "--detach")
    clone.git("branch", "--delete", "main")
    clone.git("remote", "remove", "origin")

    content, said = clone.breaks()

    assert not content
    assert 'enum value "6" on enum "Status" was deleted' in said


def test_a_clone_without_history_has_nothing_to_compare_with(checkout: Checkout, tmp_path: Path) -> None:
    checkout.git("clone", "--depth", "1", f"file://{checkout.folder}", str(tmp_path / "clone"))

    assert Checkout(tmp_path / "clone").breaks() == (True, "check-breaking: no earlier proto/ to compare with\n")


def test_generated_code_that_is_not_what_the_protos_compile_to_is_refused(checkout: Checkout) -> None:
    assert checkout.run("tools/check-fresh", PROGRAMS) == (True, "")

    checkout.edit(STATUS, "STATUS_READY = 6", "STATUS_READY = 7")
    (checkout.folder / "gen" / "coreweave" / "inference" / "stray.py").touch()
    content, said = checkout.run("tools/check-fresh", PROGRAMS)

    assert not content
    assert "status_pb2.py" in said
    assert "stray.py" in said


def test_docstrings_that_are_not_the_comments_of_the_protos_are_refused(checkout: Checkout) -> None:
    checkout.edit(DOCSTRINGS, "In service.", "In use.")

    content, said = checkout.run("tools/check-fresh", PROGRAMS)

    assert not content
    assert f"Files {DOCSTRINGS} and " in said
    assert "gen/" not in said


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("  // In service.\n", "", "should have a non-empty comment"),
        ("STATUS_READY", "READY", "should be prefixed"),
        ("STATUS_UNSPECIFIED", "STATUS_NONE", "should be suffixed"),
    ],
)
def test_lint_holds_the_protos_to_comments_and_names(
    checkout: Checkout, before: str, after: str, complaint: str
) -> None:
    assert checkout.run("buf", "lint") == (True, "")

    checkout.edit(STATUS, before, after)
    content, said = checkout.run("buf", "lint")

    assert not content
    assert complaint in said
