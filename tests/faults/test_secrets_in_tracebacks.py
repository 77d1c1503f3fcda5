"""Whatever is refused, and however a call fails: no local variable in the library's frames has a secret in it."""

import asyncio
import signal
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import cwinference
from cwinference import TLS, AsyncClient, Client, HotLoadState, State, auth, describe, errors, types
from cwinference.emulator import Emulator
from cwinference.inference import AsyncInference, Inference
from cwinference.resources import Gateways

SECRET = "canary-3f9c-of-a-secret"
NOWHERE = "http://127.0.0.1:9"
GATEWAY = "11111111-2222-4333-8444-555555555555"
LIBRARY = str(Path(cwinference.__file__).parent)
KEY_PEM = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"
CERT_PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
PROXY = f"http://user:{SECRET}@127.0.0.1:9"
WANDB: dict[str, Any] = {"api_key": SECRET, "server_url": "https://wandb.example.com"}
SPEC = types.GatewaySpec(weights_and_biases_auth=types.WeightsAndBiasesAuth(api_key=SECRET))
CHAT: dict[str, Any] = {"model": "org/model", "messages": [{"role": "user", "content": "Hi"}]}
TRANSPORTS: list[dict[str, Any]] = [
    {"transport": "grpc"},
    {"transport": "connect"},
    {"transport": "connect", "codec": "json"},
    {"transport": "rest"},
]
Try = Callable[[], Any]


def make(kind: Any, *args: Any, **options: Any) -> None:
    """Make something of wrong arguments."""
    kind(*args, **options)


def printing(text: str) -> Any:
    """Return a source that runs a command which prints the text."""
    return auth.from_command(["printf", "%s", text])


def reading(text: str, folder: Path) -> Any:
    """Return a source that reads a file with the text."""
    file = folder / f"token-{len(list(folder.iterdir()))}"
    file.write_text(text, "utf-8")
    return auth.from_file(file)


def call(token: Any, **settings: Any) -> None:
    """Make a client and a call that needs the token."""
    with Client(token, endpoint=NOWHERE, retry=None, **settings) as client:
        client.gateways.list(timeout=1)


def call_async(token: Any, **settings: Any) -> None:
    async def run() -> None:
        async with AsyncClient(token, endpoint=NOWHERE, retry=None, **settings) as client:
            await client.gateways.list(timeout=1)

    asyncio.run(run())


def create(**arguments: Any) -> None:
    """Create a gateway, where nothing listens."""
    with Client("token", endpoint=NOWHERE, retry=None) as client:
        client.gateways.create(arguments.pop("name", "front"), timeout=1, **arguments)


def change(method: str, **arguments: Any) -> None:
    with Client("token", endpoint=NOWHERE, retry=None) as client:
        getattr(client.gateways, method)(GATEWAY, timeout=1, **arguments)


def of_client(**options: Any) -> None:
    with Client("token", endpoint=NOWHERE) as client:
        client.inference(GATEWAY, **options)


def chat(method: str = "create", **options: Any) -> None:
    with Inference(NOWHERE, token=SECRET, retry=None, timeout=1) as inference:
        result = getattr(inference.chat.completions, method)(**{**CHAT, **options})
        if method == "stream":
            list(result)


def chat_async(method: str = "create", **options: Any) -> None:
    async def run() -> None:
        async with AsyncInference(NOWHERE, token=SECRET, retry=None, timeout=1) as inference:
            result = getattr(inference.chat.completions, method)(**{**CHAT, **options})
            if method == "stream":
                [_ async for _ in result]
            await result

    asyncio.run(run())


def raising_source() -> str:
    raise LookupError("the vault is sealed")


