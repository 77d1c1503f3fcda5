"""The soak in short, and whether it would notice: `make soak` runs all of it (`tests/soak`)."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.soak.load import Counters
from tests.soak.report import Result, told
from tests.soak.watch import FIGURES, MEMORY, Sample, courses

FLAT: Sample = (100.0,) * len(FIGURES)


def test_a_few_seconds_of_mixed_load_with_faults_go_well_and_leave_nothing_behind() -> None:
    command = [sys.executable, "-m", "tests.soak", "--seconds", "3", "--calls", "0", "--seed", "7"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nsoak: passed\n")


def result(samples: list[Sample], **seen: Any) -> Result:
    given: dict[str, Any] = {"counters": Counters(), "after": FLAT, "complaints": "", "judged": True, **seen}
    return Result(600, 200_000, 30, faults={}, courses=courses(samples), before=FLAT, **given)


def test_what_goes_up_and_down_does_not_grow() -> None:
    assert result([tuple(each + number % 7 for each in FLAT) for number in range(400)]).problems() == []


def test_what_grows_by_little_in_each_call_is_noticed() -> None:
    leaking = [(100 + number * 0.0502, *FLAT[1:]) for number in range(400)]
    assert result(leaking).problems() == [f"{MEMORY}: grew by 10.0, allowed are 8"]
    assert result(leaking, judged=False).problems() == []


def test_growth_while_warming_up_is_passed_over() -> None:
    assert result([(min(100.0, number), *FLAT[1:]) for number in range(400)]).problems() == []


def test_what_is_left_or_was_said_is_noticed() -> None:
    counters = Counters()
    counters.problem("a wrong answer")
    found = result([FLAT] * 8, counters=counters, after=tuple(each + 50 for each in FLAT), complaints="a traceback")
    assert len(found.problems()) == 8
    assert "soak: FAILED\n  a wrong answer\n" in told(found)
