"""Predictions on disk: plans that are written before the runs that test them, with the time and the table's hash."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infusionlaw.files import read_typed, write_typed
from infusionlaw.law.planning.plan import Plan


@dataclass(frozen=True)
class WrittenPlan:
    """A plan for held-out runs. asked: size and tokens as the study file has them; written: ISO time, UTC.

    held_out_runs_already_known: how many runs of its target were known when it was written.
    """

    asked: tuple[float, float]
    written: str
    held_out_runs_already_known: int
    plan: Plan


@dataclass(frozen=True)
class WrittenPredictions:
    """prediction.json: what a table predicts. table_sha256: hash of the table that all plans came from."""

    table: str
    table_sha256: str
    predictions: tuple[WrittenPlan, ...] = ()

    @property
    def written(self) -> str:
        """When the first of them was written."""
        return min((item.written for item in self.predictions), default="")

    @property
    def already_known(self) -> int:
        """How many held-out runs were known when their predictions were written."""
        return sum(item.held_out_runs_already_known for item in self.predictions)

    def with_more(self, more: Sequence[WrittenPlan]) -> "WrittenPredictions":
        """These and later ones."""
        return replace(self, predictions=(*self.predictions, *more))


def write_predictions(path: str | Path, predictions: WrittenPredictions) -> None:
    """Write prediction.json atomically."""
    write_typed(path, predictions, WrittenPredictions)


def read_predictions(path: str | Path) -> WrittenPredictions:
    """Read prediction.json. Raises InputError when it is not one that we wrote."""
    return read_typed(path, WrittenPredictions, "a prediction", "remove it, and it is made again from its table")
