"""Generates thousands of requests with a few fields changed in each, to test the rule table against protovalidate.

They are generated from a seed with `random()` only: Python guarantees that its sequence stays the same, so the golden
file does not have to contain the requests.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, TypeVar

T = TypeVar("T")
Json = dict[str, Any]

UUID = "5b2d9c1e-7a44-4f0d-8b6a-91c3e5d7f002"
OTHER_UUID = "0A2D9C1E-7A44-4F0D-8B6A-91C3E5D7F0FF"

GATEWAY: Json = {
    "id": UUID,
    "name": "front",
    "zones": ["US-EAST-04A"],
    "coreWeaveAuth": {},
    "endpointConfiguration": {"additionalDns": ["llm.example.com"]},
    "bodyBasedRouting": {"apiType": 1},
}
DEPLOYMENT: Json = {
    "id": UUID,
    "name": "llama",
    "gatewayIds": [UUID],
    "runtime": {"engine": "vllm", "version": "0.22.0", "engineConfig": {"max-model-len": "8"}, "engineEnv": {"A": "0"}},
    "resources": {"instanceType": "gd-8xh100ib-i128", "gpuCount": 2},
    "model": {"name": "org/llama-3.1:8b", "bucket": "acme-models", "path": "models/llama"},
    "autoscaling": {"min": 1, "max": 4, "priority": 100, "capacityClasses": [1, 2], "concurrency": 16},
    "traffic": {},
}
CLAIM: Json = {
    "id": UUID,
    "name": "reserve",
    "resources": {"instanceId": "gb200-4x", "instanceCount": 1, "capacityType": 3, "zones": ["RNO2A"]},
}
NOUNS = ("Gateway", "Deployment", "CapacityClaim")
BASES: dict[str, tuple[Json, int]] = {
    "CreateGatewayRequest": (GATEWAY, 1600),
    "UpdateGatewayRequest": (GATEWAY, 400),
    "CreateDeploymentRequest": (DEPLOYMENT, 1800),
    "UpdateDeploymentRequest": (DEPLOYMENT, 400),
    "CreateCapacityClaimRequest": (CLAIM, 800),
    "UpdateCapacityClaimRequest": ({key: CLAIM[key] for key in ("id", "resources")}, 300),
    "GetDeploymentParametersRequest": ({"gatewayIds": [UUID]}, 100),
    "ListDeploymentsRequest": ({"parentGatewayId": UUID}, 60),
    **{f"Get{noun}Request": ({"id": UUID}, 40) for noun in NOUNS},
    **{f"Delete{noun}Request": ({"id": UUID}, 40) for noun in NOUNS},
}
"""A valid request of each type, and how many requests are derived from it."""

IDS = [
    *("", UUID, OTHER_UUID, "00000000-0000-0000-0000-000000000000", "not-a-uuid", "urn:uuid:" + UUID, f"{{{UUID}}}"),
    *(UUID[:-1], UUID + "0", UUID + "\n", UUID.replace("-", ""), UUID.replace("-", "_"), "g" + UUID[1:]),
    UUID.replace("5", "\N{ARABIC-INDIC DIGIT FIVE}"),
]
LABELS = [
    *"a A-b -a a- a.b a_b é 0 a--b - test-acc-inf-1 \N{LATIN SMALL LETTER LONG S}".split(),
    *("", "abc\n", "abc\r", "a\0", "a b", "a" * 63, "a" * 64, "a" * 100, "a" * 101, "A" * 100),
]
ZONES = [
    *"US-EAST-04A RNO2A us-east-04a US-EAST-4 US-EAST-04AB USA-EAST-04A US--04A RNO2B EU-NORTH-01A US-EA5T-04A".split(),
    *("", "US-EAST-04A\n", "US-EAST-04A ", "US-EAST-\N{ARABIC-INDIC DIGIT ZERO}4A"),
]
VERSIONS = [
    *"0.22.0 v1.2.3 1.2 01.2.3 1.02.3 1.2.3-rc.1 1.2.3-01 1.2.3-0a 1.2.3+crwv.2 1.2.3+01 1.2.3- 1.2.3+".split(),
    *"1.2.3-a+b 1.2.3-a..b 1.2.3-é 1.2.3.4 99999999999999999999.0.0 1.2.3-- latest".split(),
    *("", "1.2.3\n"),
]
HOSTS = [
    *"example.com example.com. 1.2.3.4 a.1 a.1b -a.com a-.com a..b . a. .a é.com a_b.com *.example.com".split(),
    *"EXAMPLE.COM 0 1a xn--e1afmkfd.xn--p1ai ::1 a:80 localhost".split(),
    *("", "a.com\n", "a b.com", "a" * 63 + ".com", "a" * 64 + ".com"),
    *(("a" * 49 + ".") * 5 + end for end in ("abc", "abc.", "abcd", "abcd.")),
]
URIS = [
    *"https://wandb.example.com http://[::1]:80/a?b#c //a/b a urn:x:y https:// http: 1http://a https://u:p@h:1/".split(),
    *"https://h:port/ https://[::g]/ https://[v1.x]/ https://h/%zz https://h/%20 https://h/é https://%ff/".split(),
    *"https://%c3%a9/ mailto:a@b https://h?a=b&c[] https://h#a#b https://[fe80::1%25eth0]/ a:/b//c".split(),
    *"https://[fe80::1%eth0]/ https://h:99999/ https://h:/ https://[1:2:3:4:5:6:7::]/ https://[::1.2.3.4]/".split(),
    *"https://[::01.2.3.4]/ https://a@b@c/ https://[12345::]/ https://[1::2::3]/ x:?/? x:#/? https://[v.x]/".split(),
    *("", "https://a b", "x:\n", "x:[]", "x://@"),
]
MODELS = [
    *"abc abcd meta-llama/Llama-3.1-8B éééé a:b_c.d 😀😀😀😀 a\\bc".split(),
    *("", "a" * 63, "a" * 64, "a b c d", "abcd\n"),
]
PATHS = [
    *"a .. a/.. ../a a/../b a/..b/c a/... / . a//..//b ..\\a ..a".split(),
    *("", "a/..\n", "\n..", "\n/..", "a/ .."),
]
KEYS = [*'A 1A a-b a.b _ é $ a1 q" \\'.split(), "", "a b", "A\n", "A" * 253, "A" * 254]
VALUES = [
    *"0 $(x) a$( $x".split(),
    *("", "$ (", "v" * 1024, "v" * 1025, "é" * 1024, "é" * 1025, "😀" * 1024, "😀" * 1025),
]
HEADERS = ["", "x", "h" * 100, "h" * 101, "é" * 100, "é" * 101, "x-model", " ", "\n"]
ENGINES = ["", "vllm", "dynamo-vllm", "dynamo-sglang", "VLLM", "vllm\n"]
NAMES = ["", "x", "gd-8xh100ib-i128", " ", "\n"]
UINTS = [0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 999, 1000, 1001, 2**31, 2**32 - 1]
ENUMS = [0, 1, 2, 3, 4, -1, 2**31 - 1]
ALPHABET = "aZ09-._~:/?#[]@!$&'()*+,;=% \n\0é😀\\\"zF"


class Generator:
    """Draws values from the pools above; every draw is one or more calls of `random()`."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random  # noqa: S311

    def below(self, n: int) -> int:
        return int(self._random() * n)

    def pick(self, pool: Sequence[T]) -> T:
        return pool[self.below(len(pool))]

    def text(self, pool: Sequence[str]) -> str:
        """Return a text of the pool, three times in ten with a character inserted, removed or replaced."""
        chosen = self.pick(pool)
        if self.below(10) < 7:
            return chosen
        at = self.below(len(chosen) + 1)
        return chosen[:at] + self.pick(["", self.pick(ALPHABET)]) + chosen[at + self.below(2) :]

    def list(self, pool: Sequence[T], draw_item: Callable[[Sequence[T]], T]) -> list[T]:
        return [draw_item(pool) for _ in range(self.pick([0, 1, 1, 1, 2, 2, 3]))]

    def map(self, keys: Sequence[str]) -> dict[str, str]:
        count = self.pick([0, 1, 1, 2, 2, 3, 3, 100, 101, 300])
        if count >= 100:
            return {f"A{n}": "" for n in range(count)}
        return {self.text(keys): self.text(VALUES) for _ in range(count)}


