"""Whether a study's files are those that it wrote: corpus, runs, table, law, prediction, held-out runs, comparison.

The journal says what each was. Checks are cheap by default: they read no weights, no token file whose size and time
are as they were, and no settings or ledger of a run that are older than its record. The whole check reads every byte,
and the sources too.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from os import stat
from os.path import join
from pathlib import Path
from stat import S_ISREG
from typing import Any

from infusionlaw.corpus.digests import check_files, check_id, prepare_again
from infusionlaw.corpus.fingerprint import fingerprint, source_hashes
from infusionlaw.corpus.head import Head, read_head
from infusionlaw.errors import InputError
from infusionlaw.files import file_hash, json_hash
from infusionlaw.runs.record import RunRecord, RunSpec
from infusionlaw.runs.table import read_table, table_text
from infusionlaw.study.journal import (
    ALREADY,
    BEGUN,
    ROW,
    RUN_FILES,
    Entry,
    plan_hashes,
    row_hash,
    run_name,
    target_name,
)
from infusionlaw.study.study import Study

BIG = (".safetensors", ".bin", "probes.json", "metrics.jsonl")  # what a cheap check leaves unread
RESULTS = ("table.csv", "points.json", "comparison.json", "plan.json")
AGAIN = "run the study file again, which makes it again"
TELLS_NOTHING = (
    "nobody can tell what was predicted before the held-out runs, and only a new study in another folder can"
)


@dataclass(frozen=True)
class Break:
    """Where the chain does not hold, in a sentence. stops: whether a study must not go on from it."""

    text: str
    stops: bool = False


def doubts(study: Study) -> list[str]:
    """Return what cheap checks find that a reader of a study's results must hear, a sentence each."""
    broken = first_break(study)
    if broken:
        return [f"This study does not hold: {broken}."]
    late, kinds = begun_late(study), _kinds_of_device(study)
    said = [f"About the order of things: {late}."] if late else []
    if len(kinds) > 1:
        counts = ", ".join(f"{name}: {number:,}" for name, number in kinds.most_common())
        said.append(
            f"Runs were trained on different kinds of processors ({counts}), which round differently: one run can have "
            "other scores on each."
        )
    return said


def _kinds_of_device(study: Study) -> Counter[str]:
    records = (study.record(spec) for spec in (*study.fitted, *study.held_out))
    return Counter(record.trained_on for record in records if record is not None and record.trained_on)


def first_break(study: Study, whole: bool = False) -> str:
    """Return the first place where a study's chain does not hold, as a sentence; "" where all holds.

    whole: read every byte, of sources, token files and weights too.
    """
    try:
        found = next(breaks(study, whole), None)
    except InputError as error:
        return str(error)
    return found.text if found else ""


def breaks(study: Study, whole: bool = False) -> Iterator[Break]:
    """Yield where a study's chain does not hold, in its order: first what is measured, then what is made of it.

    Raises InputError for a file that cannot be read at all.
    """
    journal = study.journal
    if not journal.entries:
        if any(study.folder.glob("runs/*/record.json")):
            yield Break(
                f"{journal.path}: is missing, so nothing proves when the runs and predictions were made; put it back "
                "(running the study file begins another, which can prove only what comes after)"
            )
        return
    yield from _measured(study, whole)
    yield from _made(study, ("runs.csv", "fitted.csv", "law.json"))
    yield from _rows(study)
    yield from _predicted(study, whole)
    yield from _made(study, RESULTS)
    if whole:
        yield from _sources(study)


def kept(study: Study) -> Iterator[Break]:
    """Yield the breaks of what running the study file does not make again, by cheap checks: corpus, runs, predictions.

    Raises InputError for a file that cannot be read at all.
    """
    yield from _measured(study)
    yield from _predicted(study)


def _measured(study: Study, whole: bool = False) -> Iterator[Break]:
    """Yield the breaks of settings, corpus and the runs that came before any prediction of them."""
    if entry := study.journal.latest("study"):
        yield from _changed(study, entry, "put it back, or run the study file again to go by it")
    yield from _corpus(study, whole)
    asked = _asked(study)
    for entry in _runs(study):
        if not _predicted_by(entry):
            yield from _run(study, entry, asked.get(entry.name), whole)


