"""The rules of all requests, by message type: as the published protos declare them, and with known changes since then.

`PUBLISHED` is tested against protovalidate (see `make rules`). The rules of hot-loads are not published; the ones here
follow the documentation.
"""

from collections.abc import Mapping

from google.protobuf.message import Message

from ... import types
from .kinds import (
    HOST_LABEL,
    HOSTNAME,
    IP_PREFIX,
    SEMANTIC_VERSION,
    UNIQUE,
    URI,
    UUID,
    ZONE,
    FieldRules,
    MessageRules,
    Rule,
    always,
    at_least,
    between,
    defined,
    ignore_if_empty,
    max_items,
    max_len,
    max_pairs,
    min_items,
    min_len,
    not_contains,
    not_in,
    one_of,
    pattern,
    required,
)

RuleTable = Mapping[type[Message], MessageRules]

ID = always(*UUID)
NEW_ID = ignore_if_empty(*UUID)
BY_ID = MessageRules({"id": ID})

GATEWAY_FIELDS = {
    "name": always(HOST_LABEL),
    "zones": FieldRules([UNIQUE], items=[ZONE]),
}
GATEWAY_ONEOFS = ("auth", "routing")

DEPLOYMENT_FIELDS = {
    "name": always(HOST_LABEL),
    "gateway_ids": FieldRules([min_items(1), UNIQUE], items=UUID),
    "runtime": required(),
    "resources": required(),
    "model": required(),
    "autoscaling": required(),
    "traffic": required(),
}

OPTION_VALUE = [max_len(1024), not_contains("$(")]
NO_TRAVERSAL = Rule(
    "path.no_traversal", "path must not contain '..' segments", lambda path: ".." not in path.split("/")
)


def _runtime(*engines: str) -> MessageRules:
    return MessageRules(
        {
            "engine": always(one_of("string", *engines)),
            "version": required(SEMANTIC_VERSION),
            "engine_config": FieldRules(keys=[max_len(253), pattern("^[A-Za-z0-9_.-]+$")], items=OPTION_VALUE),
            "engine_env": FieldRules(
                [max_pairs(100)],
                keys=[min_len(1), max_len(253), pattern("^[A-Za-z_][A-Za-z0-9_]*$")],
                items=OPTION_VALUE,
            ),
        }
    )


def _claim_resources(*zone_counts: Rule, rejected_types: tuple[int, ...]) -> MessageRules:
    return MessageRules(
        {
            "instance_id": required(),
            "capacity_type": always(defined(types.CapacityType.DESCRIPTOR), not_in(*rejected_types)),
            "zones": FieldRules(zone_counts, items=[ZONE]),
        }
    )


