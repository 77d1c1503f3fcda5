"""`python -m bench [NAME ...]`: measure, print, write `bench/out/latest.json`; with `--guard` a short form for CI."""

import argparse
import sys

from . import completions, emulator, footprint, lists, pool, unary
from ._case import FULL, SHORT, Case
from ._cores import settle
from ._peer import NAME, OUT, Peer, running
from ._report import Row, write

CASES: list[Case] = [case for module in (unary, lists, pool, footprint, completions, emulator) for case in module.CASES]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these figures")
    parser.add_argument("--guard", action="store_true", help="a few figures, briefly; fails when one is far off")
    options = parser.parse_args()
    chosen = [case for case in CASES if case.name in options.names or not options.names]
    settle()
    with running() as peer:
        if options.guard:
            return _guard(peer, [case for case in chosen if case.guarded])
        rows = [_measured(case, peer) for case in chosen]
    if not options.names:
        write(rows, OUT)
        print(f"written to {OUT.name}/latest.json, .md and .svg")
    return 0


def _measured(case: Case, peer: Peer) -> Row:
    value = case.measure(peer, FULL)
    print(_line(case, value), flush=True)
    beside = f"{case.against}; {NAME}" if case.against else NAME
    row = {"name": case.name, "value": round(value, 4), "unit": case.unit, "peer": beside, "goal": case.goal}
    return {**row, "met": case.met(value), "at_least": case.at_least}


def _guard(peer: Peer, cases: list[Case]) -> int:
    failed = False
    for case in cases:
        value = case.measure(peer, SHORT)
        if case.alarming(value):
            value = case.measure(peer, FULL)
        print(_line(case, value), flush=True)
        failed = failed or case.alarming(value)
    print("speed guard:", "FAILED, far above the goals" if failed else "passed")
    return int(failed)


def _line(case: Case, value: float) -> str:
    sign = "at least" if case.at_least else "at most"
    return (
        f"{case.name:26} {value:9.3f} {case.unit}  (goal: {sign} {case.goal:g}{'' if case.met(value) else ', not met'})"
    )


if __name__ == "__main__":
    sys.exit(main())