def _predicted(study: Study, whole: bool = False) -> Iterator[Break]:
    """Yield the breaks of predictions, and of the held-out runs that came after them."""
    yield from _predictions(study, whole)
    asked = _asked(study)
    for entry in _runs(study):
        if _predicted_by(entry):
            yield from _run(study, entry, asked.get(entry.name), whole)


def _asked(study: Study) -> dict[str, RunSpec]:
    return {run_name(spec.id): spec for spec in [*study.fitted, *study.held_out]}


def _runs(study: Study) -> list[Entry]:
    return [entry for name, entry in study.journal.all_latest().items() if name.startswith("runs/")]


def holds_text(study: Study) -> str:
    """Say that a study holds, by which journal, and what that does not prove."""
    path = study.journal.path
    if not study.journal.entries:
        return f"{study.folder} has no {path.name}, so there is nothing to check it by; run its study file once"
    holds = f"{study.folder} holds: {len(_runs(study))} runs and all that was made of them"
    return "\n".join([f"{holds}; the SHA-256 of {path.name} is {file_hash(path)}", *_limits(study)])


def begun_late(study: Study) -> str:
    """Say where the journal began after runs were made: it cannot prove that predictions came before these."""
    begun = study.journal.latest(BEGUN)
    if begun is None or begun.parts.get(ALREADY, "0") == "0":
        return ""
    return (
        f"the journal begins on {begun.written} with {begun.parts[ALREADY]} finished runs already there, so it does "
        "not prove that predictions came before runs"
    )


def _limits(study: Study) -> list[str]:
    """Return what the chain of a study that holds does not prove, a sentence each."""
    found = [late] if (late := begun_late(study)) else []
    if not (study.folder / "corpus" / "corpus.json").exists():
        found.append("the corpus is not in the folder and was not checked")
    elif not _sources_are_there(study):
        found.append("the sources are not where they were and were not checked")
    finished = {run_name(path.parent.name) for path in study.folder.glob("runs/*/record.json")}
    if new := finished - study.journal.all_latest().keys():
        found.append(f"{len(new)} finished runs are not in the journal yet; running the study file takes them in")
    return found


def _changed(
    study: Study, entry: Entry, fix: str, whole: bool = True, stops: bool = False, since: float = 0.0
) -> Iterator[Break]:
    """Yield the files of an entry that are gone or another; a cheap check leaves out big ones, and those older than
    `since`: what was written last beside them."""
    for name, was in entry.files.items():
        if not whole and name.endswith((*BIG, "record.json")):
            continue
        path = join(study.folder, name)
        if (written := _modified(path)) is None:
            yield Break(f"{path}: is gone, and was written on {entry.written}; {fix}", stops)
        elif not whole and written < since:
            continue
        elif (found := file_hash(path)) != was:
            text = f"its SHA-256 is {found[:12]} and was {was[:12]} when it was written ({entry.written})"
            yield Break(f"{path}: {text}; {fix}", stops)


def _corpus(study: Study, whole: bool) -> Iterator[Break]:
    folder, entry = study.folder / "corpus", study.journal.latest("corpus")
    if entry is None or not (folder / "corpus.json").exists():
        return
    head = read_head(folder)
    try:
        check_id(folder, head.id, head.files)
        check_files(folder, head.files, whole)
    except InputError as error:
        yield Break(str(error), True)
    listed = {f"corpus/{name}": stamp.sha256 for name, stamp in head.files.items()}
    if (listed, corpus_parts(head), head.content) != (entry.files, entry.parts, entry.made_from):
        text = f"its id, files, sources or counts are not those that were written on {entry.written}"
        yield Break(f"{folder / 'corpus.json'}: {text}; {prepare_again(folder)}", True)


