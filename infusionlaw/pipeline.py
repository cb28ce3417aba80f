"""The whole chain of a study: prepare, train, find points, fit, predict, train the held-out runs, compare, report.

Every step reads what the one before left in the study's folder, so a killed study goes on where it was. A prediction is
written before the runs that test it, with the time, the hash of the table it came from and how many of those runs were
already known; it is never written again for the same table.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from infusionlaw.errors import InputError
from infusionlaw.files import remove_leftovers, write_json, write_text
from infusionlaw.law.planning.compare import compare, write_comparison
from infusionlaw.law.planning.plan import Plan, predict, write_plan
from infusionlaw.law.planning.predictions import WrittenPlan, WrittenPredictions, read_predictions, write_predictions
from infusionlaw.law.points.find import Acquisition, find_points, in_order
from infusionlaw.law.points.point import Point, write_points
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law, write_law
from infusionlaw.report.corpus import remarks
from infusionlaw.report.page import write_report
from infusionlaw.report.status import state_text
from infusionlaw.runs.record import Estimate, Progress, RunRecord, RunSpec
from infusionlaw.runs.table import table_hash, write_table
from infusionlaw.settings import StudyFile, read_study_file
from infusionlaw.study.study import Study, folder_of, locked


class Lab(Protocol):
    """What a study needs of a lab; `infusionlaw.runners.local.Lab` is ours, tests and clusters may bring their own."""

    def prepare(self, study: StudyFile, folder: Path) -> str: ...

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]: ...

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]: ...

    def execute(
        self,
        study: StudyFile,
        folder: Path,
        specs: Sequence[RunSpec],
        on_progress: Callable[[Progress], None],
    ) -> Iterator[RunRecord]: ...


class Watch:
    """Hears what a study does; this one says nothing."""

    def stage(self, text: str) -> None:
        """A step of the chain begins or has something to say."""

    def runs(self, specs: Sequence[RunSpec], missing: Sequence[RunSpec]) -> None:
        """Before training, each round of a search and the held-out runs: all runs asked for, and those missing."""

    def progress(self, progress: Progress) -> None:
        """A run has done some of its steps."""

    def finished(self, spec: RunSpec, record: RunRecord) -> None:
        """A run is complete."""


def open_study(path: str | Path, folder: str | Path | None, lab: Lab) -> Study:
    """Read the study file, prepare its corpus and check every run it asks for; InputError before any training."""
    file = read_study_file(path)
    if folder is None and (Path(file.name).name != file.name or file.name == ".."):
        raise InputError(f'{path}: "name" is {file.name!r}, which is no name of a folder; change it, or say --out')
    folder = folder_of(file, folder)
    with locked(folder):
        remove_leftovers(folder, ("corpus", "predictions", "runs/*", "stable/*"))
        study = Study(file, folder, lab.prepare(file, folder))
        study.put_aside_broken()
        asked = [*study.opening, *study.held_out]
        _check_places(path, asked, lab.check(folder, asked))
        study.check_elsewhere(asked)
        write_text(folder / "study.toml", Path(path).read_text(encoding="utf-8-sig"))
        write_json(folder / "study.json", {"data": study.data, "file": file.model_dump(mode="json")})
    return study


def _check_places(path: str | Path, specs: Sequence[RunSpec], real: Sequence[tuple[int, int]]) -> None:
    """InputError where two sizes or token counts asked for come out as one model and token count: which was meant?"""
    first: dict[tuple[int, int], tuple[int, int]] = {}
    for spec, place in zip(specs, real, strict=True):
        size, tokens = first.setdefault(place, (spec.size, spec.tokens))
        if (size, tokens) != (spec.size, spec.tokens):
            raise InputError(
                f"{path}: size {size} at {tokens} tokens and size {spec.size} at {spec.tokens} tokens are the same "
                f"model and token count, {place[0]:,} parameters and {place[1]:,} tokens; take one of them out"
            )


def run_study(path: str | Path, folder: str | Path | None, lab: Lab, watch: Watch | None = None) -> Study:
    """Do all that a study file asks for, in `folder` (default: its name), going on from whatever is there."""
    watch = watch or Watch()
    watch.stage("preparing facts and text")
    study = open_study(path, folder, lab)
    for remark in remarks(study.folder):
        watch.stage(remark)
    with locked(study.folder):
        if others := study.of_other_data:
            watch.stage(
                f"finished runs of another corpus, which are left as they are: {others} (facts, text or tokeniser have "
                "changed since; put those back to go on with these runs)"
            )
        _train_rounds(study, lab, watch)
        rows = study.records(study.fitted)
        watch.stage("finding points and fitting the law")
        points, law = fit(rows, study.file.law.tolerance, study.file.law.draws)
        write_table(study.folder / "fitted.csv", rows)
        write_law(study.folder / "law.json", law)
        targets = _targets(study, lab)
        prediction = _predict(study, law, rows, targets)
        held_out = study.held_out  # with the runs at doses that the prediction looks at, now that it is written
        if held_out:
            everything = [*study.fitted, *held_out]
            watch.runs(everything, study.missing(everything))
            left = _left(study, held_out)
            watch.stage(f"the prediction is in {prediction}; training the held-out runs ({left})")
            _train(study, held_out, lab, watch)
        held = study.records(held_out)
        table = [*rows, *held]
        if held:
            points = with_held_out(points, table, study.file.law.tolerance, study.file.law.draws)
        write_table(study.folder / "table.csv", table)
        write_points(study.folder / "points.json", points)
        write_comparison(study.folder / "comparison.json", compare(read_predictions(prediction), points, held))
        target = max([*targets.values()] or [(int(row.size), int(row.tokens)) for row in rows])
        write_plan(study.folder / "plan.json", _plan(study, law, *target))
        watch.stage("writing the report")
        write_report(study.folder)
    return study


def with_held_out(points: Sequence[Point], table: Sequence[RunRecord], tolerance: float, draws: int) -> list[Point]:
    """The points of a table: those of its fitted runs, which are given, and those of its held-out ones."""
    return in_order([*points, *find_points(table, tolerance=tolerance, draws=draws, only_held_out=True)])


def dry_run(path: str | Path, folder: str | Path | None, lab: Lab) -> list[Estimate]:
    """What every run of a study would hold and take, done ones included; prepares the corpus, trains nothing.

    Of a search, the runs that every curve may start from; of held-out runs at doses that a prediction looks at, those
    that are known.
    """
    study = open_study(path, folder, lab)
    return lab.estimate(study.file, study.folder, [*study.opening, *study.held_out])


def fit(
    rows: Sequence[RunRecord], tolerance: float, draws: int, acquisition: Acquisition = "onset"
) -> tuple[list[Point], Law]:
    """Points and law of a table's rows; InputError when no run has a score."""
    if not any(row.recall is not None for row in rows):
        raise InputError("no run of the table has a recall; every run diverged or none was measured")
    points = find_points(rows, tolerance=tolerance, acquisition=acquisition, draws=draws)
    return points, fit_law(rows, points)


