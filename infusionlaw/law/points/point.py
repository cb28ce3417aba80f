"""Points: the doses where a curve changes, each with an interval, a status and a word of explanation; and points.json.

A point that was not found is a bound, not a gap: `not reached` lies above the largest dose tried, `before the grid`
below the smallest. What the data say of the place is kept whole, as a likelihood: the law is fitted to that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infusionlaw.errors import InputError
from infusionlaw.files import read_typed, write_typed
from infusionlaw.law.dose import COORDINATES, LEVEL, Interval, Scale
from infusionlaw.law.likelihood import STEP, Assumed, Likelihood
from infusionlaw.law.numbers import dose, number, stated
from infusionlaw.law.points.detect import Response
from infusionlaw.recognise import refuse_others
from infusionlaw.runs.record import DoseUnit

Kind = str  # the name of an entry of `infusionlaw.runs.outcomes`
Status = Literal["found", "not reached", "before the grid", "no effect", "ambiguous"]


@dataclass(frozen=True)
class Point:
    """One point of one (N, D, S). x: in the dose coordinate of `unit`; share, exposures: the same in other words.

    likelihood: what the data say of x, None when nothing; assumed: the same under each shape that the curves of its
    table may share, since a shape that is not theirs moves all points alike; response: height and widths of the curve
    the point is on; level: what the point is: of acquisition how far up (0: where recall leaves guessing, 0.5: half
    way), of tolerance the rise of validation loss in bits per byte; in_law: whether a law counts it, else the note says
    why not; held_out: whether it is of held-out runs, which no law counts.
    """

    kind: Kind
    size: float
    tokens: float
    status: Status
    unit: DoseUnit
    x: Interval
    share: Interval
    exposures: Interval
    note: str
    facts: float | None = None
    tokens_per_fact: float | None = None
    likelihood: Likelihood | None = None
    assumed: tuple[Assumed, ...] = ()
    response: Response | None = None
    level: float | None = None
    in_law: bool = True
    held_out: bool = False

    @property
    def dose(self) -> Interval:
        """The point in the unit that its table sweeps."""
        return self.in_unit(self.unit)

    def in_unit(self, unit: DoseUnit) -> Interval:
        """The point in a unit; all None where that is not known."""
        if unit == "facts":  # `facts` is how many each of its runs was given
            return Scale("facts").facts(self.x) if self.unit == "facts" else Interval()
        return self.share if unit == "share" else self.exposures

    def __repr__(self) -> str:
        where = f"{number(self.size)} parameters{stated(self.tokens, ', {} tokens')}"
        known = f", {dose(self.dose, self.unit)}" if self.x != Interval() else ""
        return f"<{self.kind} at {where}: {self.status}{known}{f' ({self.note})' if self.note else ''}>"


def write_points(path: str | Path, points: Sequence[Point]) -> None:
    """Write points.json atomically."""
    units = {point.unit for point in points}
    unit = units.pop() if len(units) == 1 else "share"
    head = {"level": LEVEL, "unit": unit, "coordinate": COORDINATES[unit], "step": STEP}
    write_typed(path, points, list[Point], "points", **head)


def read_points(path: str | Path) -> list[Point]:
    """Read points.json. Raises InputError when it is not one that we wrote."""
    try:
        return read_typed(path, list[Point], "a points file", "make it again from its table", "points")
    except InputError:
        refuse_others(path, "points")
        raise
