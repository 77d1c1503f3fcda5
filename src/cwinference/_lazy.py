"""Public names of a package that are loaded when they are first asked for, so that an import loads what it needs."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import import_module


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]], modules: Collection[str] = ()
) -> Callable[[str], object]:
    """Return the `__getattr__` of a package, given its modules and the names that are defined in each.

    The `modules` themselves are found, too. For type checkers the package imports the same names.
    """

    def get(name: str) -> object:
        home = next((module for module, names in homes.items() if name in names), None)
        if home is not None:
            found: object = getattr(import_module(f"{package}.{home}"), name)
        elif name in modules:
            found = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, found)
        return found

    return get
