"""Requests by their http rules: a field that is part of the path is nowhere else."""

import json

import pytest
from google.protobuf.message import Message

from cwinference import types
from cwinference._wire.methods import METHODS
from cwinference.transports._http_rule import target

GATEWAYS = "/v1alpha1/inference/gateways"


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (types.GetGatewayRequest(id="some-id"), f"{GATEWAYS}/some-id"),
        (types.GetGatewayRequest(id="a/b c?d"), f"{GATEWAYS}/a%2Fb%20c%3Fd"),
        (types.DeleteGatewayRequest(id="some-id"), f"{GATEWAYS}/some-id"),
        (types.ListGatewaysRequest(), GATEWAYS),
        (
            types.GetDeploymentParametersRequest(gateway_ids=["one", "two"]),
            "/v1alpha1/inference/deployments/parameters?gatewayIds=one&gatewayIds=two",
        ),
    ],
)
def test_a_request_without_a_body_is_entirely_in_its_path_and_query(request_: Message, path: str) -> None:
    assert target(METHODS[type(request_)], request_) == (path, None)


def test_a_create_is_entirely_in_its_body() -> None:
    request = types.CreateGatewayRequest(id="some-id", name="front")
    path, body = target(METHODS[type(request)], request)
    assert path == GATEWAYS
    assert json.loads(body or b"") == {"id": "some-id", "name": "front"}
