"""A create whose response was lost adopts a hot-load only if it is the very one that was wanted."""

from typing import Any

import pytest

from cwinference import Retry, errors, types
from tests.support.connected_client import connected
from tests.support.scripted_server import Failure, ReceivedRequest

FULL, INCREMENTAL = types.SnapshotType.SNAPSHOT_TYPE_FULL, types.SnapshotType.SNAPSHOT_TYPE_INCREMENTAL
PRESERVE = types.PromptCachePolicy.PROMPT_CACHE_POLICY_PRESERVE
RESET = types.PromptCachePolicy.PROMPT_CACHE_POLICY_RESET_ALL
UNSPECIFIED = types.PromptCachePolicy.PROMPT_CACHE_POLICY_UNSPECIFIED


def metadata(previous: str) -> types.IncrementalSnapshotMetadata:
    return types.IncrementalSnapshotMetadata(
        previous_snapshot_identity=previous,
        compression_format=types.CompressionFormat.COMPRESSION_FORMAT_ZSTD,
        checksum_format=types.ChecksumFormat.CHECKSUM_FORMAT_ADLER32,
    )


WANTED: dict[str, Any] = {
    "identity": "step-2",
    "type": INCREMENTAL,
    "incremental_snapshot_metadata": metadata("step-1"),
}


async def created(kind: str, found: dict[str, Any], wanted: dict[str, Any]) -> types.HotLoad:
    """Return the result of a create that meets this hot-load under its own id after a lost response."""
    fields: dict[str, Any] = {"id": "h", "deployment_id": "d", **found}
    there = types.HotLoad(spec=types.HotLoadSpec(**fields))

    def respond(received: ReceivedRequest) -> Any:
        if received.method.name == "GetHotLoad":
            return types.GetHotLoadResponse(hot_load=there)
        return Failure("already_exists", "taken") if len(server.received) > 1 else Failure("unavailable", "down")

    async with connected(kind, respond, retry=Retry(initial_backoff=0)) as (client, server):
        return await client.hot_loads.create("d", **wanted)


@pytest.mark.parametrize("policy", [UNSPECIFIED, PRESERVE])
async def test_the_very_hot_load_is_adopted(kind: str, policy: Any) -> None:
    found = await created(kind, {**WANTED, "prompt_cache_policy": PRESERVE}, {**WANTED, "prompt_cache_policy": policy})
    assert found.spec.id == "h"


@pytest.mark.parametrize(
    "difference",
    [
        {"deployment_id": "other"},
        {"identity": "step-3"},
        {"type": FULL},
        {"prompt_cache_policy": RESET},
        {"incremental_snapshot_metadata": metadata("step-0")},
        {"incremental_snapshot_metadata": None},
    ],
)
async def test_a_hot_load_that_differs_is_a_conflict(kind: str, difference: dict[str, Any]) -> None:
    with pytest.raises(errors.AlreadyExists):
        await created(kind, {**WANTED, **difference}, WANTED)
