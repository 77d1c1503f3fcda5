"""What `make bench` writes of its figures."""

from typing import Any

import pytest

from bench._report import chart


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_figure_whose_goal_is_zero_has_a_bar(value: float) -> None:
    row: dict[str, Any] = {"name": "telemetry_off", "value": value, "unit": "functions entered", "goal": 0.0}
    drawn = chart([{**row, "met": value == 0, "at_least": False}])
    assert f"{value:.3g} functions entered, goal 0" in drawn