TOKENS: dict[str, Try] = {
    "a token with a newline": lambda: call(f"{SECRET}\n"),
    "a token with a space": lambda: call(f" {SECRET}"),
    "a token with a header of its own": lambda: call(f"{SECRET}\r\nx: y"),
    "a token with an odd character": lambda: call(f"{SECRET}é"),
    "a token with a zero byte": lambda: call(f"{SECRET}\0"),
}
ARGUMENTS: dict[str, Try] = {
    "a token as bytes": lambda: call(SECRET.encode()),
    "a token in a list": lambda: call([SECRET]),
    "a token for the async client": lambda: call_async(f"{SECRET}\n"),
    "a token next to a wrong option": lambda: call(SECRET, endpiont="x"),
    "a token under another name": lambda: call("token", api_key=SECRET),
    "a token next to a wrong endpoint": lambda: Client(SECRET, endpoint="ftp://host"),
    "a token next to a wrong timeout": lambda: Client(SECRET, endpoint=NOWHERE, timeout=0),
    "a token next to a wrong retry": lambda: make(AsyncClient, SECRET, endpoint=NOWHERE, retry=3),
    "a token for completions": lambda: Inference(NOWHERE, token=f"{SECRET}\n"),
    "a token for completions, next to a wrong option": lambda: make(Inference, NOWHERE, token=SECRET, routes=1),
    "a token for completions, next to a wrong limit": lambda: AsyncInference(NOWHERE, token=SECRET, limit=0),
    "a token of a gateway": lambda: of_client(token=f"{SECRET}\n"),
    "a token of a gateway, next to a wrong option": lambda: of_client(token=SECRET, limits=3),
    "a token of a gateway, next to a wrong limit": lambda: of_client(token=SECRET, limit=0),
    "a token of the emulator": lambda: Emulator(token=f"{SECRET}\n"),
    "a token of the emulator, next to a wrong option": lambda: make(Emulator, token=SECRET, prot=1),
}
SOURCES: dict[str, Try] = {
    "a callable": lambda: call(lambda: f"{SECRET}\n"),
    "a callable that returns bytes": lambda: call(lambda: SECRET.encode()),
    "an async callable": lambda: call_async(lambda: asyncio.sleep(0, f"{SECRET}\n")),
    "an async callable for the sync client": lambda: call(lambda: asyncio.sleep(0, SECRET)),
    "a command that prints two lines": lambda: call(printing(f"{SECRET}\nx")),
    "a command that prints two lines, async": lambda: call_async(printing(f"{SECRET}\nx")),
    "a command that fails": lambda: call(auth.from_command(["sh", "-c", f"echo {SECRET}; exit 3"])),
    "a command that is no list": lambda: auth.from_command(f"vault login {SECRET}"),
    "a command with a wrong argument": lambda: make(auth.from_command, ["printf", SECRET, 5]),
    "a command with a zero byte": lambda: call(auth.from_command(["printf", f"{SECRET}\0"])),
    "a command that does not exist": lambda: call(auth.from_command(["no-such-program", SECRET])),
    "a credential without status": lambda: call(printing(f'{{"token": "{SECRET}"}}')),
    "a credential that is no JSON": lambda: call(printing(f'{{"{SECRET}')),
    "a credential with a list": lambda: call_async(printing(f'{{"status": {{"token": ["{SECRET}"]}}}}')),
    "a command, called directly": lambda: printing(f'{{"token": "{SECRET}"}}')(),
    "a source that raises, after a refusal": lambda: call(raising_source),
}
PARTS_OF_TLS: dict[str, Try] = {
    "a key as certificate": lambda: call("token", tls=TLS(cert=KEY_PEM.encode(), key=KEY_PEM.encode())),
    "certificate and key swapped": lambda: call("token", tls=TLS(cert=KEY_PEM.encode(), key=CERT_PEM.encode())),
    "a key as authority": lambda: call("token", tls=TLS(ca=KEY_PEM.encode())),
    "a key without its certificate": lambda: call("token", tls=TLS(key=KEY_PEM.encode())),
    "a key as text": lambda: call("token", tls=TLS(cert=CERT_PEM.encode(), key=KEY_PEM)),
    "a key as text, as certificate": lambda: call("token", tls=TLS(cert=KEY_PEM, key=KEY_PEM)),
    "a key for completions": lambda: Inference(NOWHERE, tls=TLS(cert=KEY_PEM.encode(), key=KEY_PEM.encode())),
    "a key that is none": lambda: list(
        Inference(
            "https://127.0.0.1:9", tls=TLS(cert=CERT_PEM.encode(), key=KEY_PEM.encode()), retry=None
        ).models.list()
    ),
}
PROXIES: dict[str, Try] = {
    "a proxy of another kind": lambda: call("token", proxy=f"ftp://user:{SECRET}@host:1"),
    "a proxy with a wrong port": lambda: call("token", transport="rest", proxy=f"http://user:pass@host:{SECRET}"),
    "a proxy with https over gRPC": lambda: call("token", proxy=PROXY.replace("http:", "https:")),
    "a proxy next to a wrong option": lambda: make(Client, "token", proxy=PROXY, codec="xml"),
    "a proxy for completions": lambda: Inference(NOWHERE, proxy=f"ftp://user:{SECRET}@host:1"),
    "a proxy that is down": lambda: Inference(
        "https://nowhere.invalid", proxy=PROXY, retry=None, timeout=1
    ).models.list(),
}
HEADERS: dict[str, Try] = {
    "a token in headers": lambda: chat(headers={"authorization": f"Bearer {SECRET}"}),
    "a token in headers, streamed": lambda: chat("stream", headers={"authorization": f"Bearer {SECRET}"}),
    "a token in headers, async": lambda: chat_async(headers={"authorization": f"Bearer {SECRET}"}),
    "a header with a line break": lambda: chat(headers={"x-api-key": f"{SECRET}\n"}),
    "a header next to a wrong timeout": lambda: chat(headers={"x-api-key": SECRET}, timeout=0),
    "headers as a list": lambda: chat(headers=[("x-api-key", SECRET)]),
    "a header of a failing request": lambda: chat(headers={"x-api-key": SECRET}),
    "a header of a failing stream": lambda: chat("stream", headers={"x-api-key": SECRET}),
    "a header of a failing request, async": lambda: chat_async(headers={"x-api-key": SECRET}),
    "extra headers": lambda: chat(extra_headers={"x-api-key": SECRET}),
    "a failing request": chat,
    "a failing stream": lambda: chat("stream"),
    "a failing async stream": lambda: chat_async("stream"),
    "a key for the openai package": lambda: Inference(NOWHERE, token="x").openai(api_key=SECRET, wrong=1),
}
MESSAGES: dict[str, Try] = {
    "a key next to a wrong name": lambda: create(name="", weights_and_biases_auth=WANDB),
    "a key next to a wrong field": lambda: create(weights_and_biases_auth={**WANDB, "servre": 1}),
    "a key of the wrong type": lambda: create(weights_and_biases_auth={**WANDB, "api_key": [SECRET]}),
    "a key in a message, next to a wrong list": lambda: create(
        zones="US", weights_and_biases_auth=types.WeightsAndBiasesAuth(api_key=SECRET)
    ),
    "a key next to another auth": lambda: create(weights_and_biases_auth=WANDB, core_weave_auth={}),
    "a key next to a wrong option": lambda: create(weights_and_biases_auth=WANDB, zone="US"),
    "a key as the auth": lambda: create(weights_and_biases_auth=SECRET),
    "a key next to a wrong option, by the class": lambda: make(
        Gateways.create, Client("token", endpoint=NOWHERE).gateways, "front", weights_and_biases_auth=WANDB, zone="US"
    ),
    "the state of a spec": lambda: make(State.of, SPEC),
    "the state of a hot-load that is a spec": lambda: make(HotLoadState.of, SPEC),
    "a description of a spec": lambda: make(describe, SPEC),
    "a key in a spec": lambda: create(spec={"weights_and_biases_auth": WANDB, "nmae": "front"}),
    "a key of a failing update": lambda: change("update", name="front", weights_and_biases_auth=WANDB),
    "a key of a failing modify": lambda: change("modify", weights_and_biases_auth=WANDB),
    "a key of a refused modify": lambda: change("modify", weights_and_biases_auth={**WANDB, "servre": 1}),
}
ON_EVERY_TRANSPORT: dict[str, Callable[..., Any]] = {
    "a token of a failing call": lambda transport: call(SECRET, **transport),
    "a token of a failing async call": lambda transport: call_async(SECRET, **transport),
    "a key of a failing create": lambda transport: Client(
        "token", endpoint=NOWHERE, retry=None, **transport
    ).gateways.create("front", weights_and_biases_auth=WANDB, timeout=1),
    "a key of a failing async create": lambda transport: asyncio.run(create_async(transport)),
    "a token of a page": lambda transport: list(
        Client(SECRET, endpoint=NOWHERE, retry=None, **transport).hot_loads.list(timeout=1)
    ),
}