def corpus_parts(head: Head) -> dict[str, str]:
    """Return what a corpus.json says beside the stamps of files: its id, and a hash of its counts.

    Files beside the sources may come and go, so how many were not read is left out.
    """
    counts = {name: value for name, value in head.counts.items() if name != "files_unread"}
    return {"id": head.id, "counts": json_hash([counts, head.end_of_text])}


def enter_corpus(study: Study) -> None:
    """Add the prepared corpus to the journal; InputError where it is there already and was another."""
    path, last = study.folder / "corpus" / "corpus.json", study.journal.latest("corpus")
    if not path.exists():  # a lab may keep its corpus elsewhere
        return
    head = read_head(path.parent)
    if last is not None and last.parts["id"] == head.id and last.made_from == head.content:
        for found in _corpus(study, whole=False):
            raise InputError(found.text)
    hashes = {f"corpus/{name}": stamp.sha256 for name, stamp in head.files.items()}
    study.journal.add("corpus", hashes, corpus_parts(head), head.content)


def enter_run(study: Study, spec: RunSpec, record: RunRecord) -> None:
    """Add a finished run to the journal, a held-out one with the plan that was written before it."""
    name, made_from = run_name(spec.id), {"corpus": spec.data}
    if spec.held_out:
        prediction = f"predictions/{study.prediction.name}"
        plans = study.journal.latest(prediction)
        if plans is not None and (plan := plans.parts.get(target_name(spec.size, spec.tokens))):
            made_from[prediction] = plan
    files = study.journal.hashes(*(f"{name}/{file}" for file in RUN_FILES))
    if files:  # else its row is in runs.csv
        study.journal.add(name, files, {ROW: row_hash(record)}, made_from)


def _run(study: Study, entry: Entry, spec: RunSpec | None, whole: bool) -> Iterator[Break]:
    """Yield the breaks of a run; one that is gone matters only while the study asks for it."""
    folder = join(study.folder, entry.name)
    if (since := _modified(join(folder, "record.json"))) is None:
        if spec is not None and study.gone([spec]):
            yield Break(
                f"{folder}: this run is gone, and was finished on {entry.written}; put it back, or run the study file "
                "again, which trains it again"
            )
        return
    fix = f"put it back, or delete {folder} and run the study file again, which trains it again"
    record = study.record(spec) if spec is not None else None
    if record is not None and not _same_row(study, entry, record):
        text = f"its scores or settings are not those that were written on {entry.written}"
        yield Break(f"{join(folder, 'record.json')}: {text}; {fix}", True)
    yield from _changed(study, entry, fix, whole, stops=True, since=since)


def _modified(path: str) -> float | None:
    """When a file was modified; None where there is no such file."""
    try:
        found = stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_mtime if S_ISREG(found.st_mode) else None


def _same_row(study: Study, entry: Entry, record: RunRecord) -> bool:
    """Whether a record is what an entry says: to the byte, or at least in its row of a table."""
    known = study.read.get(record.run)
    same = known is not None and known == entry.files.get(f"{entry.name}/record.json")
    return same or row_hash(record) == entry.parts.get(ROW)


def _rows(study: Study) -> Iterator[Break]:
    """Yield the rows of fitted.csv that no record ever had."""
    path, elsewhere = study.folder / "fitted.csv", study.folder / "runs.csv"
    if not path.exists():
        return
    entered = all(study.journal.latest(run_name(spec.id)) for spec in study.fitted)
    if entered and path.read_text(encoding="utf8") == table_text(study.records(study.fitted)):
        return  # and these records are those of the journal
    known: dict[str, set[str]] = {}
    for entry in study.journal.entries:
        known.setdefault(entry.name, set()).add(entry.parts.get(ROW, ""))
    others = {row.run: row_hash(row) for row in read_table(elsewhere)} if elsewhere.exists() else {}
    for row in read_table(path):
        if row_hash(row) not in known.get(run_name(row.run), {others.get(row.run, "")}):
            yield Break(f"{path}: its row of run {row.run} is not what that run's record says; {AGAIN}")


