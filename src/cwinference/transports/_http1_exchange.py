"""One exchange over HTTP/1.1: a request, and its response as a whole, received without a task that waits for it.

A task costs a turn of the event loop and a walk through all its coroutines for each response. So whoever has many
requests to send is called back, and `Http1.fetch` waits for such a call too.
"""

import math
from collections.abc import Callable

from .. import errors
from ._content_coding import check_size
from ._http1_connection import Connection
from ._http1_response import Response, lost
from ._http1_usual import UsualResponse, usual_response
from ._http_response import ERROR_BYTES, ERROR_SECONDS, HttpResponse, Received, announced_size, is_success, whole
from ._pyqwest import no_response
from ._time_limit import LoopLimits

WhenOver = Callable[[], object]


class Exchange:
    """An exchange, on a connection that it has taken, and gives back when it is over."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_failure",
        "_give",
        "_limit",
        "_limits",
        "_response",
        "_size",
        "_timeout",
        "_usual",
        "_when_over",
        "due",
        "is_complete",
        "is_over",
        "keeps_alive",
    )

    def __init__(
        self, connection: Connection, give: Callable[[Connection], None], limit: int, limits: LoopLimits
    ) -> None:
        self._connection = connection
        self._give = give
        self._limit = limit
        """How many bytes the body may have."""
        self._limits = limits
        self._timeout: float | None = None
        self._usual: UsualResponse | None = None
        self._response: Response | None = None
        """The response, if it is not a usual one."""
        self._chunks = list[bytes]()
        self._size = 0
        self._failure: Exception | None = None
        self._when_over: WhenOver | None = None
        self.due = math.inf
        self.is_over = self.is_complete = self.keeps_alive = False

    def begin(self, request: bytes, timeout: float | None, due: float) -> None:
        """Send the request. `due` is when `timeout` seconds will be over, on the event loop's clock."""
        self._timeout, self.due = timeout, due
        self._limits.watch(self)
        self._connection.send_for(self, request)

    def when_over(self, call: WhenOver) -> None:
        """Call a function when it is over, on the event loop; at once if it is over already."""
        if self.is_over:
            call()
        else:
            self._when_over = call

    def response(self) -> HttpResponse:
        """Return the response, once, when it is over. Raises ApiError or ProtocolError."""
        usual, failure = self._usual, self._failure
        if usual is not None and failure is None:
            self._usual = None  # the connection, which may be idle for long, refers to this
            return HttpResponse(200, usual, usual.body)
        response, chunks, self._chunks = self._response, self._chunks, []
        status = 0 if response is None else response.status
        if failure is not None and (not status or is_success(status)):
            raise (no_response(self._timeout) if isinstance(failure, TimeoutError) else failure) from None
        assert response is not None  # noqa: S101
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return whole(Received(status, response.headers, body, failure), self._limit)

    def cancel(self) -> None:
        """Hang up, unless it is over; nobody is called."""
        self._when_over = self._usual = None
        self._chunks = []
        self._end(None)

    def expire(self) -> None:
        """End it, since its time is over."""
        self._end(TimeoutError())

    # --- for its connection

    def receive(self, data: bytes) -> bool:
        """Take received bytes; return whether the connection should go on reading."""
        response = self._response
        if response is None:
            usual = self._read(data)
            if usual is not None and len(usual.body) <= self._limit:
                self._usual, self.is_complete, self.keeps_alive = usual, True, True
                self._end(None)
                return True
            response = self._unusual()
        return response.receive(data)

    def _read(self, data: bytes) -> UsualResponse | None:
        try:
            return usual_response(data)
        except BaseException:  # Ctrl-C; event loops do not agree on what becomes of it in a callback
            self._end(lost("its reading was interrupted", begun=True))
            raise

    def end(self, error: Exception | None) -> None:
        """Note that the connection is closed."""
        if not self.is_over:
            response = self._response or self._unusual()
            response.end(error)

    def _unusual(self) -> Response:
        """Return what reads any response."""
        self._response = response = Response(self._connection)
        response.on_change = self._collect
        return response

    def _collect(self) -> None:
        """Take what has arrived of such a response."""
        response = self._response
        if response is None:
            return
        failure: Exception | None = None
        try:
            if response.status:
                self._take_from(response)
        except errors.InferenceError as error:  # it is too large
            failure = error
        if failure is not None or response.is_complete or response.failure is not None:
            self.is_complete, self.keeps_alive = response.is_complete, response.keeps_alive
            self._end(failure or response.failure)

    def _take_from(self, response: Response) -> None:
        if not self._size and not is_success(response.status):
            self._expect_error()
        if not self._size and not response.is_complete and is_success(response.status):
            check_size(announced_size(response.headers) or 0, self._limit)
        pieces = response.take()
        self._size += sum(map(len, pieces))
        check_size(self._size, self._limit)
        if pieces:  # a body may come in tiny ones, each of which takes more memory than its bytes
            self._chunks.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _expect_error(self) -> None:
        """Bear less of an error than of a success, in size and time: its status counts, and a retry should not wait."""
        self._limit = min(self._limit, ERROR_BYTES)
        due = self._limits.loop.time() + ERROR_SECONDS
        if due < self.due:
            self.due = due
            self._limits.watch(self)

    def _end(self, failure: Exception | None) -> None:
        if self.is_over:
            return
        self.is_over, self._failure = True, failure
        self._limits.forget(self)
        if self._response is not None:
            self._response.on_change = None
        self._give(self._connection)
        call, self._when_over = self._when_over, None
        if call is not None:
            call()
