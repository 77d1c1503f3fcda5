"""A token, and a key inside a spec, appear nowhere: in no text, log, error, warning, pickle or local variable."""

import logging
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cwinference
from cwinference import TLS, AsyncClient, Client, Retry, auth, errors, types
from cwinference.emulator import Emulator
from cwinference.inference import AsyncInference, Inference
from tests.support.client_kinds import KINDS, open_client

TOKENS = ["canary-of-a-token-3f9c", "CW-SECRET-canary-3f9c"]
"""The first does not have the form of CoreWeave's tokens, so that it is not enough to redact those."""
KEY = "canary-in-a-spec-3f9c"
LIBRARY = str(Path(cwinference.__file__).parent)
UNKNOWN = "11111111-2222-4333-8444-555555555555"
ONE_RETRY = Retry(max_attempts=2, initial_backoff=0)
AnyCall = Callable[[AsyncClient], Any]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=TOKENS)
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator(token=request.param) as running:
        yield running


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Record every level of every logger."""
    caplog.set_level(1)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(1, name)
    return caplog


def printed_texts(error: BaseException) -> Iterator[str]:
    """Yield what may be printed of an error and of its causes, and their pickles."""
    current: BaseException | None = error
    while current is not None:
        yield from (repr(current), str(current), repr(current.args))
        yield from traceback.format_exception(current)
        if isinstance(current, errors.InferenceError):
            yield repr(pickle.dumps(current))
        current = current.__cause__ or current.__context__


def local_reprs(error: BaseException) -> Iterator[str]:
    """Yield the local variables of the library's frames in the traceback, and the attributes of the errors."""
    current: BaseException | None = error
    while current is not None:
        yield repr(vars(current))
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if frame.f_code.co_filename.startswith(LIBRARY):
                yield from map(safe_repr, frame.f_locals.values())
        current = current.__cause__ or current.__context__


def safe_repr(value: object) -> str:
    """Return the repr, or that of the attributes of an object whose __init__ has not finished, as debuggers do."""
    try:
        return repr(value)
    except AttributeError:
        return repr(vars(value))


def logged_texts(log: pytest.LogCaptureFixture) -> Iterator[str]:
    """Yield all log records except those of the emulator's HTTP/2 library, which logs the headers that it decodes."""
    for record in log.records:
        if not record.name.startswith("hpack"):
            yield f"{record.getMessage()} {record.args!r} {record.exc_text}"


def assert_hidden(secret: str, texts: Iterable[str]) -> None:
    for text in texts:
        assert secret not in text


