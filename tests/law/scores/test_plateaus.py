"""Levels of a curve carried to another size and token count."""

import numpy as np

from infusionlaw.law.dose import Interval
from infusionlaw.law.points.detect import Level, Response
from infusionlaw.law.points.point import Point
from infusionlaw.law.scores.plateaus import fit_plateaus


def point(size: float, plateau: float) -> Point:
    response = Response(Level(plateau, 0.004), Level(0.3, 0.05), Level(-0.5, 0.2), Level(-0.5, 0.2))
    none = Interval()
    return Point("retention", size, 1e7, "found", "share", none, none, none, "", response=response)


def test_where_all_facts_were_right_a_larger_model_is_not_said_to_know_fewer() -> None:
    plateaus = fit_plateaus([point(1e6, 1.0), point(2e6, 1.0), point(4e6, 1.0)], 0.17, "retention")
    assert plateaus is not None
    assert np.median(plateaus.plateau(1.6e7, 1e7, 4000, np.random.default_rng(0))) > 0.99


def test_a_place_has_a_plateau_of_its_own_beside_what_its_curve_shows() -> None:
    """However exactly ten plateaus are known, the next place's may lie some 0.3 logits off."""
    sizes = np.geomspace(1e6, 4e6, 10)
    plateaus = fit_plateaus([point(size, 0.6) for size in sizes], 0.0, "retention")
    assert plateaus is not None
    draws = plateaus.plateau(2e6, 1e7, 4000, np.random.default_rng(0))
    low, high = np.quantile(draws, [0.05, 0.95])
    assert 0.45 < low < 0.52 and 0.68 < high < 0.75
