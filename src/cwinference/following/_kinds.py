"""The kinds of resources that can be followed, and what can be reported of them."""

from collections.abc import Collection, Sequence
from typing import Literal, TypeAlias, get_args

from .._arguments import shown
from ..errors import ConfigurationError

Kind: TypeAlias = Literal["gateway", "deployment", "capacity_claim"]
"""A kind of resource that can be followed."""

KINDS: Sequence[Kind] = get_args(Kind)
"""All of them."""

ChangeType: TypeAlias = Literal["added", "changed", "removed", "synced"]
"""What has happened to a resource; "synced": all resources that there were at first have been reported."""


def check_kinds(kinds: Collection[object]) -> Sequence[Kind]:
    """Return the given kinds, each once."""
    if isinstance(kinds, str) or not isinstance(kinds, Collection) or not kinds:
        raise ConfigurationError(f"kinds: expected a list of some of {', '.join(KINDS)}, got {shown(kinds)}")
    unknown = [each for each in kinds if each not in KINDS]
    if unknown:
        raise ConfigurationError(f"kinds: there is no {shown(unknown[0])}; use some of {', '.join(KINDS)}")
    return [each for each in KINDS if each in kinds]