def _made(study: Study, names: Sequence[str]) -> Iterator[Break]:
    """Yield the files that are gone or another, or not in the journal at all."""
    for name in names:
        entry = study.journal.latest(name)
        if entry is not None:
            yield from _changed(study, entry, AGAIN)
        elif (study.folder / name).exists():
            yield Break(f"{study.folder / name}: is there, and the journal does not have it; {AGAIN}")


def _predicted_by(entry: Entry) -> dict[str, str]:
    """Which predictions file a held-out run came after, and the hash of the plan of its target there."""
    own = entry.name.startswith("runs/")
    return {name: plan for name, plan in entry.made_from.items() if own and name.startswith("predictions/")}


def _predictions(study: Study, whole: bool) -> Iterator[Break]:
    """Yield the predictions that are gone, edited, written after the runs they speak of, or not what their law gives.

    A target that comes later is added to a file, so what counts for a run is the plan of its own target.
    """
    written: dict[str, list[Entry]] = {}
    for entry in study.journal.entries:
        if entry.name.startswith("predictions/"):
            written.setdefault(entry.name, []).append(entry)
    for name, entries in written.items():
        path = study.folder / name
        if not path.exists():
            yield Break(f"{path}: is gone, and was written on {entries[0].written}; put it back: {TELLS_NOTHING}")
            continue
        found = file_hash(path)
        if found not in {entry.files[name] for entry in entries}:
            text = f"its SHA-256 is {found[:12]} and was {entries[-1].files[name][:12]} when it was written"
            yield Break(f"{path}: {text} ({entries[-1].written}); put it back: otherwise {TELLS_NOTHING}", True)
            continue
        plans = set(plan_hashes(path).values())
        for entry in study.journal.entries:
            if (plan := _predicted_by(entry).get(name)) and plan not in plans:
                yield Break(
                    f"{path}: is not the prediction that {entry.name} was trained after (finished on {entry.written}), "
                    f"so it was written when results were known; put back the first one: otherwise {TELLS_NOTHING}"
                )
                break
        if whole:
            yield from made_again(study, path)
    for path in sorted(study.folder.glob("predictions/*.json")):
        if f"predictions/{path.name}" not in written:
            yield Break(f"{path}: is there, and the journal does not have it; {AGAIN}")


def made_again(study: Study, path: Path) -> Iterator[Break]:
    """Yield the plans of a predictions file that its law does not give, where that law is still there."""
    law_path, entry = study.folder / "law.json", study.journal.latest(f"predictions/{path.name}")
    if not law_path.exists() or entry is None or entry.made_from.get("law.json") != file_hash(law_path):
        return
    from infusionlaw.law.planning.plan import predict  # scipy, which cheap checks do without
    from infusionlaw.law.planning.predictions import read_predictions
    from infusionlaw.law.scaling.law import read_law

    law = read_law(law_path)
    for item in read_predictions(path).predictions:
        target = item.plan.target
        plan = predict(law, target.size, target.tokens, tolerance=target.tolerance, extrapolate=True)
        if not _alike(asdict(plan), asdict(item.plan)):
            yield Break(
                f"{path}: its plan for {target.size:,.0f} parameters and {target.tokens:,.0f} tokens is not what the "
                f"law of {study.folder / 'fitted.csv'} predicts; put it back: otherwise {TELLS_NOTHING}",
                True,
            )


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are the same, but for the last digits of numbers that another machine may round."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float | int) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == other)


def _sources_are_there(study: Study) -> bool:
    try:
        return bool(fingerprint(study.file))
    except (ImportError, InputError, OSError):  # built-in facts need packages that may not be installed
        return False


def _sources(study: Study) -> Iterator[Break]:
    path = study.folder / "corpus" / "corpus.json"
    was = read_head(path.parent).content if path.exists() else {}
    if not was or not _sources_are_there(study):
        return
    now = source_hashes(study.file)
    for name in {**was, **now}:
        if was.get(name) != now.get(name):
            yield Break(
                f"{name}: is not what {path.parent} was prepared from; put it back, or run the study file again, which "
                "prepares a new corpus and trains its runs"
            )
