"""Records and replays calls of the API as messages, so that it does not matter by which protocol they come."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from ..._wire.methods import Method
from ..interfaces import Api, Caller, RpcError
from ..protocols.codecs import GRPC_NUMBERS, pack
from .tape import Recorder, Tape


class RecordedApi:
    """An API that records the calls of another one."""

    def __init__(self, api: Api, recorder: Recorder) -> None:
        self._api = api
        self._recorder = recorder

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        """Return the response to one request, or raise `RpcError`."""
        line = _request_line(method, request, caller)
        try:
            response = self._api.call(method, request, caller)
        except RpcError as error:
            details = [MessageToDict(each) for each in pack(error.details)]
            self._recorder.add({**line, "error": {"code": error.code, "message": error.message, "details": details}})
            raise
        self._recorder.add({**line, "response": MessageToDict(response)})
        return response


class ReplayedApi:
    """An API that responds from a recording, if the request is in it, and else as another one."""

    def __init__(self, api: Api, tape: Tape) -> None:
        self._api = api
        self._tape = tape

    def call(self, method: Method, request: Message, caller: Caller) -> Message:
        """Return the response to one request, or raise `RpcError`."""
        found = self._tape.next(_request_line(method, request, caller))
        if found is None:
            return self._api.call(method, request, caller)
        try:
            if "error" in found:
                raise _error(found["error"])
            return ParseDict(found["response"], method.response(), ignore_unknown_fields=True)
        except (ParseError, LookupError, TypeError) as error:
            raise RpcError("internal", f"the recording of {method.name} cannot be replayed: {error}") from None


def _request_line(method: Method, request: Message, caller: Caller) -> Mapping[str, Any]:
    role = "admin" if caller.admin else "viewer"
    described = {"method": method.name, "organization": caller.organization, "role": role}
    return {**described, "request": MessageToDict(request)}


def _error(recorded: Mapping[str, Any]) -> RpcError:
    details = [ParseDict(each, AnyMessage()) for each in recorded.get("details", [])]
    code = recorded["code"]
    return RpcError(code if code in GRPC_NUMBERS else "unknown", str(recorded["message"]), *details)