def _left(study: Study, specs: Sequence[RunSpec]) -> str:
    return f"{len(study.missing(specs))} of {len(specs)} left"


def _train_rounds(study: Study, lab: Lab, watch: Watch) -> None:
    """Train the runs that the law is fitted to: a grid at once, a search round by round."""
    known: list[RunSpec] = []
    for number, specs in enumerate(study.rounds()):
        known += specs
        missing = study.missing(specs)
        if not missing and number:
            continue
        everything = [*known, *(study.held_out)]
        watch.runs(everything, study.missing(everything))
        name = f"round {number + 1} of the search" if study.searches else "training the runs that the law is fitted to"
        watch.stage(f"{name} ({_left(study, specs)})")
        _train(study, specs, lab, watch)
    for state in study.states:
        watch.stage(state_text(state))


def _train(study: Study, specs: Sequence[RunSpec], lab: Lab, watch: Watch) -> None:
    missing = study.missing(specs)
    by_id = {spec.id: spec for spec in missing}
    for record in lab.execute(study.file, study.folder, missing, watch.progress):
        watch.finished(by_id[record.run], record)


Targets = dict[tuple[int, int], tuple[int, int]]


def _targets(study: Study, lab: Lab) -> Targets:
    """The (N, D) of the held-out runs, as asked for and as they will really be."""
    specs = study.held_out
    asked = [(spec.size, spec.tokens) for spec in specs]
    return dict(sorted(zip(asked, lab.check(study.folder, specs), strict=True)))


def _predict(study: Study, law: Law, rows: Sequence[RunRecord], targets: Targets) -> Path:
    """Write what this table predicts of the held-out targets that have no prediction from it yet; returns its path.

    A target that comes later is added with its own time and count of runs known; what was written stays as it is.
    """
    path = study.prediction
    so_far = read_predictions(path) if path.exists() else WrittenPredictions("fitted.csv", table_hash(rows))
    predicted = {item.asked for item in so_far.predictions}
    new = {asked: real for asked, real in targets.items() if asked not in predicted}
    if path.exists() and not new:
        return path
    known = [(spec.size, spec.tokens) for spec in study.held_out if study.records([spec])]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    plans = [WrittenPlan(asked, now, known.count(asked), _plan(study, law, *real)) for asked, real in new.items()]
    write_predictions(path, so_far.with_more(plans))
    return path


def _plan(study: Study, law: Law, size: int, tokens: int) -> Plan:
    """The plan for a model that the study file asks for, however far beyond the others it lies."""
    return predict(law, size, tokens, tolerance=study.file.law.tolerance, extrapolate=True)
