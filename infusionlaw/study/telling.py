"""Take results of runs that were trained elsewhere into a study: check them against what was asked, write records.

All results are checked before anything is written. What is told again is the same record; a score that a run lacked is
added to it; another value of one that it has is refused, or put in its place with the old record kept in `put-aside`.
A run's `told.json` says which file and row each score came from; `record.json` is written last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from math import isclose
from typing import Any

from infusionlaw.files import VERSION, read_json, write_json
from infusionlaw.law.dose import same_dose, x_at
from infusionlaw.law.numbers import number, share
from infusionlaw.runs.asked import NEAR, AskedRun
from infusionlaw.runs.names import FIELDS, is_measured
from infusionlaw.runs.outcomes import is_loss
from infusionlaw.runs.record import DoseUnit, RunRecord, RunSpec
from infusionlaw.runs.results import Result
from infusionlaw.study.study import Study
from infusionlaw.study.verify import enter_run

TOLD = "told.json"
CHECKED = ("size", "tokens", "share", "exposures", "seed")


@dataclass
class Told:
    """What became of results. complaints: a sentence on each that cannot be taken; then nothing was written.

    new: runs that have their first result; more: runs that have more scores or others than before; same: runs of which
    nothing is new; missing: runs asked for that have none; remarks: what a person should check.
    """

    new: list[str] = field(default_factory=list)
    more: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class _Run:
    """What results say of one run together. places: where each score came from."""

    spec: RunSpec
    asked: AskedRun
    status: str
    unit: str | None
    scores: dict[str, float] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def tell(study: Study, asked: Sequence[AskedRun], results: Sequence[Result], instead: bool = False) -> Told:
    """Check results against the runs asked for, and write them as records of the study if all are good.

    asked: the runs of study.fitted and study.held_out. instead: put other values in the place of those told before.
    Whoever calls holds the study's folder.
    """
    told = Told()
    by_id = {run.run: run for run in asked}
    specs = {spec.id: spec for spec in (*study.fitted, *study.held_out)}
    runs = _joined(_last(_matched(results, by_id, told), told), specs, told)
    units = {record.loss_unit for record in study.table if _has_losses(record)}
    units |= {run.unit for run in runs if any(map(is_loss, run.scores))}
    if len(units) > 1:
        words = " and in ".join(sorted(unit or "bits per byte" for unit in units))
        told.complaints.append(f"losses are in {words}; a study has one unit: convert some, or leave them out")
    records = [(run, _record(study, run, instead, told)) for run in runs]
    if told.complaints:
        return Told(complaints=told.complaints)
    for run, record in records:
        if record is not None:
            _write(study, run, record, instead)
    written = {run.spec.id for run, record in records if record is not None}
    told.missing = [spec for spec in specs if spec not in written and study.record(specs[spec]) is None]
    late = [run.spec for run, _ in records if run.spec.held_out and run.spec.id in told.new]
    if late and not study.prediction.exists():
        told.remarks.append(
            f"{len(late)} of them are held out, and nothing was predicted yet: the prediction will say that they were "
            "known"
        )
    return told


def _matched(results: Sequence[Result], by_id: Mapping[str, AskedRun], told: Told) -> list[tuple[Result, AskedRun]]:
    """Return each result with its run; a complaint on each that has none, or several."""
    found = []
    for result in results:
        hits = [by_id[name] for name in result.ids if name in by_id]
        if not hits and result.named:
            told.complaints.append(
                f"{result.place}: run {result.named[0]} is not one of this study's {len(by_id)}; take the row out, or "
                "name the study that it belongs to"
            )
            continue
        hits = hits or [run for run in by_id.values() if not _differences(result, run)]
        if len(hits) == 1 and (result.ids or result.at):
            found.append((result, hits[0]))
        elif hits:
            which = " or ".join(run.run for run in hits[:2]) + (" or others" if len(hits) > 2 else "")
            told.complaints.append(f"{result.place}: may be run {which}; add a column run with the id")
        else:
            nearest = min(by_id.values(), key=lambda run: (len(_differences(result, run)), run.size))
            told.complaints.append(
                f"{result.place}: no run was asked with {_settings(result)}; the nearest, {nearest.run}, has "
                f"{' and '.join(asked for _, asked, _ in _differences(result, nearest))}"
            )
    return found


def _last(matched: Sequence[tuple[Result, AskedRun]], told: Told) -> list[tuple[Result, AskedRun]]:
    """Leave out rows of a run at other token counts where one is at the count that was asked: its checkpoints."""
    whole = {run.run for result, run in matched if "tokens" in result.at and _near(result, run, "tokens")}
    left = [pair for pair in matched if pair[1].run not in whole or _near(*pair, "tokens")]
    if count := len(matched) - len(left):
        rows = "1 row" if count == 1 else f"{count} rows"
        told.remarks.append(f"{rows} at fewer tokens than were asked left out, as checkpoints of the same runs")
    for result, run in left:
        for name, asked, has in _differences(result, run):
            told.complaints.append(
                f"{result.place}: run {run.run} was asked with {asked}, and this row has {name} {has}; train it as "
                "it was asked, or correct the row"
            )
    return left


def _joined(pairs: Sequence[tuple[Result, AskedRun]], specs: Mapping[str, RunSpec], told: Told) -> list[_Run]:
    """Join the results of each run; a complaint where two of them differ."""
    found: dict[str, _Run] = {}
    for result, asked in pairs:
        run = found.setdefault(asked.run, _Run(specs[asked.run], asked, result.status, result.unit))
        if run.status != result.status:
            told.complaints.append(f"{result.place}: run {asked.run} is both ok and diverged; take one row out")
            continue
        run.unit = result.unit if any(map(is_loss, result.scores)) else run.unit
        for name, value in result.scores.items():
            if name in run.scores and not _same(run.scores[name], value):
                told.complaints.append(
                    f"{result.place}: run {asked.run} has {name} {value:g} here and {run.scores[name]:g} in "
                    f"{run.places[name]}; take one of the two out"
                )
            run.scores.setdefault(name, value)
            run.places.setdefault(name, result.place)
    return list(found.values())


def _record(study: Study, run: _Run, instead: bool, told: Told) -> RunRecord | None:
    """Return the record to write, None where the one there says all of it; a complaint where it says otherwise."""
    asked, there = run.asked, study.record(run.spec)
    if there is None:
        told.new.append(asked.run)
        return _as_record(run, run.scores, run.unit)
    known = _scores(there)
    other = [name for name, value in run.scores.items() if name in known and not _same(known[name], value)]
    if (there.status != run.status or other) and not instead:
        was = f"{other[0]} {known[other[0]]:g}, not {run.scores[other[0]]:g}" if other else f"status {there.status}"
        told.complaints.append(
            f"run {asked.run} is told already, with {was}; add --replace to put the new result in its place"
        )
        return None
    both = {**(known if there.status == run.status else {}), **run.scores}
    if there.status == run.status and both == known:
        told.same.append(asked.run)
        return None
    told.more.append(asked.run)
    return _as_record(run, both, run.unit if any(map(is_loss, run.scores)) else there.loss_unit)


def _as_record(run: _Run, scores: Mapping[str, float], unit: str | None) -> RunRecord:
    asked = run.asked
    fields: dict[str, Any] = {name: value for name, value in scores.items() if name in FIELDS}
    return RunRecord(
        run=asked.run,
        size=asked.size,
        total_size=asked.total_size,
        tokens=asked.tokens,
        share=asked.share,
        exposures=asked.exposures,
        facts=asked.facts,
        tokens_per_fact=asked.tokens_per_fact,
        seed=asked.seed,
        held_out=asked.held_out,
        status=run.status,
        loss_unit=unit,
        **fields,
        more=tuple(sorted((name, value) for name, value in scores.items() if name not in FIELDS)),
    )


def _write(study: Study, run: _Run, record: RunRecord, instead: bool) -> None:
    """Write a run's files, its record last, and the entry in the journal. Another record is put aside first."""
    folder = study.folder / "runs" / run.spec.id
    history = read_json(folder / TOLD)["told"] if (folder / TOLD).exists() else []
    if instead and (folder / "record.json").exists():
        study.put_aside(folder)
    history.append({"on": datetime.now(UTC).isoformat(timespec="seconds"), "scores": run.scores, "places": run.places})
    write_json(folder / "spec.json", asdict(run.spec))
    write_json(folder / TOLD, {"version": VERSION, "told": history})
    write_json(folder / "record.json", asdict(record))
    enter_run(study, run.spec, record)


