"""Server-sent events: bytes in, the data of whole events out. It does no I/O and does not interpret the data.

The bytes may be split anywhere. Lines end in LF, CR or CRLF, a byte order mark is skipped, and comments and all fields
except `data` and `event` are ignored. Lines that are no fields are kept from one on that looks like JSON: servers that
fail in the middle of a stream send their error unframed.
"""

from ..config import MAX_REPLY_BYTES
from ..errors import ProtocolError

_MAX_UNFRAMED_BYTES = 64 * 1024
"""How much is kept of lines that are no fields."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_IGNORED = (b":", b"id:", b"retry:")
"""How comments, and fields that do not matter here, begin."""


class NamedEvent(bytes):
    """The data of an event that has a type, its `event` field. Those of model servers usually have none."""

    name: bytes


class EventParser:
    """Parses one stream. Events have a largest size, because a line that never ends would fill the memory."""

    def __init__(self, max_event_bytes: int = MAX_REPLY_BYTES) -> None:
        self.max_event_bytes = max_event_bytes
        self._start: bytes | None = b""
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = b""
        self.unframed_lines: list[bytes] = []
        """What was received outside of events, from a line that begins with `{` on; mostly nothing."""
        self._unframed_bytes = 0

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of each event that is now complete. Raises ProtocolError if one is larger than accepted."""
        if self._start is not None:
            received = self._without_mark(received)
        if self._after_cr or b"\r" in received:
            received = self._with_lf(received)
        first, end, others = received.partition(b"\n")
        if not end:
            if received:
                self._keep(received)
            return []
        if self._line:
            self._keep(first)
            received = b"".join([*self._line, end, others])
            self._line.clear()
            self._line_bytes = 0
        events = None if self._data or self._name else self._usual_events(received)
        if events is None:
            lines = received.split(b"\n")
            rest = lines.pop()
            events = self._events(lines)
            if rest:
                self._keep(rest)
        return events

    def end(self) -> bytes | None:
        """Return the data of an event that the stream's end cut off before its empty line. A browser would drop it."""
        if self._line:
            self._events([b"".join(self._line)])
        return self._joined() if self._data else None

    def _usual_events(self, received: bytes) -> list[bytes] | None:
        """Return the events if each is a single line of data, four times faster; None if something else was received.

        That is so if there are no other line ends than those between one event and the next, and at the end.
        """
        if not received.startswith(b"data: ") or len(received) > self.max_event_bytes:
            return None
        events = received[6:].split(b"\n\ndata: ")
        is_complete = events[-1].endswith(b"\n\n")
        if received.count(b"\n") != 2 * (len(events) - 1 + is_complete):
            return None
        rest = events.pop()
        if is_complete:
            events.append(rest[:-2])
        else:
            self._keep(b"data: " + rest)
        return events

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                value = line[6:] if line.startswith(b" ", 5) else line[5:]
                data.append(value)
                self._data_bytes += len(value)
                if self._data_bytes > self.max_event_bytes:
                    self._refuse()
            elif not line:
                if data:
                    events.append(self._joined() if self._name or len(data) > 1 else data[0])
                    data.clear()
                    self._data_bytes = 0
                self._name = b""
            elif line == b"data":
                data.append(b"")
            elif line.startswith(b"event:"):
                self._name = line[6:].strip()
            elif line.startswith(b"{") or (self.unframed_lines and not line.startswith(_IGNORED)):
                self._keep_unframed(line)
        return events

    def _joined(self) -> bytes:
        """Return the data of an event."""
        data = b"\n".join(self._data)
        if not self._name:
            return data
        event = NamedEvent(data)
        event.name = self._name
        return event

    def _keep_unframed(self, line: bytes) -> None:
        self._unframed_bytes += len(line)
        if self._unframed_bytes <= _MAX_UNFRAMED_BYTES:
            self.unframed_lines.append(line)

    def _keep(self, piece: bytes) -> None:
        """Keep a piece of a line until its end arrives."""
        self._line.append(piece)
        self._line_bytes += len(piece)
        if self._line_bytes + self._data_bytes > self.max_event_bytes:
            self._refuse()

    def _refuse(self) -> None:
        raise ProtocolError(f"the stream has an event of more than {self.max_event_bytes} bytes")

    def _without_mark(self, received: bytes) -> bytes:
        """Skip a byte order mark, which may itself arrive in pieces."""
        seen = (self._start or b"") + received
        if len(seen) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(seen):
            self._start = seen
            return b""
        self._start = None
        return seen.removeprefix(BYTE_ORDER_MARK)

    def _with_lf(self, received: bytes) -> bytes:
        """Turn every line end into LF. The LF of a CRLF may arrive in the next piece."""
        if self._after_cr and received:
            received = received.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or received.endswith(b"\r")
        return received.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
