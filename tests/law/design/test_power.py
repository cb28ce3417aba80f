"""Power: what a design is told before it is run."""

from collections.abc import Sequence

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.law.design.layout import layout, missing, on_plateau, places
from infusionlaw.law.design.power import Power, power
from infusionlaw.runs.record import DoseUnit, RunSpec

FINE = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99, 0.995)
LOW = (0, 0.1, 0.2, 0.3)


def runs(
    doses: Sequence[float],
    seeds: int = 2,
    sizes: Sequence[int] = (30_000,),
    unit: DoseUnit = "share",
    target: int | None = None,
) -> list[RunSpec]:
    """Every size × dose × seed at one token count, and one held-out run at a target size."""
    fitted = [RunSpec(n, 1_500_000, dose, unit, seed, "") for n in sizes for dose in doses for seed in range(seeds)]
    return [*fitted, *([RunSpec(target, 1_500_000, doses[-1], unit, 0, "", held_out=True)] if target else [])]


@pytest.fixture(scope="module")
def fine() -> Power:
    sizes = (10_000, 50_000, 200_000, 1_000_000)
    return power(runs(FINE, seeds=5, sizes=sizes, target=2_000_000), 400, doses=(0.7,), curves=4)


@pytest.fixture(scope="module")
def low() -> Power:
    return power(runs(LOW, seeds=4), 64, doses=(0.1, 0.5, 0.7, 0.85, 0.97), curves=1)


def told(result: Power, words: str) -> str:
    """The one warning with these words."""
    (sentence,) = [warning for warning in result.warnings if words in warning]
    return sentence


def test_a_good_design_sees_the_collapse_and_is_told_nothing(fine) -> None:
    assert fine.warnings == ()
    assert [(place.dose, place.found) for place in fine.places] == [(0.7, 1.0)]
    assert all(place.error is not None and place.error < 0.3 for place in fine.places)
    (reach,) = fine.reaches
    assert (reach.size, reach.tokens) == (2_000_000, 1_500_000)
    assert reach.width is not None and fine.exponent is not None and fine.exponent < reach.width < 1


def test_a_fine_design_beats_a_coarse_one(fine) -> None:
    coarse = power(runs((0, 0.1, 0.6, 0.9, 0.97), seeds=1), 64, doses=(0.7,), curves=2)
    (better,), (worse,) = fine.places, coarse.places
    assert better.half_width is not None
    assert worse.found < better.found or (worse.half_width or np.inf) > 1.5 * better.half_width
    assert "0.1 and 0.6 is 1.13 dex" in told(coarse, "the gap")
    assert "a share of 0.7" in told(coarse, "fewer than two doses lie on the typical plateau")


def test_a_largest_share_of_3_tenths_is_told_that_it_cannot_see_a_collapse_beyond(low) -> None:
    assert low.warnings[0].startswith("this design cannot see a collapse at a share of 0.5 (found in only 0 %)")
    sentence = told(low, "cannot see a collapse")
    assert "0.7 (found in only 0 %), 0.85 (found in only 0 %)" in sentence
    assert "its largest dose, a share of 0.3, is too small; add doses up to a share of 0.988" in sentence
    assert all(place.found == 0 for place in low.places[2:])
    assert low.exponent is None and low.reaches[0].size == 240_000
    assert told(low, "one size only")
    none = power(runs(LOW), 64, doses=(0.8,), curves=2)
    assert none.places[0].found == 0
    assert none.warnings[0].startswith("no collapse can be seen by this design: ")


def test_the_same_design_gets_the_same_answer() -> None:
    one, other = (power(runs(LOW), 64, doses=(0.1, 0.2), curves=1) for _ in range(2))
    assert one == other


def test_what_the_grid_lacks_is_said_with_the_mend() -> None:
    assert list(missing(layout(runs(FINE), 64, None))) == []
    seeds, gap, zero = missing(layout(runs((0.1, 0.3, 0.9), seeds=1), 64, None))
    assert "one seed only" in seeds
    assert "between a share of 0.3 and 0.9 is 1.32 dex" in gap and "add a dose of a share of 0.663" in gap
    assert "add dose 0" in zero


def test_doses_on_the_plateau_are_counted_below_the_collapse() -> None:
    plan = layout(runs((0, 0.1, 0.35, 0.6, 0.75)), 64, None)
    half, late = (float(np.log10(share / (1 - share))) for share in (0.5, 0.8))
    assert (on_plateau(plan, half), on_plateau(plan, late)) == (1, 2)


def test_exposures_are_tried_over_and_just_outside_their_doses_or_as_shares_where_known() -> None:
    specs = runs((0, 10, 100, 1000), unit="exposures")
    own, shares = layout(specs, 64, None), layout(specs, 64, 20.0)
    at = places(own)
    assert own.unit == "exposures" and at[0] < 1 < at[1] and at[-2] < 3 < at[-1]
    assert shares.unit == "share" and shares.dose(shares.last) == pytest.approx(1000 * 64 * 20 / 1.5e6)
    with pytest.raises(InputError, match="would fill the whole token count"):
        layout(runs((0, 2000), unit="exposures"), 64, 20.0)


def test_a_design_in_exposures_is_told_in_exposures() -> None:
    result = power(runs((0, 30, 100), unit="exposures"), 64, curves=1)
    assert result.unit == "exposures"
    assert "its largest dose, 100 exposures, is too small; add doses up to 316 exposures" in told(result, "too small")


def test_a_design_without_doses_is_refused() -> None:
    with pytest.raises(InputError, match="add doses"):
        power(runs((0,)), 64)
