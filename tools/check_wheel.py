"""Builds wheel and sdist, checks what they hold, and uses the wheel as users do: alone in fresh environments."""

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
from pathlib import Path

ROOT = Path(__file__).parent.parent
OLDEST_MINOR, NEWEST_MINOR = 11, 15
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FLOORS = {name: floor.split(",")[0] for name, _, floor in (each.partition(">=") for each in PROJECT["dependencies"])}


@dataclass(frozen=True)
class Environment:
    """A fresh environment: the wheel, and what else is asked of pip."""

    name: str
    python: Path
    asked: tuple[str, ...] = ()


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = build(folder / "dist")
        check_wheel(wheel)
        check_sdist(sdist)
        pythons = find_pythons()
        print("Python", ", ".join(pythons))
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(lambda environment: try_in(environment, wheel, folder), environments(pythons)))


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def tracked(folder: str, below: str) -> set[str]:
    """Names of the checked-in files of a folder, as seen from `below`."""
    files = run("git", "-C", str(ROOT), "ls-files", folder).split()
    return {Path(file).relative_to(below).as_posix() for file in files}


def check_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = tracked("src", "src") | tracked("gen", "gen") | tracked("proto", "proto")
    same("wheel", held, expected)
    assert {"cwinference/py.typed", "coreweave/inference/py.typed"} <= held
    assert "coreweave/__init__.py" not in held, "coreweave is a namespace that CoreWeave's own packages share"


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    listed = {"pyproject.toml", "README.md", "CHANGELOG.md", "buf.yaml", "buf.gen.yaml", "PKG-INFO", ".gitignore"}
    same("sdist", held, tracked("src", ".") | tracked("gen", ".") | tracked("proto", ".") | listed)


def same(what: str, held: set[str], expected: set[str]) -> None:
    assert held == expected, f"{what} lacks {sorted(expected - held)}, has besides {sorted(held - expected)}"


def find_pythons() -> dict[str, Path]:
    """Every Python that the project supports and this machine has."""
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


def environments(pythons: dict[str, Path]) -> Iterator[Environment]:
    for version, python in pythons.items():
        yield Environment(f"{version}, floors", python, tuple(f"{name}=={floor}" for name, floor in FLOORS.items()))
        yield Environment(f"{version}, newest", python)


def try_in(environment: Environment, wheel: Path, folder: Path) -> None:
    started = time.monotonic()
    target = folder / environment.name.replace(", ", "-").replace(" ", "-")
    run(str(environment.python), "-m", "venv", "--without-pip", str(target))
    python = str(target / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", "--no-compile", "--only-binary=:all:", str(wheel), *environment.asked)
    run(*pip, "check")
    run(python, "-W", "error", str(ROOT / "tools" / "wheel_smoke.py"))
    shutil.rmtree(target)
    print(f"ok  {environment.name}  {time.monotonic() - started:.0f} s", flush=True)


def run(*command: str) -> str:
    """Run a program from outside the checkout; its output, which is shown when it fails."""
    done = subprocess.run(command, cwd=tempfile.gettempdir(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode()
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{output}")
    return output


if __name__ == "__main__":
    main()
