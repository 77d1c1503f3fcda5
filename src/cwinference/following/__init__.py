"""Following resources as they change: watches for programs that react, caches for programs that read.

    for change in client.deployments.watch():        # endless; also client.watch(), of all kinds
        print(change.kind, change.type, change.resource)

`client.watch`, `client.gateways.watch` and so on return a `Watch` (an `AsyncWatch` on `AsyncClient`), and
`client.cache` a `Cache` (an `AsyncCache`). The rest of this package is how they work:

_table.py       what is known of one kind, what was reported of it, and which responses to believe
_schedule.py    when to poll, and when to list everything
_following.py   the flows that poll and report, once for both clients
_watch.py       the iterators
_view.py        read-only views of what is known, with their indices
_cache_core.py  the flow that keeps views up to date
_cache.py       the thread and the task that run it, and what readers ask for
_declarations.py  the decorators of the methods that return them
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names
from ._kinds import ChangeType, Kind

if TYPE_CHECKING:
    from ._cache import AsyncCache, Cache
    from ._change import Change
    from ._view import DeploymentView, View
    from ._watch import AsyncWatch, Watch
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "_cache": ["AsyncCache", "Cache"],
            "_change": ["Change"],
            "_view": ["DeploymentView", "View"],
            "_watch": ["AsyncWatch", "Watch"],
        },
    )

__all__ = ["AsyncCache", "AsyncWatch", "Cache", "Change", "ChangeType", "DeploymentView", "Kind", "View", "Watch"]
