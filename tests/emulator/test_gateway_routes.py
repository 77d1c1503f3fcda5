"""Below a gateway's endpoint: access, the choice of a deployment, and errors that an OpenAI client understands."""

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from cwinference import State, types
from cwinference.emulator.gateway.app import CompletionsApp
from cwinference.emulator.gateway.openai_request import ModelRequest
from cwinference.emulator.gateway.response import ResponseWriter
from tests.support.asgi_requests import AppResponse, call_app

from .gateway_requests import BY_BODY, BY_HEADER, BY_PATH, MODEL, OURS, THEIRS, completions_app, deployment, gateway

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
SPACES = b" " * 34_000_000
WANDB: Any = {"weights_and_biases_auth": types.WeightsAndBiasesAuth()}


class Echo:
    """Responds with what was requested."""

    async def complete(self, request: ModelRequest, response: ResponseWriter) -> None:
        await response.send(200, f'{{"route": "{request.route}", "model": "{request.model}"}}'.encode())


async def post(
    app: CompletionsApp, path: str = "/v1/chat/completions", body: Any = CHAT, headers: Mapping[str, str] = OURS
) -> AppResponse:
    return await call_app(app, "POST", f"/gateway/front{path}", body, headers)


async def get(app: CompletionsApp, path: str, headers: Mapping[str, str] = OURS) -> AppResponse:
    return await call_app(app, "GET", f"/gateway/front{path}", None, headers)


@pytest.mark.parametrize(
    ("routing", "path", "headers"),
    [
        (BY_BODY, "/v1/chat/completions", {}),
        (BY_HEADER, "/v1/chat/completions", {"x-model": MODEL}),
        (BY_PATH, "/org%2Fmodel/v1/chat/completions", {}),
    ],
)
async def test_each_routing_finds_the_model(routing: Any, path: str, headers: Any) -> None:
    response = await post(completions_app(Echo(), gateway(**routing)), path, headers={**OURS, **headers})
    assert response.status == 200
    assert response.json == {"route": "chat/completions", "model": MODEL}
    assert response.headers["x-emulator-deployment"] == "one"


async def test_header_and_path_need_no_model_in_the_body() -> None:
    body = {"prompt": "Hi"}
    by_header = await post(
        completions_app(Echo(), gateway(**BY_HEADER)), "/v1/completions", body, {**OURS, "x-model": MODEL}
    )
    by_path = await post(completions_app(Echo(), gateway(**BY_PATH)), "/org%2Fmodel/v1/completions", body)
    assert by_header.json == by_path.json == {"route": "completions", "model": MODEL}