async def create_async(transport: Mapping[str, Any]) -> None:
    async with AsyncClient("token", endpoint=NOWHERE, retry=None, **transport) as client:
        await client.gateways.create("front", weights_and_biases_auth=WANDB, timeout=1)


TRIES: dict[str, Try] = {
    **TOKENS, **ARGUMENTS, **SOURCES, **PARTS_OF_TLS, **PROXIES, **HEADERS, **MESSAGES,
    **{
        f"{name}, {'-'.join(transport.values())}": partial(each, transport)
        for transport in TRANSPORTS for name, each in ON_EVERY_TRANSPORT.items()
    },
}  # fmt: skip


def shown(value: Any, depth: int = 3) -> Iterator[str]:
    """Yield what tools that report errors make of a local variable.

    All take the repr; some look into containers and objects, and some take strings as they are.
    """
    try:
        yield repr(value)
    except AttributeError:  # an object whose __init__ has not finished
        yield repr(vars(value))
    if isinstance(value, str | bytes):
        yield str(value[:80])
    elif isinstance(value, Mapping) and depth:
        for each in (*value.keys(), *value.values()):
            yield from shown(each, depth - 1)
    elif isinstance(value, list | tuple | set | frozenset) and depth:
        for each in value:
            yield from shown(each, depth - 1)


