"""When the end of an HTTP/2 stream need not be awaited, which saves a quarter of a call's CPU time.

A response of the announced size is complete, so reading on for the END_STREAM flag gains nothing. But a response that
is dropped before its server has ended the stream is reset, and servers close connections with many resets. So the
latest complete responses of a connection are kept for a moment. Most servers send END_STREAM with the last bytes; to
find out whether this one does, every 64th response is read to its end, and after a late end every one until an end is
on time. A busy event loop makes some ends seem late, so it takes a few in a row to stop skipping them.
"""

from itertools import count

KEPT = 16
"""How many responses are kept: with the calls on a full connection, fewer than the 100 streams that servers allow."""
_PROBE_EVERY = 64
_LATE_SECONDS = 0.003
"""Later than the body by more than this, and by more than the body itself took, which is long on a busy event loop."""
_IN_A_ROW = {True: 3, False: 8}
"""How many ends in a row change the mode: late ones while ends are skipped, timely ones while they are read."""


class StreamEnds:
    """What a transport has learned about how its server ends streams."""

    def __init__(self) -> None:
        self._turns = count()
        self._skips = True
        self._contrary = 0

    def may_skip(self) -> bool:
        """Return whether the next complete response need not be read to the end of its stream."""
        return self._skips and self._contrary == 0 and next(self._turns) % _PROBE_EVERY != 0

    def learn(self, end: float, body: float) -> None:
        """Take into account when the end of a stream arrived, and the last byte of its body, both in seconds."""
        timely = end - body <= max(_LATE_SECONDS, body)
        self._contrary = 0 if timely == self._skips else self._contrary + 1
        if self._contrary == _IN_A_ROW[self._skips]:
            self._skips, self._contrary = timely, 0