GATEWAYS: RuleTable = {
    types.GetGatewayRequest: BY_ID,
    types.DeleteGatewayRequest: BY_ID,
    types.CreateGatewayRequest: MessageRules({"id": NEW_ID, **GATEWAY_FIELDS}, GATEWAY_ONEOFS),
    types.UpdateGatewayRequest: MessageRules({"id": ID, **GATEWAY_FIELDS}, GATEWAY_ONEOFS),
    types.WeightsAndBiasesAuth: MessageRules(
        {"server_url": ignore_if_empty(URI)},
        message=[
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
    types.EndpointConfiguration: MessageRules(
        {
            "additional_dns": FieldRules([UNIQUE], items=HOSTNAME),
            "allowed_source_ip_ranges": FieldRules([max_items(50)], items=[IP_PREFIX]),
            "edge_proxy_mode": always(defined(types.EdgeProxyMode.DESCRIPTOR)),
        }
    ),
    types.BodyBasedRouting: MessageRules(
        {"api_type": always(defined(types.BodyBasedRouting.APIType.DESCRIPTOR), not_in(0))}
    ),
    types.HeaderBasedRouting: MessageRules({"header_name": always(min_len(1), max_len(100))}),
}

DEPLOYMENTS: RuleTable = {
    types.GetDeploymentRequest: BY_ID,
    types.DeleteDeploymentRequest: BY_ID,
    types.ListDeploymentsRequest: MessageRules({"parent_gateway_id": NEW_ID}),
    types.GetDeploymentParametersRequest: MessageRules({"gateway_ids": FieldRules([UNIQUE], items=UUID)}),
    types.CreateDeploymentRequest: MessageRules({"id": NEW_ID, **DEPLOYMENT_FIELDS}),
    types.UpdateDeploymentRequest: MessageRules({"id": ID, **DEPLOYMENT_FIELDS}),
    types.DeploymentRuntime: _runtime("vllm", "dynamo-vllm"),
    types.DeploymentResources: MessageRules(
        {"instance_type": required(), "gpu_count": always(one_of("uint32", 1, 2, 4, 8, 16))},
    ),
    types.DeploymentModel: MessageRules(
        {
            "name": always(min_len(4), max_len(63), pattern("^[a-zA-Z0-9._:/_-]+$")),
            "bucket": always(HOST_LABEL),
            "path": required(NO_TRAVERSAL),
        }
    ),
    types.DeploymentAutoscaling: MessageRules(
        {
            "min": always(at_least(1)),
            "max": always(at_least(1)),
            "priority": always(between(0, 1000)),
            "capacity_classes": FieldRules(
                [UNIQUE], items=[defined(types.DeploymentAutoscaling.CapacityClass.DESCRIPTOR), not_in(0)]
            ),
            "concurrency": ignore_if_empty(at_least(1)),
        },
        message=[
            Rule("max_gte_min", "max must be greater than or equal to min", lambda scale: scale.max >= scale.min),
        ],
    ),
    types.DeploymentTraffic: MessageRules({"weight": always(between(0, 1000))}),
}

CAPACITY_CLAIMS: RuleTable = {
    types.GetCapacityClaimRequest: BY_ID,
    types.DeleteCapacityClaimRequest: BY_ID,
    types.CreateCapacityClaimRequest: MessageRules(
        {
            "id": NEW_ID,
            "name": always(min_len(1), max_len(100), pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")),
            "resources": required(),
        }
    ),
    types.UpdateCapacityClaimRequest: MessageRules({"id": ID, "resources": required()}),
    types.CapacityClaimResources: _claim_resources(min_items(1), max_items(1), rejected_types=(0, 1)),
}

SNAPSHOT_IDENTITY = (
    min_len(1),
    max_len(128),
    Rule(
        "identity.one_segment",
        "must be one path segment, and not `initial`, which names the base weights",
        lambda name: "/" not in name and name not in (".", "..", "initial"),
    ),
)
PAGE_FIELDS = {"max_page_size": always(Rule("int32.gte", "must be greater than or equal to 0", lambda size: size >= 0))}

HOT_LOADS: RuleTable = {
    types.GetHotLoadRequest: BY_ID,
    types.CancelHotLoadRequest: BY_ID,
    types.ListHotLoadsRequest: MessageRules({"parent_deployment_id": NEW_ID, **PAGE_FIELDS}),
    types.ListHotLoadReplicasRequest: MessageRules({"hot_load_id": ID, **PAGE_FIELDS}),
    types.CreateHotLoadRequest: MessageRules(
        {
            "deployment_id": ID,
            "hot_load_id": NEW_ID,
            "identity": always(*SNAPSHOT_IDENTITY),
            "type": always(defined(types.SnapshotType.DESCRIPTOR), not_in(0)),
            "prompt_cache_policy": always(defined(types.PromptCachePolicy.DESCRIPTOR)),
        },
        message=[
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
    types.IncrementalSnapshotMetadata: MessageRules(
        {
            "previous_snapshot_identity": always(min_len(1), max_len(128)),
            "compression_format": always(defined(types.CompressionFormat.DESCRIPTOR), not_in(0)),
            "checksum_format": always(defined(types.ChecksumFormat.DESCRIPTOR), not_in(0)),
        }
    ),
    types.DeploymentHotLoad: MessageRules(
        {
            "bucket": always(HOST_LABEL),
            "path_prefix": always(NO_TRAVERSAL),
            "transition_mode": always(defined(types.TransitionMode.DESCRIPTOR), not_in(0)),
        }
    ),
}

PUBLISHED: RuleTable = {**GATEWAYS, **DEPLOYMENTS, **CAPACITY_CLAIMS, **HOT_LOADS}

CURRENT: RuleTable = {
    **PUBLISHED,
    types.DeploymentRuntime: _runtime("vllm", "dynamo-vllm", "dynamo-sglang"),
    types.CapacityClaimResources: _claim_resources(min_items(1), rejected_types=(0, 1, 2)),
}
"""With the changes that CoreWeave's clients and documentation show: dynamo-sglang is allowed, a claim may list
several zones, and the capacity type CUSTOMER is rejected."""
