"""gevent replaces threads and locks. Ours have to be its own or the system's: a mixture of both waits forever."""

import sys

from .errors import ConfigurationError


def has_patched_threads() -> bool:
    """Return whether gevent has replaced what this process has of threads."""
    monkey = sys.modules.get("gevent.monkey")  # not imported here: most processes do without it
    return monkey is not None and bool(monkey.is_module_patched("threading"))


_was_first = has_patched_threads()


def check_gevent() -> None:
    """Raise ConfigurationError if gevent has patched this process after the import of this package."""
    if not _was_first and has_patched_threads():
        raise ConfigurationError(
            "gevent has patched this process after cwinference was imported, so that calls could hang forever; "
            "call gevent.monkey.patch_all() before you import cwinference"
        )
