"""How words of the command line look."""

import click

from .converter import Converter


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
