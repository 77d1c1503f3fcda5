"""The pure parts of the command line: tables that fit, durations, ages, shares, near misses."""

from datetime import UTC, datetime, timedelta
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwinference import types
from cwinference._cli.parsing.durations import seconds_of
from cwinference._cli.parsing.suggestions import did_you_mean, similar
from cwinference._cli.printing.screen import Screen
from cwinference._tables.context import share_text, shares_of
from cwinference._tables.layout import Column, cut, table_lines
from cwinference._tables.times import age, elapsed


class Fixed(Screen):
    """A terminal of a given width."""

    def __init__(self, width: int | None) -> None:
        super().__init__(None)
        self._width = width
        self.has_shapes = width is not None

    @property
    def width(self) -> int | None:
        return self._width


def columns(count: int) -> list[Column]:
    return [Column(f"COLUMN{place}", itemgetter(place), rank=place) for place in range(count)]


@given(
    st.integers(20, 200),
    st.integers(1, 9).flatmap(
        lambda count: st.lists(st.lists(st.text(max_size=40), min_size=count, max_size=count), min_size=1, max_size=5)
    ),
)
def test_every_table_fits_every_terminal_and_is_whole_without_one(width: int, rows: list[list[str]]) -> None:
    narrow = table_lines(columns(len(rows[0])), rows, Fixed(width))
    whole = table_lines(columns(len(rows[0])), rows, Fixed(None))
    assert len(narrow) == len(whole) == len(rows) + 1
    assert [line for line in narrow if len(line) > width] == []
    for line, row in zip(whole[1:], rows, strict=True):
        assert not set(line) & {"\n", "\x1b", "…"} - set("".join(row))
        assert all(each in line for each in row if each.isalnum())


@pytest.mark.parametrize(("text", "width", "result"), [("abcdef", 6, "abcdef"), ("abcdef", 4, "abc…"), ("ab", 1, "…")])
def test_what_is_too_wide_is_cut(text: str, width: int, result: str) -> None:
    assert cut(text, width, "…") == result


def test_wide_characters_take_two_places() -> None:
    assert cut("日本語日本語", 6, "…") == "日本…"
    assert table_lines(columns(2), [["日本", "x"], ["abcd", "y"]], Fixed(None))[1:] == ["日本     x", "abcd     y"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), ("1h30m", 5400), ("0.5", 0.5), ("2d", 172800),
        ("", None), ("m", None), ("1 h", None), ("-1", None), ("1w", None), ("1h30", None), ("nan", None),
        ("1e3", None),
    ],
)  # fmt: skip
def test_durations_are_as_people_write_them(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (-5, "0s"), (119, "119s"), (120, "2m"), (7300, "2h"), (200000, "2d")]
)
def test_ages_are_short(seconds: float, text: str) -> None:
    now = datetime.now(UTC)
    assert age(now - timedelta(seconds=seconds), now) == text
    assert age(None, now) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0 s"), (59, "59 s"), (185, "3 min 5 s"), (3700, "1 h 1 min")])
def test_elapsed_time_is_shown_in_words(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


def deployment(name: str, weight: int, *gateways: str, model: str = "m", disabled: bool = False) -> types.Deployment:
    spec = types.DeploymentSpec(id=name, name=name, gateway_ids=gateways, disabled=disabled)
    spec.traffic.weight, spec.model.name = weight, model
    return types.Deployment(spec=spec)


def test_shares_are_weights_among_the_deployments_of_a_model_on_a_gateway() -> None:
    found = shares_of(
        [
            deployment("a", 30, "one", "two"),
            deployment("b", 10, "one"),
            deployment("c", 0, "one", model="other"),
            deployment("d", 5, "two", disabled=True),
            deployment("e", 0, "three"),
            deployment("f", 0, "three"),
        ]
    )
    assert found == {
        "a": {"one": 0.75, "two": 1.0},
        "b": {"one": 0.25},
        "c": {"one": 1.0},
        "d": {"two": 0.0},
        "e": {},
        "f": {},
    }
    assert [share_text([*each.values()]) for each in found.values()] == ["75-100%", "25%", "100%", "0%", "", ""]
    assert share_text([1 / 3]) == "33.3%"


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("--zone", ["--zones"]),
        ("--weight", ["--traffic.weight"]),
        ("--Traffic_Weight", ["--traffic.weight"]),
        ("--tok", ["--token-file"]),
        ("--color", []),
    ],
)
def test_near_misses_are_recognized(word: str, found: list[str]) -> None:
    assert similar(word, ["--zones", "--traffic.weight", "--token-file"]) == found


def test_a_suggestion_lists_all_choices_if_nothing_is_near() -> None:
    assert did_you_mean("x", ["json", "yaml"]) == ""
    assert did_you_mean("x", ["json", "yaml"], choose=True) == "; choose from json, yaml"
