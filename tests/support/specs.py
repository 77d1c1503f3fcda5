"""What a gateway, a deployment and a claim can be created with, as mappings."""

from typing import Any

FRONT: dict[str, Any] = {"core_weave_auth": {}, "body_based_routing": {"api_type": "OPENAI"}}
LLAMA: dict[str, Any] = {
    "runtime": {"engine": "dynamo-vllm", "version": "0.22.0"},
    "resources": {"instance_type": "gd-8xh100ib-i128", "gpu_count": 8},
    "model": {"name": "org/llama", "bucket": "models", "path": "llama"},
    "autoscaling": {"min": 1, "max": 4},
}
CLAIM = {"instance_id": "gd-8xh100ib-i128", "instance_count": 2, "capacity_type": "MANAGED", "zones": ["US-EAST-04A"]}


def llama(**changes: Any) -> dict[str, Any]:
    """Return what that model can be created with, with other fields."""
    return {**LLAMA, **changes}
