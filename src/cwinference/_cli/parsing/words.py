"""How words of the command line look."""

import re

import click

from .converter import Converter

UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
"""An id of a resource."""


class Words(Converter[list[str]]):
    """The type of an option that takes several words, with commas in between."""

    name = "words"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """Return the words."""
        words = [each.strip() for each in str(value).split(",")]
        if not all(words):
            self.fail("expected words with commas in between", param, ctx)
        return words


WORDS = Words()
