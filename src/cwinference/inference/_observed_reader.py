"""The reader of a stream that is observed: it also says when each chunk came. Others do not pay for that."""

from collections.abc import Iterator

from .._calls.observation import StreamObservation
from ._responses import Chunk
from ._stats import Counters
from ._stream_reader import StreamReader


class ObservedStreamReader(StreamReader):
    """Reads a stream, and reports to an observation what it reads."""

    _observation: StreamObservation | None = None
    _waiting = 0.0
    """Seconds spent in reads since the last chunk. What the caller does between two reads is not counted."""

    def observe(self, observation: StreamObservation) -> None:
        """Note what watches the stream."""
        self._observation = observation

    def receive(self, received: bytes | None) -> Iterator[Chunk]:
        """Yield the chunks in what a read returned; as `StreamReader.receive`."""
        observation = self._observation
        if observation is None:
            yield from super().receive(received)
            return
        now = self._monotonic()
        self._waiting += now - self._read_started
        elapsed = now - self._deadline.started
        for chunk in super().receive(received):
            observation.chunk(chunk, elapsed, self._waiting)
            self._waiting = 0.0
            yield chunk

    def end(self, counters: Counters, error: BaseException | None) -> None:
        """Count and report the outcome of the stream; as `StreamReader.end`."""
        if self._observation is not None:
            self._observation.stream_ended(None if self.usage is None else self.usage.raw, error)
        super().end(counters, error)
