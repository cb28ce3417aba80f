"""The whole chain of a study: prepare, train, find points, fit, predict, train the held-out runs, compare, report.

Every step reads what the one before left in the study's folder, so a killed study goes on where it was. A prediction is
written before the runs that test it, with the time, the hash of the table it came from and how many of those runs were
already known; it is never written again for the same table.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from infusionlaw.errors import InputError, naming
from infusionlaw.files import remove_leftovers, write_text
from infusionlaw.fitting import fit
from infusionlaw.lab import Lab, Watch
from infusionlaw.law.planning.compare import compare, write_comparison
from infusionlaw.law.planning.plan import Plan, predict, write_plan
from infusionlaw.law.planning.predictions import WrittenPlan, WrittenPredictions, read_predictions, write_predictions
from infusionlaw.law.points.find import find_points, in_order
from infusionlaw.law.points.point import Point, write_points
from infusionlaw.law.scaling.law import Law, read_law, write_law
from infusionlaw.recognise import kind_of
from infusionlaw.report.corpus import remarks
from infusionlaw.report.material import material_of, usual_target
from infusionlaw.report.page import write_page, write_study_page
from infusionlaw.report.start import start_text
from infusionlaw.report.status import state_text
from infusionlaw.runs.record import Estimate, RunRecord, RunSpec
from infusionlaw.runs.table import append_row, check_new, read_table, table_hash, write_table
from infusionlaw.settings import read_study_file, with_hashes
from infusionlaw.study.folder import check_folder, claim
from infusionlaw.study.journal import (
    ALREADY,
    BEGUN,
    plan_hashes,
    run_name,
)
from infusionlaw.study.progress import shown
from infusionlaw.study.study import Study, folder_of, locked, open_folder, write_settings
from infusionlaw.study.verify import enter_corpus, enter_run, kept, made_again
from infusionlaw.trackers.tracker import check_trackers
from infusionlaw.trackers.tracking import tracked


def open_study(path: str | Path, folder: str | Path | None, lab: Lab) -> Study:
    """Read the study file, prepare its corpus and check every run it asks for; InputError before any training."""
    with _opened(path, folder, lab) as study:
        return study


@contextmanager
def _opened(path: str | Path, folder: str | Path | None, lab: Lab) -> Iterator[Study]:
    """Open a study as `open_study` does, and hold its folder meanwhile: no other may change the corpus."""
    file = with_hashes(read_study_file(path))
    if folder is None and (Path(file.name).name != file.name or file.name == ".."):
        raise InputError(f'{path}: "name" is {file.name!r}, which is no name of a folder; change it, or say --out')
    folder = folder_of(file, folder)
    check_folder(folder, Path(path))
    with locked(folder):
        claim(folder)
        remove_leftovers(folder, ("corpus", "predictions", "runs/*", "stable/*"))
        study = Study(file, folder, lab.prepare(file, folder))
        study.put_aside_broken()
        if not study.journal.entries:
            study.journal.add(BEGUN, {}, {ALREADY: str(len(list(folder.glob("runs/*/record.json"))))})
        enter_corpus(study)
        asked = [*study.opening, *study.held_out]
        _check_places(path, asked, lab.check(folder, asked))
        study.check_elsewhere(asked)
        _copy_study_file(Path(path), folder / "study.toml")
        write_settings(study)
        study.journal.add("study", study.journal.hashes("study.json", "study.toml"))
        yield study


def _copy_study_file(path: Path, copy: Path) -> None:
    if not (copy.exists() and copy.samefile(path)):  # it may lie in the folder already
        write_text(copy, path.read_text(encoding="utf-8-sig"))


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
    check_trackers(read_study_file(path).track.to)
    watch.stage("preparing the text")
    with _opened(path, folder, lab) as study, shown(study.folder, watch) as watch, tracked(study, watch) as watch:
        for remark in filter(None, [start_text(study.file), *remarks(study.folder)]):
            watch.stage(remark)
        if others := study.of_other_data:
            watch.stage(
                f"finished runs of another corpus, which are left as they are: {others} (its files or "
                "tokenizer have changed since; put those back to go on with these runs)"
            )
        _check_chain(study, watch)
        _train_rounds(study, lab, watch)
        rows = _all_records(study, study.fitted)
        watch.stage("finding points and fitting the law")
        told = study.file.law
        points, law = fit(rows, told.tolerance, told.draws, forgetting=told.forgetting)
        write_table(study.folder / "fitted.csv", rows)
        study.journal.add_file("fitted.csv")
        write_law(study.folder / "law.json", law)
        study.journal.add_file("law.json", "fitted.csv")
        targets = _targets(study, lab)
        prediction = _predict(study, law, rows, targets)
        held_out = study.held_out  # with the runs at doses that the prediction looks at, now that it is written
        if held_out:
            everything = [*study.fitted, *held_out]
            watch.runs(everything, study.missing(everything))
            left = _left(study, held_out)
            watch.stage(f"the prediction is in {prediction}; held-out runs come next ({left})")
            _train(study, held_out, lab, watch)
        held = _all_records(study, held_out)
        table = [*rows, *held]
        if held:
            points = with_held_out(points, table, told.tolerance, told.draws, told.forgetting)
        write_table(study.folder / "table.csv", table)
        study.journal.add_file("table.csv", "fitted.csv")
        write_points(study.folder / "points.json", points)
        study.journal.add_file("points.json", "table.csv")
        for wrong in made_again(study, prediction):
            raise InputError(wrong.text)
        write_comparison(study.folder / "comparison.json", compare(read_predictions(prediction), points, held))
        study.journal.add_file("comparison.json", f"predictions/{prediction.name}", "points.json", "table.csv")
        target = max([*targets.values()] or [(int(row.size), int(row.tokens)) for row in rows])
        write_plan(study.folder / "plan.json", _plan(study, law, *target))
        study.journal.add_file("plan.json", "law.json")
        watch.stage("writing the report")
        write_study_page(study.folder, study)
    return study


def _check_chain(study: Study, watch: Watch) -> None:
    """Refuse to go on from runs or predictions that were edited, and say which finished ones are gone."""
    study.missing([*study.opening, *study.held_out])  # a record that is none is said first
    _enter_found(study, study.fitted)
    _enter_found(study, study.held_out)
    if (study.folder / "runs.csv").exists():
        study.journal.add_file("runs.csv")
    found = list(kept(study))
    for wrong in found:
        if wrong.stops:
            raise InputError(wrong.text)
    if found:
        watch.stage(found[0].text + (f" (and {len(found) - 1} more like this)" if len(found) > 1 else ""))


def _enter_found(study: Study, specs: Sequence[RunSpec]) -> None:
    """Add the finished runs to the journal that are not in it: those of a process that was killed before it could."""
    for spec in specs:
        record = study.record(spec)
        if record is not None and not study.gone([spec]) and study.journal.latest(run_name(spec.id)) is None:
            enter_run(study, spec, record)


def _all_records(study: Study, specs: Sequence[RunSpec]) -> list[RunRecord]:
    """Return the records of runs that were trained; InputError where the folder of one has vanished since."""
    if gone := study.gone(specs):
        more = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
        raise InputError(
            f"{study.folder / 'runs' / gone[0].id}: this run has vanished while the study ran{more}; run the same "
            "command again, which trains it again"
        )
    return study.records(specs)


def with_held_out(
    points: Sequence[Point], table: Sequence[RunRecord], tolerance: float, draws: int, forgetting: float = 0.05
) -> list[Point]:
    """The points of a table: those of its fitted runs, which are given, and those of its held-out ones."""
    held = find_points(table, tolerance=tolerance, forgetting=forgetting, draws=draws, only_held_out=True)
    return in_order([*points, *held])


def dry_run(path: str | Path, folder: str | Path | None, lab: Lab) -> list[Estimate]:
    """What every run of a study would hold and take, done ones included; prepares the corpus, trains nothing.

    Of a search, the runs that every curve may start from; of held-out runs at doses that a prediction looks at, those
    that are known.
    """
    study = open_study(path, folder, lab)
    return lab.estimate(study.file, study.folder, [*study.opening, *study.held_out])


def write_report(
    source: str | Path,
    out: str | Path | None = None,
    *,
    size: float | None = None,
    tokens: float | None = None,
    facts: float | None = None,
    risk: float = 0.05,
    tolerance: float | None = 0.05,
    extrapolate: bool = False,
    draws: int = 1000,
) -> Path:
    """Write the page of a table of runs, of a law or of a finished study's folder; returns its path.

    A table is fitted first. size, tokens, facts, risk, tolerance, extrapolate: the target of its plan, as in `predict`;
    by default four times the largest size (`usual_target`). A study's file states its target, so that it takes none.
    """
    source = Path(source)
    if source.is_dir():
        if size is not None or tokens is not None or facts is not None:
            raise InputError(f"{source}: a study states its own target; ask for another one on the page itself")
        return write_study_page(source, out=out)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; name a table of runs, a law or a study's folder")
    rows: Sequence[RunRecord] = ()
    points: Sequence[Point] = ()
    if kind_of(source) == "law":
        law = read_law(source)
    else:
        rows = read_table(source)
        rise = tolerance if tolerance is not None else 0.05
        with naming(source):
            points, law = fit(rows, rise, draws)
    usual = usual_target(law)
    plan = predict(
        law, size or usual[0], tokens or usual[1], facts, risk=risk, tolerance=tolerance, extrapolate=extrapolate
    )
    return write_page(material_of(source, law, plan, points, rows), Path(out or "report.html"))


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
        name = f"round {number + 1} of the search" if study.searches else "runs that the law is fitted to"
        watch.stage(f"{name} ({_left(study, specs)})")
        _train(study, specs, lab, watch)
    for state in study.states:
        watch.stage(state_text(state))


def _train(study: Study, specs: Sequence[RunSpec], lab: Lab, watch: Watch) -> None:
    missing = study.missing(specs)
    by_id = {spec.id: spec for spec in missing}
    for record in lab.execute(study.file, study.folder, missing, watch.progress):
        enter_run(study, by_id[record.run], record)
        watch.finished(by_id[record.run], record)
    _all_records(study, specs)


Targets = dict[tuple[int, int], tuple[int, int]]


def _targets(study: Study, lab: Lab) -> Targets:
    """The (N, D) of the held-out runs, as asked for and as they will really be."""
    specs = study.held_out
    asked = [(spec.size, spec.tokens) for spec in specs]
    return dict(sorted(zip(asked, lab.check(study.folder, specs), strict=True)))


def _predict(study: Study, law: Law, rows: Sequence[RunRecord], targets: Targets) -> Path:
    """Write what this table predicts of the held-out targets that have no prediction from it yet; returns its path.

    A target that comes later is added with its own time and count of runs known; what was written stays as it is. A
    run counts as known if it was ever finished, even if its folder is gone.
    """
    path, journal = study.prediction, study.journal
    name = f"predictions/{path.name}"
    begun = path.exists() and journal.latest(name) is not None  # else its process was killed: it is written again
    so_far = read_predictions(path) if begun else WrittenPredictions("fitted.csv", table_hash(rows))
    predicted = {item.asked for item in so_far.predictions}
    new = {asked: real for asked, real in targets.items() if asked not in predicted}
    if begun and not new:
        return path
    known = [
        (spec.size, spec.tokens) for spec in study.held_out if study.record(spec) or journal.latest(run_name(spec.id))
    ]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    plans = [WrittenPlan(asked, now, known.count(asked), _plan(study, law, *real)) for asked, real in new.items()]
    write_predictions(path, so_far.with_more(plans))
    journal.add_file(name, "law.json", "fitted.csv", parts=plan_hashes(path))
    return path


def _plan(study: Study, law: Law, size: int, tokens: int) -> Plan:
    """The plan for a model that the study file asks for, however far beyond the others it lies."""
    return predict(law, size, tokens, tolerance=study.file.law.tolerance, extrapolate=True)


def score_model(model: Path, folder: Path, run: str | None = None, to: Path | None = None) -> RunRecord:
    """Put the questions of a study to the model of a Hugging Face folder, and return its row of a table. Needs torch.

    run: the run of the study that it is; None for a model that the study did not ask for. to: a table that the row is
    added to.
    """
    from infusionlaw.corpus.corpus import open_corpus
    from infusionlaw.runners.score import score

    study = open_folder(folder)
    spec = None if run is None else study.spec(run)
    if to is not None:
        check_new(to, run or model.resolve().name)
    record = score(model, open_corpus(folder / "corpus"), study.file.training.block, spec)
    if to is not None:
        append_row(to, record)
    return record
