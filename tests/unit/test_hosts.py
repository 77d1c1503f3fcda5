"""What a host says by itself, and to which hosts a gateway's own response may send the token."""

from typing import Any

import pytest

from cwinference import AsyncClient, Client, errors
from cwinference._hosts import GatewayHosts, check_gateway_hosts, is_private

PRIVATE = [
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "ip6-localhost",
    "127.0.0.1", "127.9.9.9", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
    "0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1",
    "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::1", "::", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:a00:1", "::127.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "2002:a00:1::", "fc00::1", "fd00::1", "fe80::1", "ff02::1", "2001:db8::1",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\uff4cocalhost", "local\u00adhost",
    f"\u00e9{'a' * 70}.example",
]  # fmt: skip
PUBLIC = [
    "gateway.example", "localhost.example", "notlocalhost", "10.example", "127.0.0.1.example", "0x7f000001.example",
    "8.8.8.8", "172.32.0.1", "100.128.0.1", "1.2.3.4.5", "999.1.1.1", "2606:4700::1", "::ffff:8.8.8.8",
    "2002:808:808::", "m\u00fcnchen.example",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_loopback_and_private_addresses_are_known_in_every_spelling(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize("host", PUBLIC)
def test_other_hosts_are_not_private(host: str) -> None:
    assert not is_private(host)


PATTERNS = [
    ("*.example", "gateway.example", True),
    ("*.Example", "A.b.EXAMPLE", True),
    ("*.example.", "gateway.example.", True),
    ("*.example", "example", False),
    ("*.example", "gatewayexample", False),
    ("*.example", "gateway.example.org", False),
    ("gateway.example", "gateway.example", True),
    ("gateway.example", "a.gateway.example", False),
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.1", "127.0.0.2", False),
    ("*.0.0.1", "127.0.0.1", False),
    ("[fd00::1]", "fd00:0::1", True),
    ("FD00::1", "fd00::1", True),
    ("localhost", "localhost", True),
    ("*.münchen.example", "gw.xn--mnchen-3ya.example", True),
    ("xn--mnchen-3ya.example", "münchen.example", True),
]


@pytest.mark.parametrize(("pattern", "host", "allowed"), PATTERNS)
def test_a_pattern_allows_a_host_or_all_names_below_one(pattern: str, host: str, allowed: bool) -> None:
    hosts = GatewayHosts(check_gateway_hosts(["other.example", pattern]))
    if allowed:
        hosts.check(host)
    else:
        with pytest.raises(errors.ConfigurationError, match="the token is not sent; gateway_hosts allows other"):
            hosts.check(host)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("*.example", r": expected a list such as \['\*.example.com'\], got '\*.example'"),
        (b"example", ": expected a list"),
        (5, ": expected a list"),
        ([], " must not be empty"),
        ([""], ": expected hosts such as"),
        ([5], ": expected hosts such as"),
        (["*"], ": expected hosts such as"),
        (["a.*.example"], ": expected hosts such as"),
        (["https://gateway.example"], ": expected hosts such as"),
        (["gateway.example:443"], ": expected hosts such as"),
        (["gateway.example/v1"], ": expected hosts such as"),
        (["good.example", "10.0.0.0/8"], ": expected hosts such as .*'10.0.0.0/8'$"),
    ],
)
def test_wrong_patterns_are_refused_when_the_client_is_made(kind: Any, value: Any, problem: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=f"^gateway_hosts{problem}"):
        kind("token", gateway_hosts=value)
