"""A simulated study of three sizes with a larger one held out, fitted once for all tests of what is drawn of it."""

from dataclasses import replace
from functools import cache

import numpy as np

from infusionlaw.fitting import fit
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.law.planning.compare import ComparedPoint, Comparison
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.law import Law
from infusionlaw.runs.record import RunRecord

SHARES = (0.0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98)
SIZES, HELD, TOKENS = (14_000, 28_000, 55_000), 110_000, 1_500_000
Results = tuple[list[RunRecord], list[Point], Law, Comparison]


@cache
def studied() -> Results:
    rng = np.random.default_rng(1)
    fitted, _ = simulate(World(), SIZES, [TOKENS], SHARES, 2, rng)
    held, _ = simulate(World(), [HELD], [TOKENS], SHARES, 2, rng)
    held = [replace(row, held_out=True) for row in held]
    points, law = fit(fitted, 0.05, 60)
    held_points = find_points(held, draws=60)
    seen = next(point for point in held_points if point.kind == "collapse")
    predicted = law.predict_point("collapse", HELD, TOKENS)
    row = ComparedPoint("collapse", HELD, TOKENS, "share", predicted.share, seen.share, seen.status, 0.0, True)
    return [*fitted, *held], [*points, *held_points], law, Comparison("", "", 0, points=(row,))
