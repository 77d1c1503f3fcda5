"""A short soak test, and whether it would detect problems. `make soak` runs `tests/soak` at full length."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.soak.load import Counters
from tests.soak.report import Result, report_text
from tests.soak.watch import FIGURES, MEMORY, Sample, trends

FLAT: Sample = (100.0,) * len(FIGURES)


def test_a_few_seconds_of_mixed_load_with_faults_pass() -> None:
    command = [sys.executable, "-m", "tests.soak", "--seconds", "3", "--calls", "0", "--seed", "7"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nsoak: passed\n")


def result(samples: list[Sample], **changes: Any) -> Result:
    given: dict[str, Any] = {
        "counters": Counters(),
        "after": FLAT,
        "error_output": "",
        "growth_checked": True,
        **changes,
    }
    return Result(600, 200_000, 30, faults={}, trends=trends(samples), before=FLAT, **given)


def test_fluctuation_is_not_growth() -> None:
    assert result([tuple(each + number % 7 for each in FLAT) for number in range(400)]).problems() == []


def test_slow_growth_is_detected() -> None:
    leaking = [(100 + number * 0.0502, *FLAT[1:]) for number in range(400)]
    assert result(leaking).problems() == [f"{MEMORY}: grew by 10.0, allowed: 8"]
    assert result(leaking, growth_checked=False).problems() == []


def test_growth_during_the_warm_up_is_ignored() -> None:
    assert result([(min(100.0, number), *FLAT[1:]) for number in range(400)]).problems() == []


def test_leaks_problems_and_error_output_are_reported() -> None:
    counters = Counters()
    counters.problem("a wrong result")
    found = result([FLAT] * 8, counters=counters, after=tuple(each + 50 for each in FLAT), error_output="a traceback")
    assert len(found.problems()) == 8
    assert "soak: FAILED\n  a wrong result\n" in report_text(found)
