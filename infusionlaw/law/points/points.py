"""The points of a table as one object: a list that can be shown, drawn, saved, and turned into a data frame."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from infusionlaw.law.dose import SAID_IN
from infusionlaw.law.numbers import ends, listed, tokens_range
from infusionlaw.law.plot import Panel, Spot, by_size
from infusionlaw.law.points.point import Point, read_points, write_points
from infusionlaw.runs.frames import frame_of
from infusionlaw.runs.outcomes import kind_named

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

COLUMNS = (
    *("kind", "size", "tokens", "facts", "status", "share", "share_low", "share_high"),
    *("exposures", "exposures_low", "exposures_high", "level", "held_out", "in_law", "note"),
)
IN_FACTS = ("facts_low", "facts_high")  # and `facts` is the dose, where the number of facts is


class Points(list[Point]):
    """The points that were found in a table, in order of kind, size and token count."""

    @classmethod
    def load(cls, path: str | Path) -> "Points":
        """Read points.json; InputError when it is none."""
        return cls(read_points(path))

    @property
    def kinds(self) -> list[str]:
        """The kinds of points that there are, in order."""
        return list(dict.fromkeys(point.kind for point in self))

    def save(self, path: str | Path) -> None:
        """Write points.json."""
        write_points(path, self)

    def to_frame(self) -> "DataFrame":
        """Return a pandas data frame with one row a point; the ends of its 90 % intervals stand beside the doses."""
        in_facts = any(point.unit == "facts" for point in self)
        return frame_of((*COLUMNS, *IN_FACTS) if in_facts else COLUMNS, map(_row, self))

    def plot(self) -> "Figure":
        """Draw the points against size, a panel a kind; triangles are bounds. Returns a matplotlib figure."""
        panels = [
            Panel(kind_named(kind).title, [Spot(p.size, p.tokens, p.dose) for p in self if p.kind == kind])
            for kind in self.kinds
        ]
        return by_size(panels, self[0].unit if self else "share")

    def __repr__(self) -> str:
        if not self:
            return "<no points>"
        sizes, tokens = ends([p.size for p in self]), tokens_range([p.tokens for p in self])
        lines = [f"<{len(self)} points: {sizes} parameters{tokens}"]
        for kind in self.kinds:
            found = Counter(point.status for point in self if point.kind == kind)
            told = listed([f"{times} {status}" for status, times in found.most_common()])
            lines += [f" {kind}: {told}"] if told else []
        return "\n".join(lines) + ">"


def _row(point: Point) -> dict[str, object]:
    plain = ("kind", "size", "tokens", "facts", "status", "level", "held_out", "in_law", "note")
    row: dict[str, object] = {name: getattr(point, name) for name in plain}
    for unit in dict.fromkeys((*SAID_IN["share"], *SAID_IN[point.unit])):
        dose = point.in_unit(unit)
        row |= {unit: dose.value, f"{unit}_low": dose.low, f"{unit}_high": dose.high}
    return row
