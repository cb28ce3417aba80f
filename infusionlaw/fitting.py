"""From the rows of a table to its points and its law."""

from collections.abc import Sequence

from infusionlaw.errors import InputError
from infusionlaw.law.losses.measured import losses_of
from infusionlaw.law.points.find import Acquisition, find_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law
from infusionlaw.processes import keep_memory
from infusionlaw.runs.outcomes import outcomes_with_points
from infusionlaw.runs.record import RunRecord


def fit(
    rows: Sequence[RunRecord],
    tolerance: float,
    draws: int,
    acquisition: Acquisition = "onset",
    forgetting: float = 0.05,
) -> tuple[list[Point], Law]:
    """Points and law of a table's rows; InputError when no run has a score or a loss."""
    scored = any(row.score(outcome.name) is not None for row in rows for outcome in outcomes_with_points(rows))
    if not scored and not losses_of(rows):
        raise InputError("no run of the table has a score or a loss; every run diverged or none was measured")
    keep_memory(largest=1 << 22, free=1 << 26)
    points = find_points(rows, tolerance=tolerance, forgetting=forgetting, acquisition=acquisition, draws=draws)
    return points, fit_law(rows, points, tolerance=tolerance)
