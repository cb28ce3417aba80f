"""Contamination: questions seen 0 to 144 times by models of 124M to 1.56B (Bordt et al., arXiv 2410.03249)."""

from functools import cache
from pathlib import Path

import pytest

from infusionlaw import Law, Point, find_points, fit_law, predict, read_table

DATA = Path(__file__).parents[2].parent / "shared" / "data"
TABLE = DATA / "contamination_repetition" / "accuracy_by_repetition.csv"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"needs {TABLE.name} of arXiv 2410.03249")
COLUMNS = {"recall": "accuracy_percent", "exposures": "times_contaminated"}
LARGEST = (1558e6, 31.16e9)


@cache
def half(where: str) -> tuple[list[Point], Law]:
    """Where questions are half learned, and the law of it, from some of the rows."""
    rows = read_table(TABLE, columns=COLUMNS, percent="accuracy_percent", where=where)
    points = find_points(rows, acquisition="half")
    return [point for point in points if point.kind == "acquisition"], fit_law(rows, points)


def test_the_largest_model_is_predicted_from_the_smaller_ones() -> None:
    """By hand the law says near 4.6 repetitions, and 6.8 were seen."""
    target = predict(half("model_size < 1e9")[1], *LARGEST).points["acquisition"].exposures
    (seen,) = (point.x.value for point in half("model_size > 0")[0] if (point.size, point.tokens) == LARGEST)
    assert target.value == pytest.approx(4.6, abs=0.3) and seen is not None
    assert target.low is not None and target.high is not None
    assert target.low < 10**seen < target.high
    assert target.high / target.low < 4


def test_repetitions_needed_fall_with_size_and_grow_with_tokens() -> None:
    """By hand, over all 11 curves: N^-.84 D^.44."""
    found = half("model_size > 0")[1].of("acquisition").coefficients
    for name, by_hand in (("size", -0.84), ("tokens", 0.44)):
        low, high = found[name].low, found[name].high
        assert low is not None and high is not None and low < by_hand < high
