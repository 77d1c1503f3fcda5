"""Every rule of the API's requests, message by message: as its protos state them, and as known to have changed.

`PUBLISHED` is proven against protovalidate (`make rules`). Rules of hot-loads are not published; theirs follow the
documentation.
"""

from collections.abc import Mapping

from google.protobuf.message import Message

from ... import types
from .kinds import (
    HOST_LABEL,
    HOSTNAME,
    SEMANTIC_VERSION,
    UNIQUE,
    URI,
    UUID,
    ZONE,
    Field,
    Rule,
    Rules,
    at_least,
    between,
    defined,
    max_items,
    max_len,
    max_pairs,
    min_items,
    min_len,
    not_contains,
    not_in,
    one_of,
    optional,
    pattern,
    required,
    value,
)

Table = Mapping[type[Message], Rules]

ID = value(*UUID)
NEW_ID = optional(*UUID)
BY_ID = Rules({"id": ID})

GATEWAY = {
    "name": value(HOST_LABEL),
    "zones": Field([UNIQUE], each=[ZONE]),
}
GATEWAY_ONEOFS = ("auth", "routing")

DEPLOYMENT = {
    "name": value(HOST_LABEL),
    "gateway_ids": Field([min_items(1), UNIQUE], each=UUID),
    "runtime": required(),
    "resources": required(),
    "model": required(),
    "autoscaling": required(),
    "traffic": required(),
}

OPTION = [max_len(1024), not_contains("$(")]
NO_TRAVERSAL = Rule(
    "path.no_traversal", "path must not contain '..' segments", lambda path: ".." not in path.split("/")
)


def _runtime(*engines: str) -> Rules:
    return Rules(
        {
            "engine": value(one_of("string", *engines)),
            "version": required(SEMANTIC_VERSION),
            "engine_config": Field(keys=[max_len(253), pattern("^[A-Za-z0-9_.-]+$")], each=OPTION),
            "engine_env": Field(
                [max_pairs(100)],
                keys=[min_len(1), max_len(253), pattern("^[A-Za-z_][A-Za-z0-9_]*$")],
                each=OPTION,
            ),
        }
    )


def _claim_resources(*zone_counts: Rule, refused_types: tuple[int, ...]) -> Rules:
    return Rules(
        {
            "instance_id": required(),
            "capacity_type": value(defined(types.CapacityType.DESCRIPTOR), not_in(*refused_types)),
            "zones": Field(zone_counts, each=[ZONE]),
        }
    )


GATEWAYS: Table = {
    types.GetGatewayRequest: BY_ID,
    types.DeleteGatewayRequest: BY_ID,
    types.CreateGatewayRequest: Rules({"id": NEW_ID, **GATEWAY}, GATEWAY_ONEOFS),
    types.UpdateGatewayRequest: Rules({"id": ID, **GATEWAY}, GATEWAY_ONEOFS),
    types.WeightsAndBiasesAuth: Rules(
        {"server_url": optional(URI)},
        whole=[
            Rule(
                "server_url_requires_api_key",
                "an api_key needs a server_url",
                lambda auth: not auth.api_key or auth.server_url,
            ),
            Rule(
                "api_key_not_supported_yet",
                "api_key and server_url are not supported yet",
                lambda auth: not auth.api_key and not auth.server_url,
            ),
        ],
    ),
    types.EndpointConfiguration: Rules({"additional_dns": Field([UNIQUE], each=HOSTNAME)}),
    types.BodyBasedRouting: Rules({"api_type": value(defined(types.BodyBasedRouting.APIType.DESCRIPTOR), not_in(0))}),
    types.HeaderBasedRouting: Rules({"header_name": value(min_len(1), max_len(100))}),
}

