"""The methods of the API, one file for each service."""

from .capacity_claims import CapacityClaims
from .deployments import Deployments
from .gateways import Gateways
from .hot_loads import HotLoads

__all__ = ["CapacityClaims", "Deployments", "Gateways", "HotLoads"]
