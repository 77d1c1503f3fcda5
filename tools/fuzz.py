"""Coverage-guided fuzzing: `python -m tools.fuzz TARGET SECONDS [CORPUS]`, in an environment with atheris.

An input that fails is written to a file `crash-...`; add its target and bytes to `tests/faults/test_fuzz.py`.
"""

import sys

import atheris

with atheris.instrument_imports(include=["cwinference"]):
    from tests.support import fuzz_targets


def main(name: str, seconds: str, *more: str) -> None:
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-verbosity=0", *more],
        lambda data: fuzz_targets.feed(name, data),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