DEPLOYMENTS: Table = {
    types.GetDeploymentRequest: BY_ID,
    types.DeleteDeploymentRequest: BY_ID,
    types.ListDeploymentsRequest: Rules({"parent_gateway_id": NEW_ID}),
    types.GetDeploymentParametersRequest: Rules({"gateway_ids": Field([UNIQUE], each=UUID)}),
    types.CreateDeploymentRequest: Rules({"id": NEW_ID, **DEPLOYMENT}),
    types.UpdateDeploymentRequest: Rules({"id": ID, **DEPLOYMENT}),
    types.DeploymentRuntime: _runtime("vllm", "dynamo-vllm"),
    types.DeploymentResources: Rules(
        {"instance_type": required(), "gpu_count": value(one_of("uint32", 1, 2, 4, 8, 16))},
    ),
    types.DeploymentModel: Rules(
        {
            "name": value(min_len(4), max_len(63), pattern("^[a-zA-Z0-9._:/_-]+$")),
            "bucket": value(HOST_LABEL),
            "path": required(NO_TRAVERSAL),
        }
    ),
    types.DeploymentAutoscaling: Rules(
        {
            "min": value(at_least(1)),
            "max": value(at_least(1)),
            "priority": value(between(0, 1000)),
            "capacity_classes": Field(
                [UNIQUE], each=[defined(types.DeploymentAutoscaling.CapacityClass.DESCRIPTOR), not_in(0)]
            ),
            "concurrency": optional(at_least(1)),
        },
        whole=[
            Rule("max_gte_min", "max must be greater than or equal to min", lambda scale: scale.max >= scale.min),
        ],
    ),
    types.DeploymentTraffic: Rules({"weight": value(between(0, 1000))}),
}

CAPACITY_CLAIMS: Table = {
    types.GetCapacityClaimRequest: BY_ID,
    types.DeleteCapacityClaimRequest: BY_ID,
    types.CreateCapacityClaimRequest: Rules(
        {
            "id": NEW_ID,
            "name": value(min_len(1), max_len(100), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")),
            "resources": required(),
        }
    ),
    types.UpdateCapacityClaimRequest: Rules({"id": ID, "resources": required()}),
    types.CapacityClaimResources: _claim_resources(min_items(1), max_items(1), refused_types=(0, 1)),
}

IDENTITY = (
    min_len(1),
    max_len(128),
    Rule(
        "identity.one_segment",
        "must be one path segment, and not `initial`, which names the base weights",
        lambda name: "/" not in name and name not in (".", "..", "initial"),
    ),
)
PAGE = {"max_page_size": value(Rule("int32.gte", "must be greater than or equal to 0", lambda size: size >= 0))}

HOT_LOADS: Table = {
    types.GetHotLoadRequest: BY_ID,
    types.CancelHotLoadRequest: BY_ID,
    types.ListHotLoadsRequest: Rules({"parent_deployment_id": NEW_ID, **PAGE}),
    types.ListHotLoadReplicasRequest: Rules({"hot_load_id": ID, **PAGE}),
    types.CreateHotLoadRequest: Rules(
        {
            "deployment_id": ID,
            "hot_load_id": NEW_ID,
            "identity": value(*IDENTITY),
            "type": value(defined(types.SnapshotType.DESCRIPTOR), not_in(0)),
            "prompt_cache_policy": value(defined(types.PromptCachePolicy.DESCRIPTOR)),
        },
        whole=[
            Rule(
                "incremental_needs_metadata",
                "incremental_snapshot_metadata goes with INCREMENTAL snapshots, and only with them",
                lambda request: (
                    request.HasField("incremental_snapshot_metadata")
                    == (request.type == types.SnapshotType.SNAPSHOT_TYPE_INCREMENTAL)
                ),
            ),
        ],
    ),
    types.IncrementalSnapshotMetadata: Rules(
        {
            "previous_snapshot_identity": value(min_len(1), max_len(128)),
            "compression_format": value(defined(types.CompressionFormat.DESCRIPTOR), not_in(0)),
            "checksum_format": value(defined(types.ChecksumFormat.DESCRIPTOR), not_in(0)),
        }
    ),
    types.DeploymentHotLoad: Rules(
        {
            "bucket": value(HOST_LABEL),
            "path_prefix": value(NO_TRAVERSAL),
            "transition_mode": value(defined(types.TransitionMode.DESCRIPTOR), not_in(0)),
        }
    ),
}

PUBLISHED: Table = {**GATEWAYS, **DEPLOYMENTS, **CAPACITY_CLAIMS, **HOT_LOADS}

CURRENT: Table = {
    **PUBLISHED,
    types.DeploymentRuntime: _runtime("vllm", "dynamo-vllm", "dynamo-sglang"),
    types.CapacityClaimResources: _claim_resources(min_items(1), refused_types=(0, 1, 2)),
}
"""What CoreWeave's clients and pages show to have changed: an engine, claims over several zones, CUSTOMER refused."""
