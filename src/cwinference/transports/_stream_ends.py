"""When the end of an HTTP/2 answer need not be waited for, which saves a quarter of a call's CPU time.

An answer of the announced size is complete. But one that is dropped before its server has ended the stream is reset,
and a connection with many resets is closed. So complete answers are kept for a moment; and every 64th is read to its
end, to learn whether ends come together with the last bytes, as they do from most servers, or late. A busy event loop
makes some seem late: a few that come in time put that right.
"""

from collections import deque
from itertools import count

_PROBED = 64
_KEPT = 16
"""Together with the calls of a full connection they stay below the 100 streams that servers allow."""
_LATE_SECONDS = 0.003
_IN_A_ROW = {True: 3, False: 8}
"""How many ends in a row change our mind: late ones while ends are skipped, timely ones while they are read."""


class Endings:
    """What a transport knows of the ends of its server's answers."""

    def __init__(self) -> None:
        self._kept: deque[object] = deque(maxlen=_KEPT)
        self._turns = count()
        self._skips = True
        self._contrary = 0

    def may_skip(self) -> bool:
        """Whether the next complete answer may be left without reading its end."""
        return self._skips and next(self._turns) % _PROBED != 0

    def keep(self, answer: object) -> None:
        """Keep a complete answer from being dropped for a moment."""
        self._kept.append(answer)

    def learn(self, end: float, body: float) -> None:
        """Take in how many seconds an end took to come, and the body before it."""
        timely = end - body <= _LATE_SECONDS
        self._contrary = 0 if timely == self._skips else self._contrary + 1
        if self._contrary == _IN_A_ROW[self._skips]:
            self._skips, self._contrary = timely, 0

    def clear(self) -> None:
        """Drop what is kept."""
        self._kept.clear()