def _pools(draw: Generator) -> dict[str, Callable[[], Any]]:
    """Return how to draw a new value for each field, by its path in JSON; None removes the field."""
    return {
        "id": lambda: draw.text(IDS),
        "parentGatewayId": lambda: draw.text(IDS),
        "name": lambda: draw.text(LABELS),
        "zones": lambda: draw.list(ZONES, draw.text),
        "gatewayIds": lambda: draw.list(IDS, draw.text),
        "auth": lambda: draw.pick(
            [
                {},
                {"coreWeaveAuth": {}},
                {"weightsAndBiasesAuth": {"apiKey": draw.pick(NAMES), "serverUrl": draw.pick(["", draw.text(URIS)])}},
            ]
        ),
        "routing": lambda: draw.pick(
            [
                {},
                {"pathBasedRouting": {}},
                {"bodyBasedRouting": {"apiType": draw.pick(ENUMS)}},
                {"headerBasedRouting": {"headerName": draw.text(HEADERS)}},
            ]
        ),
        "endpointConfiguration": lambda: draw.pick([None, {}]),
        "endpointConfiguration.additionalDns": lambda: draw.list(HOSTS, draw.text),
        "runtime": lambda: draw.pick([None, {}]),
        "runtime.engine": lambda: draw.text(ENGINES),
        "runtime.version": lambda: draw.text(VERSIONS),
        "runtime.engineConfig": lambda: draw.map(KEYS),
        "runtime.engineEnv": lambda: draw.map(KEYS),
        "resources": lambda: draw.pick([None, {}]),
        "resources.instanceType": lambda: draw.pick(NAMES),
        "resources.gpuCount": lambda: draw.pick(UINTS),
        "resources.instanceId": lambda: draw.pick(NAMES),
        "resources.instanceCount": lambda: draw.pick(UINTS),
        "resources.capacityType": lambda: draw.pick(ENUMS),
        "resources.zones": lambda: draw.list(ZONES, draw.text),
        "model": lambda: draw.pick([None, {}]),
        "model.name": lambda: draw.text(MODELS),
        "model.bucket": lambda: draw.text(LABELS),
        "model.path": lambda: draw.text(PATHS),
        "autoscaling": lambda: draw.pick([None, {}]),
        "autoscaling.min": lambda: draw.pick(UINTS),
        "autoscaling.max": lambda: draw.pick(UINTS),
        "autoscaling.priority": lambda: draw.pick(UINTS),
        "autoscaling.capacityClasses": lambda: draw.list(ENUMS, draw.pick),
        "autoscaling.concurrency": lambda: draw.pick(UINTS),
        "traffic": lambda: draw.pick([None, {}]),
        "traffic.weight": lambda: draw.pick(UINTS),
    }


