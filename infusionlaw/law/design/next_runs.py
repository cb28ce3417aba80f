"""Which runs to add to a table next: for every curve of an outcome that falls, the dose that tells most of where.

A run takes 6 N D floating-point operations. What the chosen run saves is held against runs at the doses that the table
has: g being the part of the variance of the fall that one run is expected to take off,

    saved = (g at the chosen dose / mean g over the table's doses - 1) 6 N D
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infusionlaw.law.design.next_dose import for_plateau, most_telling
from infusionlaw.law.dose import log_odds
from infusionlaw.law.points.curves import Curve
from infusionlaw.law.points.detect import locate, sketches
from infusionlaw.law.points.find import UNSURE, observed, with_pools
from infusionlaw.law.points.point import Kind
from infusionlaw.law.points.pooling import Pool
from infusionlaw.runs.outcomes import PointKind, outcomes_with_points
from infusionlaw.runs.record import DoseUnit, RunRecord

STEP, FARTHER, LARGEST_SHARE = 0.05, 0.5, 0.99  # of the doses to choose from, dex; how far beyond those tried
KNOWN = 0.06  # dex: a point with this deviation has a 90 % interval of .1 dex either way
PLATEAU, WHERE, DONE = "two doses are needed on the plateau", "tells most of where it falls", "it is known well already"


@dataclass(frozen=True)
class NextRun:
    """A run to add. sd: deviation of the point in dex, now and with this run; flops: what it takes; saved: what runs
    spread over the table's doses would take beyond that for as much."""

    kind: Kind
    size: float
    tokens: float
    unit: DoseUnit
    dose: float
    why: str
    sd: tuple[float, float]
    flops: float
    saved: float


def next_runs(rows: Sequence[RunRecord]) -> list[NextRun]:
    """A run for every curve that falls or may: those that save most first, what is known well last.

    What was never learned gets none.
    """
    found = []
    for outcome in outcomes_with_points(rows):
        if lost := outcome.point("lost"):
            for curve, pool in with_pools(tuple(rows), outcome):
                if len(curve.x) > 1 and not curve.held_out:
                    found += _next(curve, pool, lost)
    return sorted(found, key=lambda run: (run.why == DONE, -run.saved, run.flops))


def _next(curve: Curve, pool: Pool, lost: PointKind) -> list[NextRun]:
    data = pool.seen_by(observed(curve))
    rough = sketches(data, pool)
    if curve.learned and locate(data, "rise", rough).masses[-1] > UNSURE:
        return []
    unit = curve.scale.unit
    top = curve.x[-1] + FARTHER
    if unit == "share":
        top = max(float(curve.x[-1]), min(top, float(log_odds(LARGEST_SHARE))))
    grid = np.arange(curve.x[0], top + STEP / 2, STEP)
    x = np.concatenate([grid, curve.x])
    lacking = for_plateau(curve, rough, grid)
    told = most_telling(curve, rough, x, 1)
    chosen = lacking[0] if lacking else told.chosen[0]
    after = told.sd[0] * float(np.sqrt(max(1 - told.gain[chosen], 0.0)))
    flops, usual = 6 * curve.size * curve.tokens, float(told.gain[len(grid) :].mean())
    return [
        NextRun(
            lost.name,
            curve.size,
            curve.tokens,
            unit,
            float(f"{float(curve.scale.dose(x[chosen])):.3g}"),
            PLATEAU if lacking else DONE if told.sd[0] < KNOWN else WHERE,
            (told.sd[0], after),
            flops,
            max(float(told.gain[chosen]) / usual - 1, 0.0) * flops if usual > 0 else 0.0,
        )
    ]
