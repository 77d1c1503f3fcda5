"""`python -m bench [NAME ...]`: measure, print, write `bench/out/latest.json`; `--guard` is a short form for CI.

The guard measures only ratios, in pairs. Other work on the machine can make a figure worse but not better, so a figure
that is far from its goal is measured up to three times, and the best result counts: a real slowdown shows in all three.
"""

import argparse
import sys
from statistics import median

from . import completions, emulator, follow, footprint, lists, pool, processes, spreading, telemetry, unary
from ._case import FULL, SHORT, Case
from ._cores import settle
from ._measure import spread
from ._peer import DOCS, NAME, OUT, Peer, running
from ._report import WIDE, Row, noise_of, publish, write

MOST_RUNS = 3
"""How often a figure is measured at most, if its pairs differ widely."""

CASES: list[Case] = [
    case
    for module in (unary, lists, pool, processes, footprint, completions, spreading, emulator, follow, telemetry)
    for case in module.CASES
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="measure only these figures (default: all)")
    parser.add_argument("--guard", action="store_true", help="measure a few ratios briefly; fail if one stays far off")
    parser.add_argument(
        "--docs", action="store_true", help="measure nothing; copy the latest figures into docs/speed.md"
    )
    options = parser.parse_args()
    if options.docs:
        publish(OUT, DOCS)
        return 0
    chosen = [case for case in CASES if case.name in options.names or not options.names]
    settle()
    with running() as peer:
        if options.guard:
            return _guard(peer, [case for case in chosen if case.guarded])
        rows = [_measured(case, peer) for case in chosen]
    if not options.names:
        write(rows, OUT)
        print(noise_of(rows))
        print(f"wrote {OUT.name}/latest.json, .md and .svg")
    return 0


def _measured(case: Case, peer: Peer) -> Row:
    """Measure a figure, and again if the pairs differ widely; the run in which they differ least counts."""
    runs = [case.measure(peer, FULL)]
    while spread(min(runs, key=spread)) > WIDE and len(runs) < MOST_RUNS:
        runs.append(case.measure(peer, FULL))
    best = min(runs, key=spread)
    value, noise = median(best), spread(best)
    again = f", the best of {len(runs)} runs" if len(runs) > 1 else ""
    print(f"{_line(case, value)}  pairs differ by {noise:.0%}{again}", flush=True)
    comparison = f"{case.against}; {NAME}" if case.against else NAME
    row = {"name": case.name, "value": round(value, 4), "unit": case.unit, "peer": comparison, "goal": case.goal}
    return {**row, "met": case.met(value), "at_least": case.at_least, "spread": noise}


def _guard(peer: Peer, cases: list[Case]) -> int:
    failed = False
    for case in cases:
        value = _best(case, peer)
        print(_line(case, value), flush=True)
        failed = failed or case.alarming(value)
    print("speed guard:", "FAILED, at least one figure is far from its goal" if failed else "passed")
    return int(failed)


def _best(case: Case, peer: Peer) -> float:
    """Return the first median that is not alarming, otherwise the best of three."""
    found = list[float]()
    for effort in (SHORT, FULL, FULL):
        found.append(median(case.measure(peer, effort)))
        if not case.alarming(found[-1]):
            return found[-1]
    return (max if case.at_least else min)(found)


def _line(case: Case, value: float) -> str:
    sign = "at least" if case.at_least else "at most"
    return (
        f"{case.name:26} {value:9.3f} {case.unit}  (goal: {sign} {case.goal:g}{'' if case.met(value) else ', not met'})"
    )


if __name__ == "__main__":
    sys.exit(main())
