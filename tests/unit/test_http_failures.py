"""What a failure of the HTTP library means: the response cannot be read, or the connection was lost."""

import pyqwest
import pytest

from cwinference import errors
from cwinference._retry_rules import Hint
from cwinference.transports._pyqwest import translate
from tests.support.raw_model_server import BODY, LENGTH, OK, RawServer, always

SENT = "Request failed: error sending request for url (http://invalid.example/parsed): client error (SendRequest): "
READ = "Error reading content: request or response body error: error reading a body from connection: "

UNREADABLE = [
    SENT + "message head is too large",
    SENT + "invalid HTTP version parsed",
    SENT + "invalid content-length parsed",
    SENT + "http2 error: stream error detected: unspecific protocol error detected",
    SENT + "http2 error: connection error detected: frame with invalid size",
    READ + "Invalid chunk size line: missing size digit",
    READ + "invalid chunk size: overflow",
    READ + "chunk extensions over limit",
    READ + "chunk trailers bytes over limit",
    READ + "stream error detected: flow-control protocol violated",
]
LOST = [
    SENT + "connection closed before message completed",
    SENT + "connection error: stream closed because of a broken pipe",
    SENT + "connection error received: unspecific protocol error detected",
    SENT + "http2 error: connection error detected: detected excessive load generating behavior",
    READ + "connection error detected: detected excessive load generating behavior",
    READ + "connection error detected: unspecific protocol error detected",
    READ + "end of file before message length reached",
    "Request failed: stream error received: unspecific protocol error detected",
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_cannot_be_read_is_a_protocol_error_without_the_url(text: str) -> None:
    error = translate(pyqwest.RemoteProtocolError(text), 1.0)
    assert type(error) is errors.ProtocolError
    assert "the response cannot be read: " in str(error)
    assert "invalid.example" not in str(error)


@pytest.mark.parametrize("text", LOST)
def test_what_was_lost_is_unavailable_and_may_be_retried(text: str) -> None:
    error = translate(pyqwest.RemoteProtocolError(text), 1.0)
    assert type(error) is errors.Unavailable
    assert error.retryable


def test_the_words_of_a_url_mean_nothing() -> None:
    text = "error sending request for url (http://invalid.example/): nothing was received or parsed"
    assert type(translate(pyqwest.RemoteProtocolError(text), 1.0)) is errors.Unavailable


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("tcp connect error: Connection refused (os error 111)", Hint.NOT_SENT),
        ("dns error: failed to lookup address information: Name or service not known", Hint.NO_SUCH_NAME),
        ("dns error: failed to lookup address information: nodename nor servname provided, or not known",
         Hint.NO_SUCH_NAME),
        ("dns error: failed to lookup address information: Temporary failure in name resolution", Hint.NOT_SENT),
        ("tunnel error: proxy authorization required", Hint.UNPROXIED),
        ("tunnel error: unsuccessful", Hint.NOT_SENT),
        ("invalid peer certificate: UnknownIssuer", Hint.UNTRUSTED),
    ],
)  # fmt: skip
def test_a_failure_to_connect_says_whether_it_may_pass(reason: str, hint: Hint) -> None:
    error = translate(
        ConnectionError(f"error sending request for url (http://x/): client error (Connect): {reason}"), 1.0
    )
    assert isinstance(error, errors.Unavailable)
    assert errors.hint_of(error) is hint
    assert error.message.startswith("no connection to http://x: ")
    assert ("os error" in error.message, "tcp connect" in error.message) == (False, False)


async def test_pyqwest_adds_nothing_to_the_headers_of_a_request_which_others_share() -> None:
    headers = pyqwest.Headers([("x-one", "1")])
    with RawServer(always(OK + LENGTH + b"\r\n" + BODY)) as server:
        for _ in range(2):
            request = pyqwest.Request("POST", server.endpoint, headers, b"{}")
            async with await pyqwest.HTTPTransport(http_version=pyqwest.HTTPVersion.HTTP1).execute(request) as response:
                await response.aclose()
            pyqwest.SyncClient().post(server.endpoint, headers, b"{}")
    assert list(headers.items()) == [("x-one", "1")]
