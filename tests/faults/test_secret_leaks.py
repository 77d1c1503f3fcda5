"""A marked token, and a marked key inside a spec, show nowhere: in no text, log, error, warning, pickle or local."""

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
"""The first is not in the form of CoreWeave's tokens, so that cutting those out of texts does not help."""
KEY = "bird-in-a-spec-3f9c"
OURS = str(Path(cwinference.__file__).parent)
UNKNOWN = "11111111-2222-4333-8444-555555555555"
IMPATIENT = Retry(max_attempts=2, initial_backoff=0)
Do = Callable[[AsyncClient], Any]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=TOKENS)
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    with Emulator(token=request.param) as running:
        yield running


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that anybody logs."""
    caplog.set_level(1)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(1, name)
    return caplog


def printed_of(error: BaseException) -> Iterator[str]:
    """All that is printed of an error and of what lies behind it, and its pickle."""
    seen: BaseException | None = error
    while seen is not None:
        yield from (repr(seen), str(seen), repr(seen.args))
        yield from traceback.format_exception(seen)
        if isinstance(seen, errors.InferenceError):
            yield repr(pickle.dumps(seen))
        seen = seen.__cause__ or seen.__context__


def locals_of(error: BaseException) -> Iterator[str]:
    """What a traceback with locals shows of our own frames, and what hangs on the error itself."""
    seen: BaseException | None = error
    while seen is not None:
        yield repr(vars(seen))
        for frame, _ in traceback.walk_tb(seen.__traceback__):
            if frame.f_code.co_filename.startswith(OURS):
                yield from map(saferepr, frame.f_locals.values())
        seen = seen.__cause__ or seen.__context__


def saferepr(value: object) -> str:
    """As debuggers do it: what is only half made may have no repr yet."""
    try:
        return repr(value)
    except AttributeError:
        return repr(vars(value))


def logged(log: pytest.LogCaptureFixture) -> Iterator[str]:
    """But for what the emulator's HTTP/2 library tells of the headers that it decodes, here in the same process."""
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
CALLS: list[Do] = [
    lambda client: client.gateways.list(),
    lambda client: client.gateways.wait(UNKNOWN, timeout=0.1),
    lambda client: client.gateways.modify(UNKNOWN, name="front"),
    lambda client: client.hot_loads.get(UNKNOWN),
    lambda client: client.gateways.create("front", weights_and_biases_auth=WANDB),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_failed_call_shows_a_secret(kind: str, emulator: Emulator, fault: Any, log: Any) -> None:
    emulator.faults.clear()
    emulator.faults.add(fault, **FAULTS[fault])
    settings: dict[str, Any] = {"timeout": 0.2, "retry": IMPATIENT, "max_reply_bytes": 1_000_000}
    async with open_client(kind, emulator.endpoint, emulator.token, **settings) as client:
        for call in CALLS:
            with pytest.raises(errors.InferenceError) as caught:
                await call(client)
            assert_hidden(emulator.token, [*printed_of(caught.value), *locals_of(caught.value)])
            assert_hidden(KEY, printed_of(caught.value))
    assert_hidden(emulator.token, logged(log))
    assert_hidden(KEY, logged(log))


ASKED: dict[str, Any] = {"model": "org/model", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("fault", ["error", "page", "delay", "cut", "garbage"])
async def test_no_failed_completion_shows_the_token(emulator: Emulator, fault: Any, log: Any) -> None:
    emulator.faults.clear()
    emulator.faults.add(fault, **FAULTS[fault])
    settings: dict[str, Any] = {"token": emulator.token, "timeout": 0.2, "retry": IMPATIENT}
    caught: list[BaseException] = []
    with Inference(f"{emulator.endpoint}/gateway/{UNKNOWN}", **settings) as front:
        with pytest.raises(errors.InferenceError) as plain:
            front.chat.completions.create(**ASKED)
        with pytest.raises(errors.InferenceError) as streamed, front.chat.completions.stream(**ASKED) as stream:
            list(stream)
        caught += [plain.value, streamed.value]
    async with AsyncInference(f"{emulator.endpoint}/gateway/{UNKNOWN}", **settings) as awaiting:
        with pytest.raises(errors.InferenceError) as plain:
            await awaiting.chat.completions.create(**ASKED)
        with pytest.raises(errors.InferenceError) as streamed:
            async with awaiting.chat.completions.stream(**ASKED) as chunks:
                [_ async for _ in chunks]
        caught += [plain.value, streamed.value]
    for error in caught:
        assert_hidden(emulator.token, [*printed_of(error), *locals_of(error)])
    assert_hidden(emulator.token, logged(log))


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
async def test_no_failed_connection_shows_the_token(kind: str, token: str, endpoint: str, log: Any) -> None:
    async with open_client(kind, endpoint, token, timeout=0.5, retry=IMPATIENT) as client:
        with pytest.raises(errors.ApiError) as caught:
            await client.gateways.list()
    assert_hidden(token, [*printed_of(caught.value), *locals_of(caught.value), *logged(log)])


async def test_a_server_that_echoes_the_token_does_not_spread_it(kind: str, log: Any) -> None:
    with Emulator(token=TOKENS[1]) as emulator:
        emulator.faults.add("error", code="unauthenticated", message=f"who is {TOKENS[1]}?")
        async with open_client(kind, emulator.endpoint, TOKENS[1]) as client:
            with pytest.raises(errors.Unauthenticated) as caught:
                await client.gateways.list()
    texts = [repr(caught.value), str(caught.value), *traceback.format_exception(caught.value)]
    assert_hidden(TOKENS[1], [*texts, *logged(log)])


@pytest.mark.parametrize("bad", ["\n", " spaced", "é", "\0"])
@pytest.mark.parametrize("token", TOKENS)
def test_a_token_that_is_refused_is_not_shown(token: str, bad: str, tmp_path: Path, log: Any) -> None:
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
        assert_hidden(token, locals_of(caught.value))
    assert_hidden(token, logged(log))


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("setting", [{"endpoint": "ftp://host"}, {"timeout": 0}, {"retry": 3}, {"codec": "xml"}])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_that_is_refused_does_not_show_its_token(kind: Any, setting: dict[str, Any], token: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        kind(token, **setting)
    assert_hidden(token, [*printed_of(caught.value), *locals_of(caught.value)])


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("setting", [{"base_url": "ftp://host"}, {"timeout": 0}, {"limit": 0}])
@pytest.mark.parametrize("kind", [Inference, AsyncInference])
def test_completions_that_are_refused_do_not_show_their_token(kind: Any, setting: dict[str, Any], token: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        kind(token=token, **{"base_url": "https://host", **setting})
    assert_hidden(token, [*printed_of(caught.value), *locals_of(caught.value)])


@pytest.mark.parametrize("token", TOKENS)
async def test_no_object_shows_the_token(token: str) -> None:
    endpoint, proxy = "http://127.0.0.1:9", f"http://user:{token}@127.0.0.1:9"
    tls = TLS(ca=b"-----BEGIN CERTIFICATE-----", cert=b"-----BEGIN", key=f"-----BEGIN {token}".encode())
    blocking, awaiting = (
        Client(token, endpoint=endpoint, proxy=proxy),
        AsyncClient(token, endpoint=endpoint, proxy=proxy),
    )
    objects: list[Any] = [
        blocking,
        awaiting,
        blocking.gateways,
        awaiting.hot_loads,
        blocking.with_options(timeout=1),
        blocking.inference(UNKNOWN),
        awaiting.inference(UNKNOWN, token=token),
        blocking.inference(UNKNOWN).chat.completions,
        Inference(endpoint, token=token, proxy=proxy),
        AsyncInference(endpoint, token=token),
        Emulator(token=token),
        auth.from_command(["echo", token]),
        tls,
    ]
    for each in objects:
        assert_hidden(token, [repr(each), str(each), f"{each}"])
        assert_hidden(token, deep(each))
    blocking.close()
    await awaiting.close()


def deep(thing: Any) -> Iterator[str]:
    """The reprs of what an object holds: what a debugger or a crash report would print."""
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    held = [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in slots)]
    return (repr(each) for each in held if type(each).__module__.startswith("cwinference"))


@pytest.mark.parametrize("token", TOKENS)
def test_no_warning_shows_the_token(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_TRACE", "all")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        Client(token, endpoint="http://inference.internal", allow_plaintext=True).close()
    assert warned
    assert_hidden(token, [str(each.message) for each in warned])


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_inside_an_endpoint_or_a_proxy_is_not_shown(token: str) -> None:
    settings: list[dict[str, Any]] = [{"endpoint": f"https://{token}@host"}, {"proxy": f"socks5://u:{token}@host"}]
    for each in settings:
        with pytest.raises(errors.ConfigurationError) as caught:
            Client("x", **each)
        assert_hidden(token, [str(caught.value), repr(caught.value)])


@pytest.mark.parametrize("fault", ["page", "garbage", "cut", "delay", "error"])
def test_no_batch_writes_the_token_down(emulator: Emulator, fault: Any, tmp_path: Path, log: Any, capfd: Any) -> None:
    emulator.faults.clear()
    emulator.faults.add(fault, **FAULTS[fault])
    url = f"{emulator.endpoint}/gateway/{UNKNOWN}"
    shown: list[str] = []
    with Inference(url, token=emulator.token, timeout=0.2, retry=None) as front:
        try:
            shown.append(repr(front.batch([ASKED, ASKED], out=tmp_path / "out.jsonl")))
        except errors.InferenceError as error:
            shown += [*printed_of(error), *locals_of(error)]
    shown += [each.read_text("utf-8") for each in tmp_path.iterdir()]
    assert_hidden(emulator.token, [*shown, *logged(log), *capfd.readouterr()])
