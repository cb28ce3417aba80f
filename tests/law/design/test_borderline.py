"""Verdicts that are close, and what would settle them."""

from dataclasses import replace

import numpy as np
import pytest

from infusionlaw.law.design.borderline import close_exponent, close_points, vague_points
from infusionlaw.law.dose import Interval
from infusionlaw.law.likelihood import normal
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.report.verdict import borderline
from infusionlaw.runs.record import RunRecord

NEAR_EQUAL = {1e6: (0.748, 0.772, 0.403), 4e6: (0.732, 0.723, 0.370), 16e6: (0.768, 0.755, 0.402)}
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)


@pytest.mark.parametrize("stated", [{}, {"chance": 0.25}])
def test_thin_curves_whose_fall_is_plain_are_said_to_be_hardly_placed(stated) -> None:
    rows = [
        RunRecord(size, 2e7, share=share, recall=score, seed=1, **stated)
        for size, own in NEAR_EQUAL.items()
        for share, score in zip((0.1, 0.5, 0.9), own, strict=True)
    ]
    points = find_points(rows)
    assert not close_points(rows, points)
    vague = vague_points(rows, points)
    assert [item.size for item in vague] == list(NEAR_EQUAL)
    for item in vague:
        assert item.sd[1] < item.sd[0] and all(0.1 <= dose <= 0.9 for dose in item.doses)
    assert len(borderline(rows, points)) == 3 and all(
        said.startswith("Borderline: ") for said in borderline(rows, points)
    )


def falling(last: float) -> list[RunRecord]:
    """Three curves that are flat but for their last dose."""
    return [
        RunRecord(size, 2e7, share=share, recall=score, seed=1, chance=0.25)
        for size, own in ((1e6, 0.0), (4e6, 0.01), (16e6, -0.01))
        for share, score in zip(SHARES, (0.74 + own, 0.75, 0.77, 0.74 - own, last + own), strict=True)
    ]


def test_a_fall_that_may_be_noise_is_borderline_and_more_runs_at_the_fall_would_settle_it() -> None:
    rows = falling(0.7)
    close = close_points(rows, find_points(rows))
    assert {item.found for item in close} == {True, False} and {item.kind for item in close} == {"collapse"}
    assert all(0.03 < item.none < 0.3 and max(item.doses) == 0.9 for item in close)
    # the runs that are asked for settle it, where the fall is true
    needed = max(item.runs or 8 for item in close)
    rng = np.random.default_rng(0)
    more = [
        replace(row, recall=row.recall + rng.normal(0, 0.02), seed=seed)
        for row in rows
        if row.share == 0.9
        for seed in range(2, 2 + needed)
    ]
    settled = find_points([*rows, *more])
    assert {p.status for p in settled if p.kind == "collapse"} == {"found"}
    assert not close_points([*rows, *more], settled)


def test_a_plain_fall_is_not_borderline() -> None:
    rows = falling(0.4)
    assert not close_points(rows, find_points(rows))


def points_on_a_line(exponent: float, sd: float) -> list[Point]:
    return [
        Point(
            "collapse", n, 2e7, "found", "share", Interval(x, x - sd, x + sd), Interval(), Interval(), "", likelihood=at
        )
        for n in (1e6, 4e6, 16e6)
        for x in [exponent * np.log10(n / 4e6)]
        for at in [normal(x, sd)]
    ]


def test_a_direction_that_is_barely_told_asks_for_a_larger_size() -> None:
    rows = [RunRecord(n, 2e7, share=share, recall=0.5) for n in (1e6, 4e6, 16e6) for share in SHARES]

    def close(exponent: float, sd: float):
        return close_exponent(fit_law(rows, points_on_a_line(exponent, sd)).of("collapse"), "size")

    assert close(0.6, 0.03) is None and close(0.01, 0.3) is None
    barely = close(0.35, 0.13)
    assert barely is not None and min(barely.more) > 16e6
