"""What each curve lets a dose be called clear of, where a collapse has no law."""

from dataclasses import replace

import numpy as np
import pytest
from planlaws import known_law

from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.planning.limits import clear
from infusionlaw.law.points.point import Point, Status


def curve(status: Status, low: float | None = None, *, in_law: bool = True) -> Point:
    x = Interval(None, low, None)
    return Point("collapse", 1e4, 1e6, status, "share", x, Interval(), Interval(), "", in_law=in_law)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], 0.9),
        ([curve("not reached", float(log_odds(0.6)))], 0.6),
        ([curve("not reached")], 0.01),  # beyond the doses, and cleared of nothing: no further than the smallest
        ([curve("no effect")], 0.9),  # it never rose, and says nothing
        ([curve("not reached", float(log_odds(0.6)), in_law=False)], 0.9),
        ([curve("no effect"), curve("before the grid")], 0.0),
    ],
)
def test_a_dose_is_clear_up_to_the_least_that_some_curve_was_cleared_of(points: list[Point], expected: float) -> None:
    law = known_law(collapse=None)
    kinds = [replace(kind, points=tuple(points)) if kind.kind == "collapse" else kind for kind in law.kinds]
    found = clear(replace(law, kinds=tuple(kinds)), "collapse")
    assert found == (-np.inf if expected == 0 else pytest.approx(float(log_odds(expected))))
