"""Build the wheel and the sdist, check what they contain, and use the wheel as users do, in fresh environments."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parent.parent
USERS_STUBS = ("types-grpcio", "types-protobuf")
OLDEST_MINOR, NEWEST_MINOR = 11, 15
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = {name: needed for name, needed in PROJECT["optional-dependencies"].items() if name != "ray"}
"""All but `ray`, which is 600 MB in each environment: `make distributed` has it."""
FLOORS = {
    name: floor.split(",")[0]
    for name, _, floor in (each.partition(">=") for each in chain(PROJECT["dependencies"], *EXTRAS.values()))
}


@dataclass(frozen=True)
class Environment:
    """A fresh environment with the wheel, and what else is installed in it."""

    name: str
    python: Path
    requirements: tuple[str, ...] = ()
    extras: str = ""
    """Extras of the wheel, in brackets."""
    neighbors: tuple[str, ...] = ()
    """Modules of other packages, to import in the same process."""
    typed: bool = False
    """Whether type checkers read users' files there."""


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = build(folder / "dist")
        check_wheel(wheel)
        check_sdist(sdist)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(lambda environment: try_in(environment, wheel, folder), environments()))


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it; return the wheel and the sdist."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def tracked(folder: str, below: str) -> set[str]:
    """Return the names of the checked-in files of a folder, relative to `below`."""
    files = run("git", "-C", str(ROOT), "ls-files", folder).split()
    return {Path(file).relative_to(below).as_posix() for file in files}


def check_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        contained = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = tracked("src", "src") | tracked("gen", "gen") | tracked("proto", "proto")
    check_same("wheel", contained, expected)
    assert {"cwinference/py.typed", "coreweave/inference/v1alpha1/py.typed"} <= contained
    assert "coreweave/__init__.py" not in contained, "coreweave is a namespace that CoreWeave's own packages share"


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        contained = {name.partition("/")[2] for name in archive.getnames()}
    listed = {"pyproject.toml", "hatch_build.py", "README.md", "CHANGELOG.md", "buf.yaml", "buf.gen.yaml"}
    listed |= {"PKG-INFO", ".gitignore"}
    check_same("sdist", contained, tracked("src", ".") | tracked("gen", ".") | tracked("proto", ".") | listed)


def check_same(what: str, contained: set[str], expected: set[str]) -> None:
    missing, unexpected = sorted(expected - contained), sorted(contained - expected)
    assert contained == expected, f"{what}: missing {missing}, unexpected {unexpected}"


def find_pythons() -> dict[str, Path]:
    """Return every Python that the project supports and this machine has, by its version."""
    found = {}
    for minor in range(OLDEST_MINOR, NEWEST_MINOR + 1):
        for candidate in candidates(f"3.{minor}"):
            if subprocess.run([candidate, "-c", "import venv"], capture_output=True).returncode == 0:
                found[f"3.{minor}"] = candidate
                break
    assert found, "no supported Python found"
    return found


def candidates(version: str) -> Iterator[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    if found := shutil.which(f"python{version}"):
        yield Path(found)


def environments() -> Iterator[Environment]:
    """Yield the oldest and the newest dependencies on every Python, and mixtures on the oldest Python."""
    pythons = find_pythons()
    oldest, extras = next(iter(pythons)), f"[{','.join(EXTRAS)}]"
    floor = {name: f"{name}=={version}" for name, version in FLOORS.items()}
    for version, python in pythons.items():
        yield Environment(f"{version}, floors", python, tuple(floor.values()), extras)
        yield Environment(f"{version}, newest", python, (), extras, typed=version == oldest)
    between = [
        (floor["protobuf"],),
        (floor["grpcio"],),
        ("protobuf<7",),
        ("protobuf<7", floor["grpcio"]),
    ]
    for requirements in between:
        yield Environment(f"{oldest}, {', '.join(requirements)}", pythons[oldest], requirements)
    yield Environment(
        f"{oldest}, neighbors",
        pythons[oldest],
        ("cwsandbox", "coreweave>=0.1.0b0"),
        neighbors=("cwsandbox", "coreweave.forge"),
    )


def try_in(environment: Environment, wheel: Path, folder: Path) -> None:
    started = time.monotonic()
    target = Path(tempfile.mkdtemp(dir=folder))
    run(str(environment.python), "-m", "venv", "--without-pip", str(target))
    python = str(target / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    stubs = USERS_STUBS if environment.typed else ()
    what = (f"{wheel}{environment.extras}", *environment.requirements, *stubs)
    run(*pip, "install", "--no-compile", "--only-binary=:all:", *what)
    run(*pip, "check")
    versions = run(python, "-W", "error", str(ROOT / "tools" / "wheel_smoke.py"), *environment.neighbors)
    if environment.typed:
        check_types(python, target / "user")
    shutil.rmtree(target)
    print(f"{environment.name}: ok with {versions.strip()} in {time.monotonic() - started:.0f} s", flush=True)


def check_types(python: str, folder: Path) -> None:
    """Check the files of `tests/typing` with both type checkers in strict mode, as users would."""
    shutil.copytree(ROOT / "tests" / "typing", folder)
    programs = Path(sys.executable).parent
    cache = str(folder / "cache")
    run(str(programs / "mypy"), "--strict", "--cache-dir", cache, "--python-executable", python, str(folder))
    settings = {"typeCheckingMode": "strict", "enableTypeIgnoreComments": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    run(str(programs / "basedpyright"), "--project", str(folder), "--pythonpath", python)


def run(*command: str) -> str:
    """Run a program from outside the checkout and return its output; exit with the output if it fails."""
    with tempfile.TemporaryDirectory() as outside:  # empty, so that nothing in it is taken for a module
        done = subprocess.run(command, cwd=outside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode()
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{output}")
    return output


if __name__ == "__main__":
    main()
