"""How fast a model seems to generate: the pause before its first token, and those between tokens."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields

from ....errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Pace:
    """The pauses of a response. The same seed always gives the same ones."""

    first_token: float = 0.0
    """Seconds until the first token."""
    tokens_per_second: float | None = None
    """Tokens in a second after that; None: without pauses."""
    jitter: float = 0.0
    """By which part of it, from 0 to 1, a pause is longer or shorter at most."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value: object = getattr(self, each.name)
            if value is None and each.name == "tokens_per_second":
                continue
            least, most = _RANGES[each.name]
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise ConfigurationError(f"{each.name}: expected a number from {least:g} to {most:g}, got {value!r}")

    def pauses(self, seed: object) -> Iterator[float]:
        """Yield the pause before each token, in seconds, without end."""
        chance = random.Random(str(seed))  # noqa: S311 - no secret
        pause, following = self.first_token, 1 / self.tokens_per_second if self.tokens_per_second else 0.0
        while True:
            yield pause * (1 + self.jitter * chance.uniform(-1, 1)) if self.jitter else pause
            pause = following


_RANGES = {"first_token": (0, 3600), "tokens_per_second": (0.001, 1_000_000), "jitter": (0, 1)}
