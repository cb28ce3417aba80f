"""law.json: a law on disk. Reading it back gives the same predictions to the last digit."""

from dataclasses import dataclass
from pathlib import Path

from infusionlaw.files import read_typed, write_typed
from infusionlaw.law.dose import COORDINATES, LEVEL
from infusionlaw.law.scaling.law import Law


@dataclass(frozen=True)
class _File:
    """law.json. coordinate: what x is."""

    level: float
    coordinate: str
    law: Law


def write_law(path: str | Path, law: Law) -> None:
    """Write law.json atomically."""
    write_typed(path, _File(LEVEL, COORDINATES[law.unit], law), _File)


def read_law(path: str | Path) -> Law:
    """Read law.json. Raises InputError when it is not one that we wrote, or needs a form that is not installed."""
    return read_typed(path, _File, "a law file", "fit it again from its table").law
