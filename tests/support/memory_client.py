"""A client of the emulated API in the same process, without sockets: fast enough for thousands of whole scenarios."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from cwinference import Client, Retry, errors
from cwinference._wire.methods import METHODS
from cwinference.emulator.api.emulated_api import EmulatedApi
from cwinference.emulator.clock import EmulatorClock
from cwinference.emulator.interfaces import RpcError
from tests.support.emulated_api import OURS, START
from tests.support.fake_clock import FakeClock

WRITES = ("Create", "Update", "Delete")


class MemoryApi:
    """The emulated API, and what has happened to it. It takes the place of a client's session."""

    def __init__(self, **settings: Any) -> None:
        self._clock = EmulatorClock(START, running=False)
        self.emulated = EmulatedApi(clock=self._clock, **settings)
        self.clock = FakeClock(on_sleep=self._clock.advance)
        self.calls: list[str] = []
        """The methods called, in order."""
        self.before_call: Callable[[str, Message], None] = lambda name, request: None
        """Called before each call of the client; what it raises is the response."""
        self.after_call: Callable[[str, Message], None] = lambda name, request: None
        """Called after each call of the client; what it raises is raised although the call was processed."""
        self.newer: set[str] = set()
        """The ids of resources with a field that this release does not know."""
        self.client = Client("token", endpoint="http://localhost:1", clock=self.clock.clock, retry=None)
        self.settings = self.client._session.settings
        context = self.client._driver.context
        self.client._driver.context = context.replace(session=self)

    @property
    def writes(self) -> list[str]:
        """The methods called that write."""
        return [each for each in self.calls if each.startswith(WRITES)]

    def send(self, call: Any, metadata: Any, timeout: float | None) -> Any:
        """Process one attempt."""
        self.calls.append(call.name)
        self.before_call(call.name, call.request)
        response = self(call.request)
        if call.unknown_fields is not None:
            call.unknown_fields += self._unknown_in(response)
        self.after_call(call.name, call.request)
        return response

    def _unknown_in(self, response: Any) -> list[str]:
        """Return the paths of fields that this release does not know, as the reader of JSON does."""
        field = response.DESCRIPTOR.fields[0].name
        found: Any = getattr(response, field)
        resources: list[Any] = [found] if isinstance(found, Message) else found
        return [f"{field}.spec.priority_class" for each in resources if each.spec.id in self.newer]

    def __call__(self, request: Message) -> Any:
        """Process a request of somebody else."""
        try:
            return self.emulated.call(METHODS[type(request)], request, OURS)
        except RpcError as error:
            raise errors.CODES[error.code](error.message, details=error.details) from None

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.sleep(seconds)


def retrying(api: MemoryApi) -> Client:
    """Return the client with retries."""
    return api.client.with_options(retry=Retry())