ONEOFS = {
    "auth": ("coreWeaveAuth", "weightsAndBiasesAuth"),
    "routing": ("bodyBasedRouting", "headerBasedRouting", "pathBasedRouting"),
}


def requests() -> Iterator[tuple[str, Json]]:
    """Yield the type name and the JSON of each request: always the same ones in the same order."""
    for kind, (base, count) in BASES.items():
        draw = Generator(kind)
        pools = _pools(draw)
        paths = [path for path in pools if _has_path(base, path)]
        for _ in range(count):
            request = deepcopy(base)
            for _ in range(draw.pick([1, 1, 1, 2, 2, 3, 5])):
                path = draw.pick(paths)
                _set(request, path, pools[path]())
            yield kind, request


def _has_path(base: Json, path: str) -> bool:
    name, _, subfield = path.partition(".")
    if name in ONEOFS:
        return any(field in base for field in ONEOFS[name])
    return name in base and (not subfield or subfield in base[name] or (name, subfield) == ("traffic", "weight"))


def _set(request: Json, path: str, value: Any) -> None:
    name, _, subfield = path.partition(".")
    if name in ONEOFS:
        for field in ONEOFS[name]:
            request.pop(field, None)
        request |= value
    elif subfield:
        request.setdefault(name, {})[subfield] = value
    elif value is None:
        request.pop(name, None)
    else:
        request[name] = value
