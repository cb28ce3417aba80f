"""Sizes and token counts that rose together: the exponent along the ladder, and targets off it."""

import numpy as np
import pytest

from infusionlaw import find_points, fit_law, predict
from infusionlaw.law.scaling.ladder import ladder_of
from infusionlaw.runs.record import RunRecord

SIZES = (1e6, 2e6, 4e6, 8e6, 16e6)
SHARES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.87, 0.92, 0.96)


def table(tokens, exponent: float = 0.5) -> list[RunRecord]:
    """Curves that fall at odds of 3 (N / 4M)^exponent."""
    rng, rows = np.random.default_rng(2), []
    for size in SIZES:
        middle = np.log10(3 * (size / 4e6) ** exponent)
        for share in (0.0, *SHARES):
            fall = 1 / (1 + np.exp(8 * (np.log10(share / (1 - share)) - middle))) if share else 0.0
            score = float(np.clip(0.25 + 0.6 * fall + rng.normal(0, 0.02), 0, 1))
            rows.append(RunRecord(size, tokens(size), share=share, recall=score, recall_se=0.02, chance=0.25, seed=1))
    return rows


@pytest.fixture(scope="module")
def law():
    rows = table(lambda size: 20 * size)
    return fit_law(rows, find_points(rows), draws=400)


def test_the_exponent_along_the_ladder_is_told_and_neither_of_its_parts(law) -> None:
    collapse = law.of("collapse")
    ladder, exponent = collapse.along
    assert ladder.tokens(1e6) == pytest.approx(20e6, rel=0.01)
    assert exponent.low < 0.5 < exponent.high and exponent.high - exponent.low < 0.3
    assert "exponent of size along the ladder of 20 tokens a parameter" in collapse.summary
    assert "exponent of token count" not in collapse.summary


def test_a_target_off_the_ladder_is_flagged_and_less_sure(law) -> None:
    on, off = (predict(law, 64e6, tokens, tolerance=None, extrapolate=True) for tokens in (1.28e9, 2e8))
    assert not any("rose together" in note for note in on.notes)
    assert any("6.4 times below that line" in note for note in off.notes)
    widths = [plan.points["collapse"].x.high - plan.points["collapse"].x.low for plan in (on, off)]
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize(
    "places",
    [
        [],
        [(1e6, 2e7)],
        [(1e6, 2e7), (4e6, 2e7), (16e6, 2e7)],
        [(1e6, 2e7), (1e6, 4e7)],
        [(1e6, 2e7), (4e6, 8e7), (4e6, 2e7), (16e6, 3.2e8)],
        [(1e6, 4e7), (4e6, 2e7), (16e6, 1e7)],
    ],
)
def test_a_grid_and_one_size_are_no_ladder(places) -> None:
    assert ladder_of(places) is None


def test_a_ladder_need_not_be_in_proportion() -> None:
    found = ladder_of([(1e6, 2e7), (4e6, 4e7), (16e6, 8e7)])
    assert found is not None and found.rule == "tokens as size^0.50"
