"""Points: the doses where a curve changes, each with an interval, a status and a word of explanation; and points.json.

A point that was not found is a bound, not a gap: `not reached` lies above the largest dose tried, `before the grid`
below the smallest. What the data say of the place is kept whole, as a likelihood: the law is fitted to that.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json
from infusionlaw.law.dose import COORDINATES, LEVEL, Interval
from infusionlaw.law.likelihood import STEP, Assumed, Likelihood
from infusionlaw.law.points.detect import Level, Response
from infusionlaw.runs.record import DoseUnit

Kind = Literal["acquisition", "collapse", "retention", "tolerance"]
Status = Literal["found", "not reached", "before the grid", "no effect", "ambiguous"]
KINDS: tuple[Kind, ...] = ("acquisition", "collapse", "retention", "tolerance")
VERSION = 5


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


def points_json(points: Sequence[Point]) -> dict[str, Any]:
    """The content of points.json."""
    units = {point.unit for point in points}
    unit = units.pop() if len(units) == 1 else "share"
    return {
        "version": VERSION,
        "level": LEVEL,
        "unit": unit,
        "coordinate": COORDINATES[unit],
        "step": STEP,
        "points": [point_json(point) for point in points],
    }


def point_json(point: Point) -> dict[str, Any]:
    """One point for JSON."""
    return {
        "kind": point.kind,
        "size": point.size,
        "tokens": point.tokens,
        "facts": point.facts,
        "tokens_per_fact": point.tokens_per_fact,
        "level": point.level,
        "status": point.status,
        "in_law": point.in_law,
        "held_out": point.held_out,
        "share": point.share.as_dict(),
        "exposures": point.exposures.as_dict(),
        "x": point.x.as_dict(),
        "note": point.note,
        "likelihood": asdict(point.likelihood) if point.likelihood else None,
        "assumed": [asdict(item) for item in point.assumed],
        "response": asdict(point.response) if point.response else None,
    }


def point_from(content: dict[str, Any], unit: DoseUnit) -> Point:
    """A point back from `point_json`."""
    place, shape = content["likelihood"], content["response"]
    return Point(
        kind=content["kind"],
        size=content["size"],
        tokens=content["tokens"],
        status=content["status"],
        unit=unit,
        x=Interval(**content["x"]),
        share=Interval(**content["share"]),
        exposures=Interval(**content["exposures"]),
        note=content["note"],
        facts=content["facts"],
        tokens_per_fact=content["tokens_per_fact"],
        likelihood=_likelihood(place) if place else None,
        assumed=tuple(Assumed(item["weight"], _likelihood(item["likelihood"])) for item in content["assumed"]),
        response=Response(**{name: Level(**level) for name, level in shape.items()}) if shape else None,
        level=content["level"],
        in_law=content["in_law"],
        held_out=content.get("held_out", False),
    )


def _likelihood(content: dict[str, Any]) -> Likelihood:
    return Likelihood(**{**content, "inside": tuple(content["inside"])})


def write_points(path: str | Path, points: Sequence[Point]) -> None:
    """Write points.json atomically."""
    write_json(Path(path), points_json(points))


def read_points(path: str | Path) -> list[Point]:
    """Read points.json; InputError when it is not one of this version."""
    content = read_json(Path(path))
    if not isinstance(content, dict) or content.get("version") != VERSION or "points" not in content:
        raise InputError(f"{path}: not a points file of version {VERSION}; make it again from its table")
    try:
        return [point_from(point, content["unit"]) for point in content["points"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: a point lacks or garbles {error}; make the file again from its table") from error
