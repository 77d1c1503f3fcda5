"""Whether a hot-load of a deployment is in progress. The API then refuses to change the deployment."""

from collections.abc import Callable
from typing import Any

from .. import errors, types
from .._calls.flow import Flow
from .._text import one_line
from .._wire.methods import method_for
from ..status import HotLoadState, name_of


def refuse_during_hot_load(
    deployment: types.Deployment, send: Callable[[Any], Flow[Any]], advice: str = "wait until it has finished"
) -> Flow[None]:
    """Raise FailedPrecondition if a hot-load of a deployment, which was read as JSON, is in progress.

    Args:
        deployment: the deployment.
        send: sends a request, and returns the response.
        advice: what to do about it.
    """
    if not deployment.spec.HasField("hot_load"):
        return
    # The newest comes first, and only that one can be unfinished.
    listed = yield from send(types.ListHotLoadsRequest(parent_deployment_id=deployment.spec.id, max_page_size=1))
    if not listed.hot_loads:
        return
    # A list need not show the state.
    response = yield from send(types.GetHotLoadRequest(id=listed.hot_loads[0].spec.id))
    newest: types.HotLoad = response.hot_load
    state = HotLoadState.of(newest)
    if state is HotLoadState.COMPLETED or state.is_terminal:
        return
    error = errors.FailedPrecondition(
        one_line(f"{name_of(deployment)}: hot-load {newest.spec.id} is in progress ({state.name}); {advice}"),
        method=method_for(types.UpdateDeploymentRequest).name,
    )
    error.resource_id = deployment.spec.id
    raise error
