"""The id of a resource, attached to whatever ends the work on it, so that a side effect is never lost with an error."""

from collections.abc import Generator
from contextlib import contextmanager, suppress

from .. import errors


@contextmanager
def of_resource(id: str) -> Generator[None]:
    """Give each error that leaves the block, of whatever kind, the id of the resource that exists: `resource_id`."""
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as error:
        _attach(error, id)
        raise


@contextmanager
def written_to(id: str) -> Generator[None]:
    """Do the same for a write, unless the error says that nothing was written."""
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as error:
        if not _wrote_nothing(error):
            _attach(error, id)
        raise


def _wrote_nothing(error: BaseException) -> bool:
    if isinstance(error, errors.ApiError):
        return not error.may_have_succeeded
    return isinstance(error, errors.ConfigurationError)


def _attach(error: BaseException, id: str) -> None:
    with suppress(AttributeError, TypeError):  # an exception of a foreign library may refuse new attributes
        if getattr(error, "resource_id", None) is None:
            error.resource_id = id  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
