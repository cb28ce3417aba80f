"""How outcomes change against the start that runs begin from, by dose, carried to another size and token count.

At each dose that was tried, the change is a straight line in log10 N and log10 D (`zero_dose.Line`), whose scatter is
expected to be the error of a mean over seeds. Between doses it is linear in the dose; beyond them nothing is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array, same_doses
from infusionlaw.law.points.curves import Curve, curves
from infusionlaw.law.scores.zero_dose import Line, Prior, fit_line
from infusionlaw.runs.outcomes import outcomes_with_points
from infusionlaw.runs.record import RunRecord

SLOPE, WIDEST = 0.1, 10.0  # deviation of the slopes a decade, and of the intercept


@dataclass(frozen=True)
class Changes:
    """The change of one outcome: ascending doses, in the unit of the law, and a line for each."""

    doses: tuple[float, ...]
    lines: tuple[Line, ...]

    def draws(self, dose: float, size: float, tokens: float, count: int, seed: int) -> Array:
        """Draws (count,) of the change at a dose; none beyond the doses tried."""
        if not self.doses[0] <= dose <= self.doses[-1]:
            return np.empty(0)
        right = min(max(int(np.searchsorted(self.doses, dose)), 1), len(self.doses) - 1)
        low, high = self.doses[right - 1], self.doses[right]
        part = (dose - low) / (high - low)
        ends = (line.draws(size, tokens, count, seed) for line in self.lines[right - 1 : right + 1])
        return (1 - part) * next(ends) + part * next(ends)


def fit_changes(rows: Sequence[RunRecord]) -> dict[str, Changes]:
    """Fit the changes of every outcome of which the table has the start and two doses, by the outcome's name."""
    found = {}
    for outcome in outcomes_with_points(rows):
        known = [curve for curve in curves(rows, outcome) if curve.start is not None]
        if len(doses := _doses(known)) > 1:
            found[outcome.name] = Changes(tuple(doses), tuple(_line(known, dose) for dose in doses))
    return found


def _doses(every: Sequence[Curve]) -> list[float]:
    """The doses that were tried, ascending; dose 0 is one."""
    x = sorted(value for curve in every for value in curve.x.tolist())
    tried = [float(every[0].scale.dose(x[group[0]])) for group in same_doses(x)]
    return [0.0] * any(curve.zero for curve in every) + tried


def _line(every: Sequence[Curve], dose: float) -> Line:
    """The change at a dose over the places that tried it, or doses about it."""
    at = [(curve, *_at(curve, dose)) for curve in every]
    used = [(curve.size, curve.tokens, change, sd) for curve, change, sd in at if np.isfinite(change)]
    size, tokens, change, sd = (np.array(column) for column in zip(*used, strict=True))
    return fit_line(size, tokens, change, Prior(WIDEST, 0.0, SLOPE, float(np.sqrt(np.mean(sd**2)))))


def _at(curve: Curve, dose: float) -> tuple[float, float]:
    """The change of a curve at a dose and its deviation; nan beyond its doses."""
    zero = [curve.zero] if curve.zero else []
    doses = np.array([0.0] * len(zero) + np.asarray(curve.scale.dose(curve.x)).tolist())
    mean = np.array([*(each.mean for each in zero), *curve.mean]) - (curve.start or 0.0)
    sd = np.array([*(each.sd for each in zero), *curve.sd])
    near = 1.02  # runs meant for one dose realise it to within rounding
    if not doses[0] / near <= dose <= doses[-1] * near:
        return np.nan, np.nan
    return float(np.interp(dose, doses, mean)), float(np.interp(dose, doses, sd))