@pytest.mark.parametrize(("routing", "path"), [(BY_BODY, "/v1/completions"), (BY_PATH, "/nope/v1/completions")])
async def test_an_unknown_model_is_not_found(routing: Any, path: str) -> None:
    response = await post(completions_app(Echo(), gateway(**routing)), path, {"model": "nope", "prompt": "Hi"})
    assert response.status == 404
    assert response.error == {
        "message": "The model 'nope' does not exist",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


async def test_a_body_that_names_another_model_than_the_path_is_rejected() -> None:
    response = await post(
        completions_app(Echo(), gateway(**BY_PATH)), "/org%2Fmodel/v1/completions", {"model": "gpt-4"}
    )
    assert (response.status, response.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("routing", "path", "text"),
    [
        (BY_BODY, "/org%2Fmodel/v1/completions", "this gateway serves /v1/..."),
        (BY_PATH, "/v1/completions", "this gateway serves /<model, percent-encoded>/v1/..."),
        (BY_PATH, "/org/model/v1/completions", "percent-encoded"),
        (BY_BODY, "/v1/embeddings", "Unknown route /v1/embeddings"),
        (BY_BODY, "", "Unknown path"),
    ],
)
async def test_the_error_of_an_unknown_path_says_which_paths_there_are(routing: Any, path: str, text: str) -> None:
    response = await get(completions_app(Echo(), gateway(**routing)), path)
    assert (response.status, response.error["code"]) == (404, "unknown_url")
    assert text in response.error["message"]


@pytest.mark.parametrize(
    ("routing", "body", "text"),
    [
        (BY_BODY, {"prompt": "Hi"}, "model: this gateway selects the model by this field"),
        (BY_BODY, {"model": 5}, "model: expected a string"),
        (BY_HEADER, CHAT, "by the header 'X-Model', which is missing"),
        (BY_BODY, b"{not JSON", "not JSON"),
        (BY_BODY, b"[" * 100_000, "not JSON"),
        (BY_BODY, b"\xff", "not JSON"),
        (BY_BODY, rb'{"model": "org/model", "prompt": "half a pair: \uD83d"}', "surrogates not allowed"),
        (BY_BODY, [], "not a JSON object"),
    ],
)
async def test_a_body_that_cannot_be_routed_is_a_bad_request(routing: Any, body: Any, text: str) -> None:
    response = await post(completions_app(Echo(), gateway(**routing)), "/v1/completions", body)
    assert (response.status, response.error["type"]) == (400, "invalid_request_error")
    assert text in response.error["message"]


async def test_a_body_can_be_compressed() -> None:
    body, headers = gzip.compress(json.dumps(CHAT).encode()), {**OURS, "content-encoding": "gzip"}
    assert (await post(completions_app(Echo()), body=body, headers=headers)).status == 200


@pytest.mark.parametrize(("encoding", "text"), [("gzip", "not gzip"), ("br", "unknown compression 'br'")])
async def test_a_body_that_is_not_compressed_as_declared_is_a_bad_request(encoding: str, text: str) -> None:
    response = await post(completions_app(Echo()), headers={**OURS, "content-encoding": encoding})
    assert (response.status, text in response.error["message"]) == (400, True)


@pytest.mark.parametrize(("body", "headers"), [(SPACES, {}), (gzip.compress(SPACES), {"content-encoding": "gzip"})])
async def test_a_body_that_is_too_large_is_rejected(body: bytes, headers: Any) -> None:
    response = await post(completions_app(Echo()), body=body, headers={**OURS, **headers})
    assert (response.status, response.error["code"]) == (413, "request_too_large")


async def test_completions_allow_post_and_models_get() -> None:
    app = completions_app(Echo())
    response = await get(app, "/v1/chat/completions")
    assert (response.status, response.headers["allow"]) == (405, "POST")
    response = await post(app, "/v1/models")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("verb", ["GET", "POST"])
@pytest.mark.parametrize("route", ["embeddings", "chat/completions/", "modelsx", "models/"])
async def test_an_unknown_route_is_not_found_whatever_the_verb(verb: str, route: str) -> None:
    response = await call_app(completions_app(Echo()), verb, f"/gateway/front/v1/{route}", {}, OURS)
    assert (response.status, response.error["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
async def test_without_a_valid_token_a_request_is_unauthorized(headers: Any) -> None:
    response = await post(completions_app(Echo()), headers=headers)
    assert (response.status, response.error["code"]) == (401, "invalid_api_key")
    assert "wrong" not in response.error["message"]


async def test_the_token_of_another_organization_is_forbidden() -> None:
    response = await post(completions_app(Echo()), headers=THEIRS)
    assert (response.status, response.error["code"]) == (403, "forbidden")


async def test_wandb_auth_accepts_any_key_but_no_coreweave_token() -> None:
    app = completions_app(Echo(), gateway(**WANDB))
    assert (await post(app, headers={"authorization": "Bearer key-of-wandb"})).status == 200
    for headers in (OURS, {}, {"authorization": "Bearer "}, {"authorization": "key-of-wandb"}):
        assert (await post(app, headers=headers)).status == 401, headers


async def test_an_unknown_gateway_is_not_found() -> None:
    response = await call_app(completions_app(Echo()), "POST", "/gateway/other/v1/completions", CHAT, OURS)
    assert (response.status, response.error["code"]) == (404, "gateway_not_found")
    response = await call_app(completions_app(Echo()), "POST", "/gateway/fr%6Fnt/v1/chat/completions", CHAT, OURS)
    assert response.status == 200


@pytest.mark.parametrize("state", [State.CREATING, State.DELETING, State.FAILED])
async def test_a_gateway_that_is_not_ready_is_unavailable(state: State) -> None:
    response = await post(completions_app(Echo(), gateway(state=state)))
    assert (response.status, response.error["type"]) == (503, "server_error")
    assert state.name in response.error["message"]
    assert response.headers["retry-after"] == "1"


async def test_a_deployment_that_is_not_ready_is_unavailable() -> None:
    response = await post(completions_app(Echo(), None, [deployment("one", state=State.CREATING)]))
    assert (response.status, response.error["code"]) == (503, "not_ready")
    assert "one is CREATING" in response.error["message"]
    assert response.headers["retry-after"] == "1"


async def test_a_disabled_deployment_is_not_found() -> None:
    response = await post(completions_app(Echo(), None, [deployment("one", disabled=True)]))
    assert (response.status, response.error["code"]) == (404, "model_not_found")
    assert "disabled" in response.error["message"]


async def shares(*deployments: types.Deployment) -> Mapping[str, int]:
    app = completions_app(Echo(), None, deployments, random=Random(5).random)  # noqa: S311
    return Counter([(await post(app)).headers["x-emulator-deployment"] for _ in range(1000)])


async def test_deployments_that_share_a_model_share_its_requests_by_weight() -> None:
    counts = await shares(
        deployment("large", weight=700),
        deployment("small", weight=300),
        deployment("none", weight=0),
        deployment("down", weight=900, state=State.ERROR),
        deployment("other", "other-model", weight=900),
    )
    assert set(counts) == {"large", "small"}
    assert counts["large"] == pytest.approx(700, abs=50)


async def test_weights_of_zero_share_evenly() -> None:
    counts = await shares(deployment("one"), deployment("two"))
    assert counts["one"] == pytest.approx(500, abs=50)


async def test_the_models_of_a_gateway_are_listed_once_each_if_they_serve() -> None:
    deployments = [
        deployment("one"),
        deployment("two"),
        deployment("three", "third"),
        deployment("four", "fourth", disabled=True),
    ]
    listed = (await get(completions_app(Echo(), None, deployments), "/v1/models")).json
    assert listed == {
        "object": "list",
        "data": [
            {"id": MODEL, "object": "model", "created": 7, "owned_by": "cw1a2b"},
            {"id": "third", "object": "model", "created": 7, "owned_by": "cw1a2b"},
        ],
    }


async def test_a_path_lists_its_own_model() -> None:
    app = completions_app(Echo(), gateway(**BY_PATH), [deployment("one"), deployment("two", "other")])
    listed = (await get(app, "/org%2Fmodel/v1/models")).json
    assert [each["id"] for each in listed["data"]] == [MODEL]
    assert (await get(app, "/nope/v1/models")).error["code"] == "model_not_found"


async def test_one_model_is_read_by_its_name() -> None:
    app = completions_app(Echo())
    assert (await get(app, "/v1/models/org%2Fmodel")).json["id"] == MODEL
    assert (await get(app, "/v1/models/nope")).error["code"] == "model_not_found"


async def test_every_response_has_a_request_id_the_clients_own_if_it_sent_one() -> None:
    app = completions_app(Echo())
    assert (await post(app)).headers["x-request-id"]
    assert (await post(app, headers={**OURS, "x-request-id": "abc"})).headers["x-request-id"] == "abc"
