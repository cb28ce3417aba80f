"""How well the collapse of one curve is known while its runs come in, and which doses to run next.

A collapse is located when its interval is narrow enough in two successive looks, by every form of curve that the data
do not rule out, with two doses on the plateau: narrow intervals are met early by luck, and stopping at the first would
keep the lucky ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from infusionlaw.law.design.next_dose import for_plateau, most_telling
from infusionlaw.law.dose import LEVEL, Array, Interval, log_odds, scale_of, unit_of, x_at
from infusionlaw.law.likelihood import Likelihood
from infusionlaw.law.points.curves import Curve
from infusionlaw.law.points.detect import Sketch, locate, sketches
from infusionlaw.law.points.find import UNSURE, falls, observed, with_pools
from infusionlaw.law.points.levels import Observed
from infusionlaw.law.points.pooling import Pool
from infusionlaw.runs.outcomes import OUTCOMES
from infusionlaw.runs.record import DoseUnit, RunRecord

Rows = tuple[tuple[RunRecord, ...], ...]  # the records of every curve so far
# Between two of the doses that are given others may be tried, at most so far apart (dex).
SPACING = 0.1
ON_TOP = 6  # runs at the largest dose that must show no fall
# A form whose best shape is less likely by more than this (log) is ruled out.
RIVAL = 3.0
NOWHERE = Interval()
LOCATED, NONE, BEFORE_GRID = "located", "no collapse up to the largest dose", "it collapses before the smallest dose"
SPENT, UNLEARNED, DEAD = "its runs are spent", "recall never leaves guessing", "fewer than two doses could be measured"


@dataclass(frozen=True)
class Wanted:
    """What is asked of a curve. doses, unit: those that may be run; width: of half the interval that counts as narrow.

    left: how many more runs it may have; count: how many to choose now; patience: after how many runs to give up
    where nothing is learned; was_narrow: whether its interval was narrow enough at the last look.
    """

    doses: tuple[float, ...]
    unit: DoseUnit
    width: float
    left: int
    count: int
    patience: int
    was_narrow: bool


@dataclass(frozen=True)
class Look:
    """A curve's collapse so far in the coordinate of a unit, why its search is over ("": it is not), its next doses."""

    unit: DoseUnit
    x: Interval
    over: str
    narrow: bool = False
    doses: tuple[float, ...] = ()


@lru_cache(maxsize=1024)
def look(rows: Rows, at: int, wanted: Wanted) -> Look:
    """Look at one curve of all that there are: rows of every curve, and which of them it is."""
    own = rows[at]
    every = tuple(row for part in rows for row in part)
    curve, pool = next(pair for pair in with_pools(every, OUTCOMES["recall"]) if _is_of(pair[0], own[0]))
    unit = curve.scale.unit
    if len(curve.x) < 2:
        return Look(unit, NOWHERE, DEAD)
    data, doses = pool.seen_by(observed(curve)), np.array(wanted.doses)
    rough = sketches(data, pool)
    place = locate(data, "fall", rough)
    x = x_of_doses(wanted.unit, doses, own)
    lacking = for_plateau(curve, rough, x)
    narrow = not lacking and _is_narrow(data, pool, place, rough, wanted.width) and falls(place)
    if narrow and (wanted.was_narrow or wanted.left <= 0):
        return Look(unit, place.interval(), LOCATED)
    over = _outside(wanted, curve, data, place, rough, float(x[-1])) or (SPENT if wanted.left <= 0 else "")
    if over or not wanted.count:
        return Look(unit, place.interval(), over)
    chosen = [*lacking, *most_telling(curve, rough, x, wanted.count).chosen][: wanted.count]
    return Look(unit, place.interval(), "", narrow, tuple(float(doses[i]) for i in chosen))


def _is_of(curve: Curve, row: RunRecord) -> bool:
    return (curve.size, curve.tokens) == (row.size, row.tokens)


def _is_narrow(data: Observed, pool: Pool, place: Likelihood, rough: Sketch, width: float) -> bool:
    """Whether half the interval is at most `width`, and also that over all forms which the data do not rule out."""
    if _ends(place)[1] - _ends(place)[0] > 2 * width:
        return False
    forms = [Sketch(tuple(part for part in rough.parts if part[2].form == form), pool) for form, _ in pool.forms]
    left = [sketch for sketch in forms if sketch.peak >= rough.peak - RIVAL]
    lows, highs = zip(*(_ends(locate(data, "fall", sketch)) for sketch in left), strict=True)
    return bool(max(highs) - min(lows) <= 2 * width)


def _ends(place: Likelihood) -> tuple[float, float]:
    return place.quantile((1 - LEVEL) / 2), place.quantile((1 + LEVEL) / 2)


def _outside(wanted: Wanted, curve: Curve, data: Observed, place: Likelihood, rough: Sketch, top: float) -> str:
    """Why no collapse is to be found in range; "" while one may. top: x of the largest dose there is."""
    low, high = _ends(place)
    if locate(data, "rise", rough).masses[-1] > UNSURE:
        return UNLEARNED if sum(curve.seeds) >= wanted.patience else ""
    if curve.x[-1] > top - SPACING / 2:
        no_fall = curve.seeds[-1] >= ON_TOP and high == np.inf and not falls(place)
        if low >= curve.x[-1] - wanted.width or no_fall:
            return NONE
    return BEFORE_GRID if high <= curve.x[0] + wanted.width else ""


def x_of_doses(unit: DoseUnit, doses: Array, rows: Sequence[RunRecord]) -> Array:
    """Doses (G,) of a unit as x of a table's: the table may know the share of an exposure."""
    if unit == "exposures" and rows and unit_of(rows) == "share":
        per_share = scale_of(rows, "share").per_share
        return log_odds(np.minimum(doses / per_share, 1 - 1e-9)) if per_share else np.log10(doses)
    return x_at(doses, unit)
