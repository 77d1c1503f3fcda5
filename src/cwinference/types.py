"""Every message and enum of the API under its own name. No other module imports the generated code.

They are plain protobuf messages. Constructors take keywords; at run time a nested message may also be given as a dict,
an enum by its name as a string, and a time as a timezone-aware `datetime`.

`help(types.Gateway)` explains a message and its fields, `help(types.Status)` an enum and its values.
"""

import sys
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coreweave.inference.v1alpha1.capacity_claim_pb2 import (
        CapacityClaim,
        CapacityClaimResources,
        CapacityClaimSpec,
        CapacityClaimStatus,
        CapacityType,
        CreateCapacityClaimRequest,
        CreateCapacityClaimResponse,
        DeleteCapacityClaimRequest,
        DeleteCapacityClaimResponse,
        GetCapacityClaimParametersRequest,
        GetCapacityClaimParametersResponse,
        GetCapacityClaimRequest,
        GetCapacityClaimResponse,
        ListCapacityClaimsRequest,
        ListCapacityClaimsResponse,
        UpdateCapacityClaimRequest,
        UpdateCapacityClaimResponse,
    )
    from coreweave.inference.v1alpha1.condition_pb2 import (
        Condition,
    )
    from coreweave.inference.v1alpha1.deployment_pb2 import (
        CreateDeploymentRequest,
        CreateDeploymentResponse,
        DeleteDeploymentRequest,
        DeleteDeploymentResponse,
        Deployment,
        DeploymentAutoscaling,
        DeploymentModel,
        DeploymentResourceParameters,
        DeploymentResources,
        DeploymentRuntime,
        DeploymentRuntimeParameters,
        DeploymentSpec,
        DeploymentStatus,
        DeploymentTraffic,
        GetDeploymentParametersRequest,
        GetDeploymentParametersResponse,
        GetDeploymentRequest,
        GetDeploymentResponse,
        ListDeploymentsRequest,
        ListDeploymentsResponse,
        UpdateDeploymentRequest,
        UpdateDeploymentResponse,
    )
    from coreweave.inference.v1alpha1.gateway_pb2 import (
        BodyBasedRouting,
        CoreWeaveAuth,
        CreateGatewayRequest,
        CreateGatewayResponse,
        DeleteGatewayRequest,
        DeleteGatewayResponse,
        EdgeProxyMode,
        EndpointConfiguration,
        Gateway,
        GatewaySpec,
        GatewayStatus,
        GetGatewayParametersRequest,
        GetGatewayParametersResponse,
        GetGatewayRequest,
        GetGatewayResponse,
        HeaderBasedRouting,
        ListGatewaysRequest,
        ListGatewaysResponse,
        PathBasedRouting,
        UpdateGatewayRequest,
        UpdateGatewayResponse,
        WeightsAndBiasesAuth,
    )
    from coreweave.inference.v1alpha1.hot_load_pb2 import (
        CancelHotLoadRequest,
        CancelHotLoadResponse,
        ChecksumFormat,
        CompressionFormat,
        CreateHotLoadRequest,
        CreateHotLoadResponse,
        DeploymentHotLoad,
        GetHotLoadRequest,
        GetHotLoadResponse,
        HotLoad,
        HotLoadReplica,
        HotLoadSpec,
        HotLoadState,
        HotLoadStatus,
        IncrementalSnapshotMetadata,
        ListHotLoadReplicasRequest,
        ListHotLoadReplicasResponse,
        ListHotLoadsRequest,
        ListHotLoadsResponse,
        PromptCachePolicy,
        SnapshotRef,
        SnapshotType,
        TransitionMode,
    )
    from coreweave.inference.v1alpha1.status_pb2 import (
        Status,
    )
    from google.protobuf.timestamp_pb2 import Timestamp

__all__ = [
    "BodyBasedRouting",
    "CancelHotLoadRequest",
    "CancelHotLoadResponse",
    "CapacityClaim",
    "CapacityClaimResources",
    "CapacityClaimSpec",
    "CapacityClaimStatus",
    "CapacityType",
    "ChecksumFormat",
    "CompressionFormat",
    "Condition",
    "CoreWeaveAuth",
    "CreateCapacityClaimRequest",
    "CreateCapacityClaimResponse",
    "CreateDeploymentRequest",
    "CreateDeploymentResponse",
    "CreateGatewayRequest",
    "CreateGatewayResponse",
    "CreateHotLoadRequest",
    "CreateHotLoadResponse",
    "DeleteCapacityClaimRequest",
    "DeleteCapacityClaimResponse",
    "DeleteDeploymentRequest",
    "DeleteDeploymentResponse",
    "DeleteGatewayRequest",
    "DeleteGatewayResponse",
    "Deployment",
    "DeploymentAutoscaling",
    "DeploymentHotLoad",
    "DeploymentModel",
    "DeploymentResourceParameters",
    "DeploymentResources",
    "DeploymentRuntime",
    "DeploymentRuntimeParameters",
    "DeploymentSpec",
    "DeploymentStatus",
    "DeploymentTraffic",
    "EdgeProxyMode",
    "EndpointConfiguration",
    "Gateway",
    "GatewaySpec",
    "GatewayStatus",
    "GetCapacityClaimParametersRequest",
    "GetCapacityClaimParametersResponse",
    "GetCapacityClaimRequest",
    "GetCapacityClaimResponse",
    "GetDeploymentParametersRequest",
    "GetDeploymentParametersResponse",
    "GetDeploymentRequest",
    "GetDeploymentResponse",
    "GetGatewayParametersRequest",
    "GetGatewayParametersResponse",
    "GetGatewayRequest",
    "GetGatewayResponse",
    "GetHotLoadRequest",
    "GetHotLoadResponse",
    "HeaderBasedRouting",
    "HotLoad",
    "HotLoadReplica",
    "HotLoadSpec",
    "HotLoadState",
    "HotLoadStatus",
    "IncrementalSnapshotMetadata",
    "ListCapacityClaimsRequest",
    "ListCapacityClaimsResponse",
    "ListDeploymentsRequest",
    "ListDeploymentsResponse",
    "ListGatewaysRequest",
    "ListGatewaysResponse",
    "ListHotLoadReplicasRequest",
    "ListHotLoadReplicasResponse",
    "ListHotLoadsRequest",
    "ListHotLoadsResponse",
    "PathBasedRouting",
    "PromptCachePolicy",
    "SnapshotRef",
    "SnapshotType",
    "Status",
    "Timestamp",
    "TransitionMode",
    "UpdateCapacityClaimRequest",
    "UpdateCapacityClaimResponse",
    "UpdateDeploymentRequest",
    "UpdateDeploymentResponse",
    "UpdateGatewayRequest",
    "UpdateGatewayResponse",
    "WeightsAndBiasesAuth",
]


_FILES = ("gateway", "hot_load", "deployment", "capacity_claim", "condition", "status")
"""The files of proto/, those of the services first: programs that use one service need not load the others."""


def __getattr__(name: str) -> object:
    if name in __all__:
        for file in ("google.protobuf.timestamp", *(f"coreweave.inference.v1alpha1.{each}" for each in _FILES)):
            generated = import_module(f"{file}_pb2")
            if name in vars(generated):
                return _add(name, vars(generated)[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _add(name: str, found: object) -> object:
    """Return a message or enum, from now on without `__getattr__`, and with the comments of its .proto file.

    protoc leaves these out of its Python code.
    """
    from ._type_docs import DOCS

    globals()[name] = found
    for each in DOCS:
        if each.partition(".")[0] == name:
            attrgetter(each)(sys.modules[__name__]).__doc__ = DOCS[each]
    return found
