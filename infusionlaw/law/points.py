"""Points: the doses where a curve changes, each with an interval, a status and a word of explanation; and points.json.

A point that was not found is a bound, not a gap: `not reached` lies above the largest dose tried, `before the grid`
below the smallest. Its draws are then inf or -inf.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json
from infusionlaw.law.dose import COORDINATES, LEVEL, Interval
from infusionlaw.records import DoseUnit

Kind = Literal["acquisition", "collapse", "retention", "tolerance"]
Status = Literal["found", "not reached", "before the grid", "ambiguous"]
KINDS: tuple[Kind, ...] = ("acquisition", "collapse", "retention", "tolerance")
VERSION = 1


@dataclass(frozen=True)
class Point:
    """One point of one (N, D). x: in the dose coordinate of `unit`; share, exposures: the same; draws: of x."""

    kind: Kind
    size: float
    tokens: float
    status: Status
    unit: DoseUnit
    x: Interval
    share: Interval
    exposures: Interval
    note: str
    draws: tuple[float, ...] = ()


def points_json(points: Sequence[Point]) -> dict[str, Any]:
    """The content of points.json."""
    units = {point.unit for point in points}
    unit = units.pop() if len(units) == 1 else "share"
    return {
        "version": VERSION,
        "level": LEVEL,
        "unit": unit,
        "coordinate": COORDINATES[unit],
        "points": [point_json(point) for point in points],
    }


def point_json(point: Point, draws: bool = True) -> dict[str, Any]:
    """One point for JSON; infinite draws as text, which JSON numbers cannot say."""
    content: dict[str, Any] = {
        "kind": point.kind,
        "size": point.size,
        "tokens": point.tokens,
        "status": point.status,
        "share": point.share.as_dict(),
        "exposures": point.exposures.as_dict(),
        "x": point.x.as_dict(),
        "note": point.note,
    }
    return content | {"draws": [x if abs(x) < float("inf") else str(x) for x in point.draws]} if draws else content


def point_from(content: dict[str, Any], unit: DoseUnit) -> Point:
    """A point back from `point_json`."""
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
        draws=tuple(float(x) for x in content.get("draws", ())),
    )


def write_points(path: str | Path, points: Sequence[Point]) -> None:
    """Write points.json atomically."""
    write_json(Path(path), points_json(points))


def read_points(path: str | Path) -> list[Point]:
    """Read points.json; InputError when it is not one of this version."""
    content = read_json(Path(path))
    if not isinstance(content, dict) or content.get("version") != VERSION or "points" not in content:
        raise InputError(f"{path}: not a points file of version {VERSION}; make it anew from its table")
    try:
        return [point_from(point, content["unit"]) for point in content["points"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a point lacks or garbles {error}; make the file anew from its table") from error
