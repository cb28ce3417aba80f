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
