"""Every message and enum of the API under its own name. No other module imports the generated code.

They are plain protobuf messages. Constructors take keywords; at run time a nested message may also be given as a dict,
an enum by its name as a string, and a time as a timezone-aware `datetime`.

`help(types.Gateway)` explains a message and its fields, `help(types.Status)` an enum and its values.
"""

from importlib import import_module
from operator import attrgetter
from types import ModuleType
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


if not TYPE_CHECKING:  # type checkers know the names from above, and would accept any other one

    def __getattr__(name: str) -> object:
        if name in __all__:
            for file in ("google.protobuf.timestamp", *(f"coreweave.inference.v1alpha1.{each}" for each in _FILES)):
                generated = import_module(f"{file}_pb2")
                if name in vars(generated):
                    return _add(name, vars(generated)[name], generated)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


def _add(name: str, found: object, file: ModuleType) -> object:
    """Return a message or enum, from now on without `__getattr__`."""
    globals()[name] = found
    if file not in _documented:
        _document(file)
    return found


_documented: set[ModuleType] = set()


def _document(file: ModuleType) -> None:
    """Give what a file defines, and the files that it imports, the comments of the .proto files as docstrings.

    protoc leaves these out of its Python code. A message may be met without its name, as a field of another one.
    """
    from ._type_docs import DOCS

    _documented.add(file)
    for name, text in DOCS.items():
        if name.partition(".")[0] in vars(file):
            attrgetter(name)(file).__doc__ = text
    for imported in vars(file).values():
        is_ours = isinstance(imported, ModuleType) and imported.__name__.startswith("coreweave.")
        if is_ours and imported not in _documented:
            _document(imported)
