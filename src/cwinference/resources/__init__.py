"""The methods of the API, one file for each service."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .capacity_claims import CapacityClaims
    from .deployments import Deployments
    from .gateways import Gateways
    from .hot_loads import HotLoads
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "capacity_claims": ["CapacityClaims"],
            "deployments": ["Deployments"],
            "gateways": ["Gateways"],
            "hot_loads": ["HotLoads"],
        },
    )

__all__ = ["CapacityClaims", "Deployments", "Gateways", "HotLoads"]
