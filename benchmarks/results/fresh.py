"""A prediction for a target of its own: prediction.json in a folder, and runs.csv when its runs have been trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results.grid import curves_of
from infusionlaw.files import read_json
from infusionlaw.law.planning.compare import Comparison, compare
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table


@dataclass(frozen=True)
class Fresh:
    """What was predicted, and the points and runs that came of it, none as long as it has not been trained."""

    prediction: dict[str, Any]
    points: Sequence[Point]
    rows: Sequence[RunRecord]

    def beside(self, prediction: dict[str, Any]) -> Comparison:
        """The comparison of these runs with a prediction of them."""
        return compare(prediction, self.points, self.rows)

    @property
    def comparison(self) -> Comparison:
        """That with the folder's own."""
        return self.beside(self.prediction)


def read_fresh(folder: Path, fitted: Sequence[RunRecord], tolerance: float) -> Fresh | None:
    """The prediction of a folder and its held-out runs so far; None where there is no prediction.

    fitted: the rows that it was made from; none: those of the folder's own table. Points are those of curves.
    """
    if not (folder / "prediction.json").exists():
        return None
    rows = runs_so_far(folder / "runs.csv")
    held = [row for row in rows if row.held_out]
    base = fitted or [row for row in rows if not row.held_out]
    points = find_points([*base, *curves_of(held)], tolerance=tolerance, only_held_out=True) if held else []
    return Fresh(read_json(folder / "prediction.json"), points, held)


def runs_so_far(path: Path) -> list[RunRecord]:
    """The runs of a table, none as long as it is not there."""
    return read_table(path) if path.exists() else []