def _scores(record: RunRecord) -> dict[str, float]:
    """The scores that a record has, with the levels of guessing."""
    own = {name: getattr(record, name) for name in FIELDS if is_measured(name) or name == "chance"}
    return {name: value for name, value in own.items() if value is not None} | dict(record.more)


def _has_losses(record: RunRecord) -> bool:
    return any(map(is_loss, _scores(record)))


def _same(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _differences(result: Result, run: AskedRun) -> list[tuple[str, str, str]]:
    """Return the settings of a result that are not those of a run: the name, what was asked, and what it has."""
    return [
        (name, f"{name} {_shown(name, getattr(run, name))}", _shown(name, result.at[name]))
        for name in CHECKED
        if name in result.at and not _near(result, run, name)
    ]


def _near(result: Result, run: AskedRun, name: str) -> bool:
    """Whether a setting that a result states is that of a run; one that it does not state is."""
    if name not in result.at:
        return True
    value, asked = result.at[name], getattr(run, name)
    if name in NEAR:
        counts = (asked, run.total_size) if name == "size" else (asked,)
        return any(abs(value / count - 1) <= NEAR[name] for count in counts)
    unit: DoseUnit | None = "share" if name == "share" else "exposures" if name == "exposures" else None
    if unit is None or not value or not asked or (unit == "share" and value >= 1):
        return bool(value == asked)
    return same_dose(*x_at([value, asked], unit))


def _settings(result: Result) -> str:
    parts = [f"{name} {_shown(name, result.at[name])}" for name in CHECKED if name in result.at]
    return " and ".join(parts) or "no settings at all"


def _shown(name: str, value: float) -> str:
    return number(value) if name in NEAR else share(value) if name == "share" else f"{value:g}"
