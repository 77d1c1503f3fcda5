"""Whether the requests are those of the earlier runs: before that is known, as few as possible are sent.

They are if they begin with what the earlier runs have read, of which the manifest has a fingerprint. Otherwise they
are nevertheless if every completion in OUT turns out to belong to one of them: where each request has a `custom_id`,
they may come in another order. Nothing in OUT can be confused then.
"""

from pathlib import Path

from ...errors import ConfigurationError
from .fingerprint import Fingerprint, RollingFingerprint
from .manifest import refused


class InputCheck:
    """Compares requests, as they are read, with those of earlier runs.

    Args:
        earlier: the fingerprint of what earlier runs have read; None if there is none to compare with.
        completions: how many completions are in OUT.
    """

    def __init__(self, earlier: Fingerprint | None, completions: int) -> None:
        self._earlier = earlier if completions else None
        self._completions = completions
        self._rolling = RollingFingerprint()
        self._found = 0
        self._equal = 0
        self._differs_at: int | None = None
        self._is_settled = self._earlier is None or self._earlier.count == 0

    @property
    def is_settled(self) -> bool:
        """Whether they are known to be the same, or there is nothing to compare with."""
        return self._is_settled

    @property
    def differs(self) -> bool:
        """Whether they do not begin with what earlier runs have read, and are not known to be the same otherwise."""
        return self._differs_at is not None and not self._is_settled

    @property
    def to_save(self) -> Fingerprint | None:
        """The fingerprint for the manifest; None as long as the earlier one is to stay there."""
        return self._rolling.now if self._is_settled else None

    def add(self, line: int, content: bytes) -> None:
        """Take a request that was read, by what identifies it."""
        self._rolling.add(line, content)
        if self._is_settled or self._earlier is None or self._differs_at is not None:
            return
        count = self._rolling.count
        expected = self._earlier.at(count)
        if expected is None:
            return
        if expected != self._rolling.value:
            self._differs_at = count
        elif count == self._earlier.count:
            self._is_settled = True
        else:
            self._equal = count

    def find(self) -> None:
        """Note that a completion in OUT belongs to the request."""
        self._found += 1
        if self._found == self._completions:
            self._is_settled = True

    def error(self, source: str, out: Path) -> ConfigurationError:
        """Return the error for another input."""
        missing = self._completions - self._found
        if self._differs_at is None:
            where = f"it ends after {self._rolling.count} requests, and earlier runs have read {self._count}"
        elif self._differs_at == 1:
            where = "its first request differs"
        elif self._differs_at == self._equal + 1:
            where = f"its request {self._differs_at} differs"
        else:
            where = f"at least one of its requests {self._equal + 1} to {self._differs_at} differs"
        return refused(
            f"requests: {source} is another input than the one whose completions are in {out}: {where}, and {missing} "
            f"of the {self._completions} completions belong to no request so far",
            "to go on with this input",
        )

    @property
    def _count(self) -> int:
        return 0 if self._earlier is None else self._earlier.count
