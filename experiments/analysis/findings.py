"""Points and laws of all experiments, each found once, on as many cores as there are."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import inf
from multiprocessing import get_context
from pathlib import Path

from experiments.analysis.evidence import TRIALS, Experiment, curves_of, experiment, fitted_to
from infusionlaw.law.planning.compare import Comparison, compare
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law
from infusionlaw.runs.record import RunRecord

FALLS: tuple[Kind, ...] = ("collapse", "retention")
NAMES: dict[Kind, str] = {
    "acquisition": "acquisition",
    "collapse": "collapse of recall",
    "retention": "collapse of retention",
    "tolerance": "tolerance of validation loss",
}
TOLERANCE, DRAWS = 0.5, 400  # of validation loss, bits per byte, and of its bootstrap: those of every study here
WITH_LAW = ("reshaped", "larger")
HELD_OUT_ALONE = (("extended", inf), ("rarer", inf), ("reference", 3e5))  # of which no page needs the fitted points
# In the order of the page: the study, and what it changes.
EXPLANATIONS = {
    "rate-half": "learning rate × ½",
    "rate-double": "learning rate × 2",
    "decay-none": "weight decay 0",
    "decay-triple": "weight decay × 3",
    "facts-double": "twice the facts",
    "templates-1": "1 template a relation",
    "templates-2": "2 templates a relation",
    "no-questions": "prior facts never asked",
    "early": "infused early",
    "late": "infused late",
}
Key = tuple[str, float]  # an experiment, and the largest of its sizes that is looked at


@dataclass(frozen=True)
class Found:
    """The points of a table, held-out ones last, and its law where one is asked for."""

    points: tuple[Point, ...]
    law: Law | None

    @property
    def fitted(self) -> list[Point]:
        """The points that a law is fitted to."""
        return [point for point in self.points if not point.held_out]


@dataclass(frozen=True)
class Findings:
    """What was found in the experiments below a folder."""

    root: Path
    processes: int = 1

    def experiment(self, name: str) -> Experiment:
        """One experiment."""
        return self._experiments[name]

    def explanation(self, name: str) -> Experiment:
        """One of the studies that change a single setting of the reference."""
        return Experiment(self.experiment("explanations").folder / name)

    def fitted_points(self, name: str) -> list[Point]:
        """The points of an experiment's fitted runs."""
        return self._found[name, inf].fitted

    def law(self, name: str) -> Law:
        """The law of the main grid or of the second family."""
        law = self._found[name, inf].law
        assert law is not None, name
        return law

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """By experiment what was predicted beside what came of it, in the order of time."""
        return {
            trial.name: compare(
                self.experiment(trial.name).prediction,
                self.tested(trial.name),
                self.experiment(trial.name).held_out,
            )
            for trial in TRIALS
        }

    def own_points(self, name: str) -> list[Point]:
        """The points of an experiment's fitted runs, and of the runs that it held out itself."""
        return [*self.fitted_points(name), *self.tested(name)]

    def tested(self, name: str) -> list[Point]:
        """The points of the runs that an experiment held out."""
        trial = next(trial for trial in TRIALS if trial.name == name)
        own = {(row.size, row.tokens) for row in curves_of(self.experiment(trial.name).held_out)}
        return [p for p in self._found[trial.base, trial.largest].points if p.held_out and (p.size, p.tokens) in own]

    @cached_property
    def _experiments(self) -> dict[str, Experiment]:
        others = ("millions", "onset", "copying", "rates", "explanations")
        return {name: experiment(self.root, name) for name in (*(trial.name for trial in TRIALS), *others)}

    @cached_property
    def _found(self) -> Mapping[Key, Found]:
        jobs = dict(self._jobs())
        names = sorted(jobs, key=lambda key: -len(jobs[key]))  # the one that takes longest first
        asked = [(tuple(jobs[key]), key in HELD_OUT_ALONE, key[0] in WITH_LAW) for key in names]
        with ProcessPoolExecutor(self.processes, get_context("spawn")) as pool:
            each = (pool.map if self.processes > 1 else map)(_found, *zip(*asked, strict=True))
            return dict(zip(names, each, strict=True))

    def _jobs(self) -> Iterator[tuple[Key, list[RunRecord]]]:
        """The rows that points are found in.

        What a held-out curve says depends on the fitted ones alone, so all trials of one law are looked at together.
        """
        for base, largest in dict.fromkeys((trial.base, trial.largest) for trial in TRIALS):
            of_it = [trial for trial in TRIALS if (trial.base, trial.largest) == (base, largest)]
            fitted = [fitted_to(self.root, trial) for trial in of_it]
            held = [row for trial in of_it for row in curves_of(self.experiment(trial.name).held_out)]
            yield (base, largest), [*fitted[0], *held]
        yield ("millions", inf), self.experiment("millions").fitted
        yield ("onset", inf), self._onset()
        for name in EXPLANATIONS:
            yield (name, inf), self.explanation(name).rows

    def _onset(self) -> list[RunRecord]:
        """Recall at the smaller doses with that of the main grid at the same sizes and token counts."""
        rows = self.experiment("onset").rows
        places = {(row.size, row.tokens) for row in rows}
        here = [row for row in self.experiment("reshaped").fitted if (row.size, row.tokens) in places]
        return recall_alone([*here, *rows])


def recall_alone(rows: Sequence[RunRecord]) -> list[RunRecord]:
    """Rows without the scores that say nothing of acquisition."""
    return [replace(row, retention=None, val_bpb=None) for row in rows]


@cache
def _found(rows: tuple[RunRecord, ...], only_held_out: bool, with_law: bool) -> Found:
    points = find_points(rows, tolerance=TOLERANCE, draws=DRAWS, only_held_out=only_held_out)
    used = [row for row in rows if not row.held_out]
    law = fit_law(used, [point for point in points if not point.held_out]) if with_law else None
    return Found(tuple(points), law)
