"""Pictures of the command line show what the screen of a terminal shows."""

from typing import Any

import pyte

from tools.terminal_pictures import svg


def screen_of(text: str) -> list[list[Any]]:
    screen: Any = pyte.Screen(20, 1)
    pyte.Stream(screen).feed(text)
    return [[screen.buffer[0][column] for column in range(20)]]


def test_words_keep_their_columns_and_colors() -> None:
    picture = svg("cwinference x", screen_of("a b   \x1b[32mREADY\x1b[0m"))
    assert ">$ cwinference x</text>" in picture
    assert (
        '<text x="16.0" y="49" fill="#e6edf3" textLength="25.2" lengthAdjust="spacingAndGlyphs">a b</text>' in picture
    )
    assert (
        '<text x="66.4" y="49" fill="#3fb950" textLength="42.0" lengthAdjust="spacingAndGlyphs">READY</text>' in picture
    )


def test_what_svg_would_read_as_markup_is_escaped() -> None:
    assert ">&lt;b&gt; &amp;</text>" in svg("x", screen_of("<b> &"))
