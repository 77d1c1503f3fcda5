"""The base of the types of options: generic for type checkers, also with a click that is not yet."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click import ParamType as Converter
else:

    class Converter(click.ParamType):
        """A type of an option, which may be named with the type of its value."""

        def __class_getitem__(cls, value: Any) -> type:
            return cls


__all__ = ["Converter"]
