"""Tokens that responses report, as columns of numbers, so that no response has to be read again for them."""

from typing import Any, TypeAlias

from ..inference import Usage
from ..inference.batch.tokens import TokenCount
from ._ray import ray_module

COLUMNS = ("prompt_tokens", "completion_tokens", "total_tokens")
Counts: TypeAlias = tuple[int, int, int]
NONE: Counts = (0, 0, 0)


def counts_of(reported: Any) -> Counts:
    """Return the numbers in the `usage` of a response; zeros if it has none."""
    count = TokenCount()
    count.add(reported)
    return count.prompt, count.completion, count.total


def sum_of(table: Any) -> Counts:
    """Return the sums of the columns of a table."""
    add = ray_module("pyarrow.compute").sum
    prompt, completion, total = (int(add(table[name]).as_py() or 0) for name in COLUMNS)
    return prompt, completion, total


def plus(one: Counts, other: Counts) -> Counts:
    """Return both together."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def minus(one: Counts, other: Counts) -> Counts:
    """Return what remains of the first without the second."""
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]


def usage_of(counts: Counts) -> Usage:
    """Return the numbers as the usage of a completion."""
    return Usage(dict(zip(COLUMNS, counts, strict=True)))