def leaks(error: BaseException) -> Iterator[str]:
    """Yield where the secret is: in a frame of the library, or of one that it calls, or in a text."""
    current: BaseException | None = error
    while current is not None:
        for frame, _ in traceback.walk_tb(current.__traceback__):
            code = frame.f_code
            if code.co_filename.startswith(LIBRARY) or "site-packages" in code.co_filename:
                for name, value in frame.f_locals.items():
                    if any(SECRET in text for text in shown(value)):
                        yield f"{code.co_qualname}: {name}"
        if SECRET in str(current) + repr(current) + repr(current.args) + repr(vars(current)):
            yield f"the text of {type(current).__name__}"
        current = current.__cause__ or current.__context__


@pytest.mark.parametrize("name", TRIES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_local_variable_of_the_library_has_the_secret(name: str) -> None:
    with pytest.raises((errors.InferenceError, TypeError, LookupError)) as caught:
        TRIES[name]()
    assert any(LIBRARY in str(each.path) for each in caught.traceback)
    assert [*leaks(caught.value)] == []


@pytest.mark.parametrize("variable", ["COREWEAVE_API_TOKEN", "CW_API_TOKEN"])
@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_nor_if_it_comes_from_the_environment(variable: str, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COREWEAVE_API_TOKEN", raising=False)
    monkeypatch.setenv(variable, f"{SECRET}\n")
    with pytest.raises(ValueError, match="line break") as caught:
        make(endpoint=NOWHERE)
    assert [*leaks(caught.value)] == []


@pytest.mark.parametrize("text", [f"{SECRET}\nx", f'{{"token": "{SECRET}"}}', f"{SECRET} é"])
@pytest.mark.parametrize("run", [call, call_async])
def test_nor_if_it_comes_from_a_file(text: str, run: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="token") as caught:
        run(reading(text, tmp_path))
    assert [*leaks(caught.value)] == []


def ring(number: int, frame: object) -> None:
    raise KeyboardInterrupt("over")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nor_if_a_signal_handler_raises_during_a_call(transport: dict[str, Any]) -> None:
    """Then no error is translated, and the traceback goes through the frames of gRPC."""
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with Client(SECRET, endpoint=endpoint, **transport) as client:
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                with pytest.raises(KeyboardInterrupt, match="^over$") as caught:
                    client.gateways.list()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [*leaks(caught.value)] == []


def test_the_callers_own_functions_keep_their_variables() -> None:
    """Tools that report errors show them, and the caller needs them to find the cause."""

    def source() -> str:
        clue = "the vault is sealed"
        raise LookupError(clue)

    with pytest.raises(LookupError) as caught:
        call(source)
    assert caught.traceback[-1].frame.f_locals == {"clue": "the vault is sealed"}
