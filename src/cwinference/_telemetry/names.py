"""Every name that telemetry uses: of attributes, events and metrics, as OpenTelemetry's semantic conventions have them.

Those for RPC are a release candidate and those for generative AI are in development, so they may change. They change
here, together with `SCHEMA_VERSION`.
"""

from dataclasses import dataclass

from ..errors import CODES

SCHEMA_VERSION = "1.44.0"
SCHEMA_URL = f"https://opentelemetry.io/schemas/{SCHEMA_VERSION}"
SCOPE = "cwinference"
"""The instrumentation scope of all spans and metrics."""

# Of calls of any kind
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
HTTP_METHOD = "http.request.method"
HTTP_STATUS = "http.response.status_code"
URL_TEMPLATE = "url.template"

# Of calls of the management API
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"

# Of completions
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"

NUMBERS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
}
"""Fields of a request's body whose numbers are recorded, by the attributes that they become."""

# Ours, where the conventions have none
ATTEMPTS = "cwinference.attempts"
"""On the span of a call that was not sent just once: how many times it was."""
ATTEMPT = "cwinference.attempt"
"""The event at the end of each attempt."""

# Values
GRPC, CONNECT = "grpc", "connectrpc"
CHAT, TEXT = "chat", "text_completion"
COREWEAVE = "coreweave"
INPUT, OUTPUT = "input", "output"
OTHER = "_OTHER"


@dataclass(frozen=True)
class Metric:
    """A histogram: its name and unit, what it measures, and the limits of its buckets."""

    name: str
    unit: str
    description: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...]
    """The attributes that its values have. None of them is an id."""


_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_OF_MODEL = (OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT)

CALL_DURATION = Metric(
    "rpc.client.call.duration",
    "s",
    "Duration of calls of the management API, over all attempts.",
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    (RPC_METHOD, RPC_SYSTEM, RPC_STATUS, ERROR_TYPE, SERVER_ADDRESS, SERVER_PORT),
)
OPERATION_DURATION = Metric(
    "gen_ai.client.operation.duration",
    "s",
    "Duration of completions, over all attempts, and of streams until they end.",
    _SECONDS,
    (*_OF_MODEL, ERROR_TYPE),
)
TOKEN_USAGE = Metric(
    "gen_ai.client.token.usage",
    "{token}",
    "Tokens of prompts and completions, as the server reports them.",
    tuple(float(4**power) for power in range(14)),
    (*_OF_MODEL, TOKEN_TYPE),
)
TIME_TO_FIRST_CHUNK = Metric(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    "Time from the call of a stream to its first chunk.",
    _SECONDS,
    _OF_MODEL,
)
TIME_PER_OUTPUT_CHUNK = Metric(
    "gen_ai.client.operation.time_per_output_chunk",
    "s",
    "Time that a stream waits for each chunk after its first.",
    _SECONDS,
    _OF_MODEL,
)
METRICS = (CALL_DURATION, OPERATION_DURATION, TOKEN_USAGE, TIME_TO_FIRST_CHUNK, TIME_PER_OUTPUT_CHUNK)


def status_name(code: str) -> str | None:
    """Return the name of an error's code as RPC spells it, such as "NOT_FOUND"; None for what no server has said."""
    return _STATUS_NAMES.get(code)


_STATUS_NAMES = {"ok": "OK", **{code: code.upper() for code in CODES}, "canceled": "CANCELLED"}  # gRPC has two Ls
