"""`doctor.examine` for a client of any kind, awaited."""

import asyncio
from typing import Any

from cwinference import AsyncClient, Client, doctor


async def examined(client: Any, **options: Any) -> doctor.Report:
    """Examine a client of `client_kinds.open_client`; a sync one on a thread."""
    sync = getattr(client, "_target", None)
    if isinstance(sync, Client):
        return await asyncio.to_thread(lambda: doctor.examine(sync, **options))
    assert isinstance(client, AsyncClient)
    return await doctor.examine(client, **options)


def texts(report: doctor.Report, *levels: str) -> list[str]:
    """Return the texts of the findings of some levels."""
    return [each.text for each in report.findings if each.level in levels]