FAULTS: dict[str, dict[str, Any]] = {
    "error": {"code": "unauthenticated", "message": "no"},
    "page": {"status": 502},
    "delay": {"seconds": 5},
    "cut": {"when": "response"},
    "refuse": {},
    "garbage": {},
    "oversized": {"size": 2_000_000},
}
WANDB = types.WeightsAndBiasesAuth(api_key=KEY, server_url="https://wandb.example.com")
CALLS: list[AnyCall] = [
    lambda client: client.gateways.list(),
    lambda client: client.gateways.wait(UNKNOWN, timeout=0.1),
    lambda client: client.gateways.modify(UNKNOWN, name="front"),
    lambda client: client.hot_loads.get(UNKNOWN),
    lambda client: client.gateways.create("front", weights_and_biases_auth=WANDB),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_failed_calls_do_not_leak_secrets(kind: str, emulator: Emulator, fault: Any, log: Any) -> None:
    emulator.faults.clear()
    emulator.faults.add(fault, **FAULTS[fault])
    settings: dict[str, Any] = {"timeout": 0.2, "retry": ONE_RETRY, "max_reply_bytes": 1_000_000}
    async with open_client(kind, emulator.endpoint, emulator.token, **settings) as client:
        for call in CALLS:
            with pytest.raises(errors.InferenceError) as caught:
                await call(client)
            assert_hidden(emulator.token, [*printed_texts(caught.value), *local_reprs(caught.value)])
            assert_hidden(KEY, printed_texts(caught.value))
    assert_hidden(emulator.token, logged_texts(log))
    assert_hidden(KEY, logged_texts(log))


REQUEST: dict[str, Any] = {"model": "org/model", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("fault", ["error", "page", "delay", "cut", "garbage"])
async def test_failed_completions_do_not_leak_the_token(emulator: Emulator, fault: Any, log: Any) -> None:
    emulator.faults.clear()
    emulator.faults.add(fault, **FAULTS[fault])
    settings: dict[str, Any] = {"token": emulator.token, "timeout": 0.2, "retry": ONE_RETRY}
    caught: list[BaseException] = []
    with Inference(f"{emulator.endpoint}/gateway/{UNKNOWN}", **settings) as inference:
        with pytest.raises(errors.InferenceError) as plain:
            inference.chat.completions.create(**REQUEST)
        with pytest.raises(errors.InferenceError) as streamed, inference.chat.completions.stream(**REQUEST) as stream:
            list(stream)
        caught += [plain.value, streamed.value]
    async with AsyncInference(f"{emulator.endpoint}/gateway/{UNKNOWN}", **settings) as async_inference:
        with pytest.raises(errors.InferenceError) as plain:
            await async_inference.chat.completions.create(**REQUEST)
        with pytest.raises(errors.InferenceError) as streamed:
            async with async_inference.chat.completions.stream(**REQUEST) as chunks:
                [_ async for _ in chunks]
        caught += [plain.value, streamed.value]
    for error in caught:
        assert_hidden(emulator.token, [*printed_texts(error), *local_reprs(error)])
    assert_hidden(emulator.token, logged_texts(log))


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
async def test_failed_connections_do_not_leak_the_token(kind: str, token: str, endpoint: str, log: Any) -> None:
    async with open_client(kind, endpoint, token, timeout=0.5, retry=ONE_RETRY) as client:
        with pytest.raises(errors.ApiError) as caught:
            await client.gateways.list()
    assert_hidden(token, [*printed_texts(caught.value), *local_reprs(caught.value), *logged_texts(log)])


async def test_a_token_echoed_by_the_server_is_not_leaked(kind: str, log: Any) -> None:
    with Emulator(token=TOKENS[1]) as emulator:
        emulator.faults.add("error", code="unauthenticated", message=f"who is {TOKENS[1]}?")
        async with open_client(kind, emulator.endpoint, TOKENS[1]) as client:
            with pytest.raises(errors.Unauthenticated) as caught:
                await client.gateways.list()
    texts = [repr(caught.value), str(caught.value), *traceback.format_exception(caught.value)]
    assert_hidden(TOKENS[1], [*texts, *logged_texts(log)])


@pytest.mark.parametrize("bad", ["\n", " spaced", "é", "\0"])
@pytest.mark.parametrize("token", TOKENS)
def test_a_rejected_token_is_not_leaked(token: str, bad: str, tmp_path: Path, log: Any) -> None:
    file = tmp_path / "token"
    file.write_text(token + bad + "x", "utf-8")
    sources: list[Any] = [
        token + bad,
        lambda: token + bad,
        auth.from_file(file),
        auth.from_command(["printf", "%s", token + bad.replace("\0", "\n") + "x"]),
        auth.from_command(["sh", "-c", f"echo {token}; echo {token} >&2; exit 3"]),
        auth.from_command(["echo", '{"token": "' + token + '"}']),
        auth.from_command(["echo", "{" + token]),
    ]
    for source in sources:
        with (
            pytest.raises(errors.ConfigurationError) as caught,
            Client(source, endpoint="http://127.0.0.1:9") as client,
        ):
            client.gateways.list()
        assert_hidden(token, [repr(caught.value), str(caught.value), *traceback.format_exception(caught.value)[-1:]])
        assert_hidden(token, local_reprs(caught.value))
    assert_hidden(token, logged_texts(log))


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("setting", [{"endpoint": "ftp://host"}, {"timeout": 0}, {"retry": 3}, {"codec": "xml"}])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_rejected_client_setting_does_not_leak_the_token(kind: Any, setting: dict[str, Any], token: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        kind(token, **setting)
    assert_hidden(token, [*printed_texts(caught.value), *local_reprs(caught.value)])


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("setting", [{"base_url": "ftp://host"}, {"timeout": 0}, {"limit": 0}])
@pytest.mark.parametrize("kind", [Inference, AsyncInference])
def test_a_rejected_inference_setting_does_not_leak_the_token(kind: Any, setting: dict[str, Any], token: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        kind(token=token, **{"base_url": "https://host", **setting})
    assert_hidden(token, [*printed_texts(caught.value), *local_reprs(caught.value)])


@pytest.mark.parametrize("token", TOKENS)
async def test_reprs_do_not_leak_the_token(token: str) -> None:
    endpoint, proxy = "http://127.0.0.1:9", f"http://user:{token}@127.0.0.1:9"
    tls = TLS(ca=b"-----BEGIN CERTIFICATE-----", cert=b"-----BEGIN", key=f"-----BEGIN {token}".encode())
    sync_client, async_client = (
        Client(token, endpoint=endpoint, proxy=proxy),
        AsyncClient(token, endpoint=endpoint, proxy=proxy),
    )
    objects: list[Any] = [
        sync_client,
        async_client,
        sync_client.gateways,
        async_client.hot_loads,
        sync_client.with_options(timeout=1),
        sync_client.inference(UNKNOWN),
        async_client.inference(UNKNOWN, token=token),
        sync_client.inference(UNKNOWN).chat.completions,
        Inference(endpoint, token=token, proxy=proxy),
        AsyncInference(endpoint, token=token),
        Emulator(token=token),
        auth.from_command(["echo", token]),
        tls,
    ]
    for each in objects:
        assert_hidden(token, [repr(each), str(each), f"{each}"])
        assert_hidden(token, attribute_reprs(each))
    sync_client.close()
    await async_client.close()


def attribute_reprs(value: Any) -> Iterator[str]:
    """Return the reprs of those attributes that are objects of the library, as a debugger would print them."""
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    attributes = [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]
    return (repr(each) for each in attributes if type(each).__module__.startswith("cwinference"))


@pytest.mark.parametrize("token", TOKENS)
def test_warnings_do_not_leak_the_token(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_TRACE", "all")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        Client(token, endpoint="http://inference.internal", allow_plaintext=True).close()
    assert warned
    assert_hidden(token, [str(each.message) for each in warned])


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_in_an_endpoint_or_a_proxy_url_is_not_leaked(token: str) -> None:
    settings: list[dict[str, Any]] = [{"endpoint": f"https://{token}@host"}, {"proxy": f"socks5://u:{token}@host"}]
    for each in settings:
        with pytest.raises(errors.ConfigurationError) as caught:
            Client("x", **each)
        assert_hidden(token, [str(caught.value), repr(caught.value)])


@pytest.mark.parametrize("fault", ["page", "garbage", "cut", "delay", "error"])
def test_batches_do_not_leak_the_token(emulator: Emulator, fault: Any, tmp_path: Path, log: Any, capfd: Any) -> None:
    emulator.faults.clear()
    emulator.faults.add(fault, **FAULTS[fault])
    url = f"{emulator.endpoint}/gateway/{UNKNOWN}"
    texts: list[str] = []
    with Inference(url, token=emulator.token, timeout=0.2, retry=None) as inference:
        try:
            texts.append(repr(inference.batch([REQUEST, REQUEST], out=tmp_path / "out.jsonl")))
        except errors.InferenceError as error:
            texts += [*printed_texts(error), *local_reprs(error)]
    texts += [each.read_text("utf-8") for each in tmp_path.iterdir()]
    assert_hidden(emulator.token, [*texts, *logged_texts(log), *capfd.readouterr()])
