"""The keys of maps in the paths of violations, quoted as by the Go validator."""

import pytest
from google.rpc.error_details_pb2 import BadRequest

from cwinference import types
from cwinference.emulator.interfaces import RpcError
from cwinference.emulator.rules.checker import check
from cwinference.emulator.rules.formats import quote_key
from tests.support.emulated_api import InProcessApi, request

QUOTED = {
    "a b": '"a b"',
    "\0": r'"\x00"',
    "\x1f": r'"\x1f"',
    "\x7f": r'"\x7f"',
    "\a\b\f\n\r\t\v": r'"\a\b\f\n\r\t\v"',
    '"\\/': r'"\"\\/"',
    "é😀": '"é😀"',
    "\x80\xa0\xad": r'"\u0080\u00a0\u00ad"',
    "\u2028\ufeff\ue000": r'"\u2028\ufeff\ue000"',
    "\U000e0001": r'"\U000e0001"',
}
"""What Go's `strconv.Quote` makes of some strings."""


@pytest.mark.parametrize("key", QUOTED, ids=ascii)
def test_a_key_is_quoted_as_by_go(key: str) -> None:
    assert quote_key(key) == QUOTED[key]


def test_the_path_of_a_violation_contains_the_quoted_key() -> None:
    request = types.CreateDeploymentRequest(runtime=types.DeploymentRuntime(engine_env={"\0": ""}))
    assert r'runtime.engine_env["\x00"]' in {each.field for each in check(request)}


def test_the_path_of_an_unknown_option_contains_the_quoted_key() -> None:
    api = InProcessApi()
    api.sample("CreateGateway")
    sent = request("CreateDeployment")
    sent.runtime.engine_config['x"\0'] = "1"
    with pytest.raises(RpcError) as caught:
        api(sent)
    (detail,) = caught.value.details
    assert isinstance(detail, BadRequest)
    assert [each.field for each in detail.field_violations] == [r'runtime.engine_config["x\"\x00"]']
