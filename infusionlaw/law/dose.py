"""The dose coordinate x: where points are found and laws are fitted, and how x reads in a user's units.

x = log10(share / (1 - share)), the log odds of the share, when every run has its share; else x = log10(exposures).
Odds are the share where shares are small, and a prediction in log odds never passes a share of 1. Where runs have
neither and differ in how many facts they are given, x = log10(facts). Distances in x are in dex. Dose 0 is x = -inf: it
is not on the axis and informs the baseline only.

Exposures follow from the share by k = share * D / (S * tokens_per_fact).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infusionlaw.errors import InputError
from infusionlaw.runs.record import UNSTATED, DoseUnit, RunRecord

Array = NDArray[np.float64]
LEVEL = 0.9
SAME_DOSE = 0.02  # dex of x: runs meant for one dose realise it to within rounding to whole statements
COORDINATES: dict[DoseUnit, str] = {
    "share": "log10 odds of the share",
    "exposures": "log10 exposures",
    "facts": "log10 number of facts",
}
# The units that a dose of each is said in: a share has exposures where facts and their lengths are known.
SAID_IN: dict[DoseUnit, tuple[DoseUnit, ...]] = {
    "share": ("share", "exposures"),
    "exposures": ("share", "exposures"),
    "facts": ("facts",),
}


@dataclass(frozen=True)
class Interval:
    """A number with its 90 % interval; None where the data set no value or no end."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    def map(self, function: Callable[[float], float]) -> "Interval":
        """The interval under an increasing function; None stays None."""
        value, low, high = (None if end is None else float(function(end)) for end in (self.value, self.low, self.high))
        return Interval(value, low, high)

    def as_dict(self) -> dict[str, float | None]:
        """`{value, low, high}` for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def log_odds(share: ArrayLike) -> Array:
    """log10(share / (1 - share)); -inf at 0."""
    share = np.asarray(share, dtype=float)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(share) - np.log10(1 - share))


def x_at(doses: ArrayLike, unit: DoseUnit) -> Array:
    """x of doses in a unit; -inf at 0."""
    if unit == "share":
        return log_odds(doses)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(np.asarray(doses, dtype=float)))


def same_dose(a: float, b: float) -> bool:
    """Whether two x are of one dose."""
    return a == b or abs(a - b) <= SAME_DOSE


def same_doses(x: Sequence[float]) -> list[list[int]]:
    """Indices of an ascending x in groups of one dose: that of the group's first."""
    groups: list[list[int]] = []
    for i, value in enumerate(x):
        if groups and same_dose(value, x[groups[-1][0]]):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def share_of(x: ArrayLike) -> Array:
    """The share at log odds x: 1 / (1 + 10^-x)."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + 10.0 ** -np.asarray(x, dtype=float)))


def displaced(x: ArrayLike, unit: DoseUnit) -> Array:
    """What validation loss rises exponentially in: -ln(1 - share), the log of general text left, or ln exposures."""
    x = np.asarray(x, dtype=float) * math.log(10)
    return np.asarray(np.logaddexp(0, x) if unit == "share" else x)


def exposures_per_share(tokens: float, facts: float | None, tokens_per_fact: float | None) -> float | None:
    """Exposures of each fact at a share of 1: D / (S * tokens_per_fact); None when D, S or the length is unknown."""
    return tokens / (facts * tokens_per_fact) if facts and tokens_per_fact and tokens != UNSTATED else None


@dataclass(frozen=True)
class Scale:
    """How x reads as share, exposures and facts for one (D, S). `unit` is what x is the coordinate of."""

    unit: DoseUnit
    per_share: float | None = None

    def share(self, x: Interval) -> Interval:
        """The interval in share; all None when it cannot be known."""
        if self.unit == "share":
            return x.map(lambda end: float(share_of(end)))
        per_share = self.per_share
        if self.unit == "facts" or per_share is None:
            return Interval()
        return x.map(lambda end: 10.0**end / per_share)

    def exposures(self, x: Interval) -> Interval:
        """The interval in exposures; all None when it cannot be known."""
        if self.unit == "exposures":
            return x.map(lambda end: 10.0**end)
        per_share = self.per_share
        if self.unit == "facts" or per_share is None:
            return Interval()
        return x.map(lambda end: float(share_of(end)) * per_share)

    def facts(self, x: Interval) -> Interval:
        """The interval in facts; all None where they are not the dose."""
        return x.map(lambda end: 10.0**end) if self.unit == "facts" else Interval()

    def dose(self, x: ArrayLike) -> Array:
        """The dose in `unit` at x."""
        return share_of(x) if self.unit == "share" else np.asarray(10.0 ** np.asarray(x, dtype=float))


def unit_of(rows: Sequence[RunRecord]) -> DoseUnit:
    """`share` when every row has one, else `exposures`, else `facts`; InputError when rows have none in common."""
    if not rows:
        raise InputError("the table has no rows; a law needs runs")
    if all(row.share is not None for row in rows):
        return "share"
    if all(row.exposures is not None for row in rows):
        return "exposures"
    row = next(row for row in rows if row.exposures is None)
    if all(row.share is row.exposures is None for row in rows):
        if all(row.facts is not None for row in rows):
            return "facts"
        raise InputError(
            "no run has a dose; say which column it is, as in --column share=NAME, or --column exposures=NAME; "
            "--column facts=NAME where the number of facts is what changes"
        )
    raise InputError(
        f"the run of size {row.size:g}, {row.tokens:g} tokens and seed {row.seed} has a share of {row.share:g} but no "
        "exposures, while other rows lack the share; "
        "give one dose unit in every row, or facts and tokens_per_fact"
    )


def x_of(row: RunRecord, unit: DoseUnit) -> float:
    """x of one run; -inf at dose 0. InputError at a share of 1."""
    dose = dose_of(row, unit) or 0.0
    if unit == "share" and dose >= 1:
        raise InputError(
            f"the run of size {row.size:g} and seed {row.seed} has a share of 1, which leaves no general text and has "
            "infinite odds; take that row out of the table"
        )
    return float(x_at(dose, unit))


def dose_of(row: RunRecord, unit: DoseUnit | None = None) -> float | None:
    """The dose of one run, by default in the unit that it has."""
    if unit is None:
        unit = "share" if row.share is not None else "exposures" if row.exposures is not None else "facts"
    dose: float | None = getattr(row, unit)
    return dose


def scale_of(rows: Sequence[RunRecord], unit: DoseUnit) -> Scale:
    """The scale of the runs of one (N, D): from runs that give both units, else from facts and tokens_per_fact."""
    if unit == "facts":
        return Scale(unit)
    ratios = [row.exposures / row.share for row in rows if row.share and row.exposures]
    if ratios:
        return Scale(unit, float(np.median(ratios)))
    known = [exposures_per_share(row.tokens, row.facts, row.tokens_per_fact) for row in rows]
    return Scale(unit, next((ratio for ratio in known if ratio), None))
