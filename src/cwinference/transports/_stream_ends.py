"""When the end of an HTTP/2 stream need not be awaited, which saves a quarter of a call's CPU time.

A response of the announced size is complete, so reading on for the END_STREAM flag gains nothing. But a response that
is dropped before its server has ended the stream is reset, and servers close connections with many resets. So complete
responses are kept for a moment. Most servers send END_STREAM with the last bytes; to find out whether this one does,
every 64th response is read to its end. A busy event loop makes some ends seem late, so a few on time outweigh them.
"""

from collections import deque
from itertools import count

_PROBE_EVERY = 64
_KEPT = 16
"""Together with the calls on a full connection, fewer than the 100 streams that servers allow."""
_LATE_SECONDS = 0.003
_IN_A_ROW = {True: 3, False: 8}
"""How many ends in a row change the mode: late ones while ends are skipped, timely ones while they are read."""


class StreamEnds:
    """What a transport has learned about how its server ends streams."""

    def __init__(self) -> None:
        self._kept: deque[object] = deque(maxlen=_KEPT)
        self._turns = count()
        self._skips = True
        self._contrary = 0

    def may_skip(self) -> bool:
        """Return whether the next complete response need not be read to the end of its stream."""
        return self._skips and next(self._turns) % _PROBE_EVERY != 0

    def keep(self, response: object) -> None:
        """Keep a complete response from being dropped, and its stream from being reset, for a moment."""
        self._kept.append(response)

    def learn(self, end: float, body: float) -> None:
        """Take into account when the end of a stream arrived, and the last byte of its body, both in seconds."""
        timely = end - body <= _LATE_SECONDS
        self._contrary = 0 if timely == self._skips else self._contrary + 1
        if self._contrary == _IN_A_ROW[self._skips]:
            self._skips, self._contrary = timely, 0

    def clear(self) -> None:
        """Drop the responses that are kept."""
        self._kept.clear()
