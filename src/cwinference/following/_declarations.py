"""The decorators that turn a declaration of what to follow into a method of both clients.

What the methods return is loaded when one is first called: most programs neither watch nor keep a cache.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from .. import types
from .._calls.drivers import SyncDriver
from .._calls.operation import AsyncOwner, Declaration, SyncOwner
from .._calls.signatures import method_of, result_of

if TYPE_CHECKING:
    from ._cache import AsyncCache, Cache
    from ._cache_core import CacheCore
    from ._following import Following
    from ._watch import AsyncWatch, Watch

P = ParamSpec("P")
R = TypeVar("R", bound="types.Gateway | types.Deployment | types.CapacityClaim")


class watch(Declaration[P], Generic[P, R]):  # noqa: N801 - read as a decorator
    """Turns a declaration of what to follow into a method that returns a `Watch`; on `AsyncClient`, an `AsyncWatch`."""

    def __init__(self, build: "Callable[Concatenate[Any, P], Following[R]]") -> None:
        super().__init__(build, lambda declared: f"Watch[{result_of(declared)}]")

    def _bind(self, resource: Any) -> Any:
        from ._watch import AsyncWatch, Watch

        build, driver = self._build.__get__(resource), resource._driver
        kind: type[Any] = Watch if isinstance(driver, SyncDriver) else AsyncWatch
        return method_of(
            build,
            lambda following: kind(following, driver),
            lambda declared: f"{kind.__name__}[{result_of(declared)}]",
        )

    @overload
    def __get__(self, resource: None, owner: Any) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, resource: SyncOwner, owner: Any) -> "Callable[P, Watch[R]]": ...
    @overload
    def __get__(self, resource: AsyncOwner, owner: Any) -> "Callable[P, AsyncWatch[R]]": ...
    def __get__(self, resource: Any, owner: Any) -> Any:
        return self._get(resource)


class cache(Declaration[P], Generic[P]):  # noqa: N801 - read as a decorator
    """Turns a declaration of what to keep into a method that returns a `Cache`, or on `AsyncClient` an `AsyncCache`."""

    def __init__(self, build: "Callable[Concatenate[Any, P], CacheCore]") -> None:
        super().__init__(build, lambda _: "Cache")

    def _bind(self, resource: Any) -> Any:
        from ._cache import AsyncCache, Cache

        build, driver = self._build.__get__(resource), resource._driver
        kind: type[Any] = Cache if isinstance(driver, SyncDriver) else AsyncCache
        return method_of(build, lambda core: kind(core, driver), lambda _: kind)

    @overload
    def __get__(self, resource: None, owner: Any) -> Callable[Concatenate[Any, P], Any]: ...
    @overload
    def __get__(self, resource: SyncOwner, owner: Any) -> "Callable[P, Cache]": ...
    @overload
    def __get__(self, resource: AsyncOwner, owner: Any) -> "Callable[P, AsyncCache]": ...
    def __get__(self, resource: Any, owner: Any) -> Any:
        return self._get(resource)
