"""What is edited in a finished study afterwards is seen, and the first file that does not hold is named."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakelab import Died, FakeLab, small_study

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json
from infusionlaw.lab import Watch
from infusionlaw.law.planning.compare import read_comparison
from infusionlaw.law.planning.predictions import read_predictions
from infusionlaw.pipeline import run_study, write_report
from infusionlaw.report.status import status_text
from infusionlaw.study.journal import plan_hashes
from infusionlaw.study.study import Study, open_folder
from infusionlaw.study.verify import first_break, holds_text


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("done")
    return run_study(small_study(folder / "small.toml"), folder / "out", FakeLab())


@pytest.fixture
def folder(done, tmp_path) -> Path:
    """A copy of the finished study, beside its study file."""
    shutil.copy(done.folder.parent / "small.toml", tmp_path)
    return shutil.copytree(done.folder, tmp_path / "out")


class Ear(Watch):
    def __init__(self) -> None:
        self.heard = ""

    def stage(self, text: str) -> None:
        self.heard += text + "\n"


def again(folder: Path, lab: FakeLab | None = None) -> str:
    """Run the study of a folder again and return what it said."""
    ear = Ear()
    run_study(folder.parent / "small.toml", folder, lab or FakeLab(), ear)
    return ear.heard


def broken(folder: Path) -> str:
    return first_break(open_folder(folder), whole=True)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    content = read_json(path)
    change(content)
    write_json(path, content)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf8")
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text, count=1), encoding="utf8")


def prediction(folder: Path) -> Path:
    return next(folder.glob("predictions/*.json"))


def run(folder: Path) -> Path:
    return folder / "runs" / open_folder(folder).fitted[3].id


def plan(content: Any) -> Any:
    return content["predictions"][0]["plan"]


EDITS: dict[str, tuple[Callable[[Path], Path], Callable[[Any], None]]] = {
    "collapse": (prediction, lambda c: plan(c)["points"]["collapse"]["share"].update(high=0.99)),
    "forecast": (prediction, lambda c: plan(c)["forecast"][0]["scores"]["recall"].update(value=0.123)),
    "time": (prediction, lambda c: c["predictions"][0].update(written="2020-01-01T00:00:00+00:00")),
    "kind": (prediction, lambda c: plan(c)["points"].pop("retention")),
    "known": (prediction, lambda c: c["predictions"][0].update(held_out_runs_already_known=1)),
    "recall": (lambda f: run(f) / "record.json", lambda c: c.update(recall=0.5)),
    "size": (lambda f: run(f) / "record.json", lambda c: c.update(size=20_000)),
    "ledger": (lambda f: run(f) / "ledger.json", lambda c: c["tokens"].update(prior=7)),
    "spec": (lambda f: run(f) / "spec.json", lambda c: c.update(seed=99)),
    "counts": (lambda f: f / "corpus" / "corpus.json", lambda c: c["counts"].update(training_documents=1)),
    "law": (lambda f: f / "law.json", lambda c: c["law"]["kinds"][0].update(reason="because")),
    "settings": (lambda f: f / "study.json", lambda c: c["file"]["law"].update(tolerance=0.4)),
    "comparison": (lambda f: f / "comparison.json", lambda c: c.update(already_known=3)),
    "points": (lambda f: f / "points.json", lambda c: c["points"][0].update(note="a")),
    "plan": (lambda f: f / "plan.json", lambda c: c["plan"].update(status="no law")),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_seen_and_its_file_is_the_first_that_is_named(folder, name) -> None:
    where, change = EDITS[name]
    path = where(folder)
    edit(path, change)
    for said in (broken(folder), status_text(folder)):
        assert str(path) in said
    if name not in ("recall", "size"):  # a report shows table.csv, which is what it was
        assert f"This study does not hold: {path}" in write_report(folder).read_text(encoding="utf8")


@pytest.mark.parametrize("name", ["fitted.csv", "table.csv"])
def test_an_edited_table_is_seen(folder, name) -> None:
    replace(folder / name, r"\b0\.\d{3,}", "0.5")
    assert broken(folder).startswith(f"{folder / name}: its SHA-256 is")


def test_an_untouched_study_holds_and_running_it_again_changes_nothing(folder) -> None:
    before = (folder / "journal.jsonl").read_bytes()
    assert "does not hold" not in status_text(folder)
    assert "does not hold" not in (folder / "report.html").read_text(encoding="utf8")
    assert broken(folder) == "" and holds_text(open_folder(folder)).startswith(f"{folder} holds: 30 runs")
    again(folder, FakeLab(dies_after=0))
    assert (folder / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize("dies_after", [5, 27])
def test_a_study_that_was_stopped_and_went_on_holds(folder, dies_after) -> None:
    out = folder.parent / "stopped"
    with pytest.raises(Died):
        run_study(folder.parent / "small.toml", out, FakeLab(dies_after=dies_after))
    assert broken(out) == ""
    again(out)
    assert broken(out) == ""


def test_killed_between_a_record_and_its_line_of_the_journal_it_goes_on_and_holds(folder) -> None:
    out, journal = folder.parent / "stopped", folder.parent / "stopped" / "journal.jsonl"
    for dies_after in (5, 22):
        with pytest.raises(Died):
            run_study(folder.parent / "small.toml", out, FakeLab(dies_after=dies_after))
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
        assert broken(out) == ""
    again(out)
    assert broken(out) == ""


@pytest.mark.parametrize("name", ["collapse", "time", "recall", "ledger"])
def test_a_study_does_not_go_on_from_an_edited_record_or_prediction(folder, name) -> None:
    where, change = EDITS[name]
    edit(where(folder), change)
    with pytest.raises(InputError, match=re.escape(str(where(folder)))):
        again(folder)


def test_an_edited_run_is_trained_again_once_it_is_removed_as_the_sentence_says(folder) -> None:
    edit(run(folder) / "record.json", lambda c: c.update(recall=0.5))
    assert f"delete {run(folder)} and run the study file again" in broken(folder)
    gone = run(folder)
    shutil.rmtree(gone)
    assert f"{gone}: this run is gone" in broken(folder)
    assert f"{gone}: this run is gone" in again(folder)
    assert broken(folder) == ""


def test_a_second_look_does_not_count_as_a_first(folder) -> None:
    """The prediction and the runs that test it are deleted together, and the study is run again."""
    path, held = prediction(folder), [folder / "runs" / spec.id for spec in open_folder(folder).held_out]
    for gone in held:
        shutil.rmtree(gone)
    edit(folder / "comparison.json", lambda c: c.update(already_known=0))
    path.unlink()
    assert broken(folder).startswith(f"{path}: is gone")
    assert f"{path}: is gone" in again(folder)
    assert read_predictions(path).already_known == read_comparison(folder / "comparison.json").already_known == 6
    assert "6 held-out runs were already known" in (folder / "report.html").read_text(encoding="utf8")
    assert broken(folder).startswith(f"{path}: is not the prediction that runs/")


def test_a_prediction_that_was_edited_and_entered_in_the_journal_anew_is_not_what_its_law_gives(folder) -> None:
    """Whoever also makes a journal that fits is seen, for the plan is made again."""
    path, (change,) = prediction(folder), EDITS["collapse"][1:]
    edit(path, change)
    study = open_folder(folder)
    entries, journal = list(study.journal.entries), folder / "journal.jsonl"
    journal.unlink()
    forged = open_folder(folder).journal
    plans = plan_hashes(path)
    for entry in entries:
        made_from = {
            key: next(iter(plans.values())) if "predictions/" in key else v for key, v in entry.made_from.items()
        }
        is_prediction = entry.name.startswith("predictions/")
        files = forged.hashes(entry.name) if is_prediction else entry.files
        forged.add(entry.name, files, plans if is_prediction else entry.parts, made_from)
    assert "is not what the law of" in broken(folder)
    with pytest.raises(InputError, match="is not what the law of"):
        again(folder)


def test_a_journal_that_was_edited_is_seen_at_its_line(folder) -> None:
    replace(folder / "journal.jsonl", "fitted.csv", "fitted.tsv")
    for said in (broken(folder), status_text(folder), write_report(folder).read_text(encoding="utf8")):
        assert re.search(r"journal\.jsonl, line \d+: is not the line that was written", said)


def test_a_line_taken_out_of_the_journal_is_seen(folder) -> None:
    path = folder / "journal.jsonl"
    lines = path.read_text(encoding="utf8").splitlines(keepends=True)
    path.write_text("".join([*lines[:10], *lines[11:]]), encoding="utf8")
    assert "journal.jsonl, line 11" in broken(folder)
    path.write_text("".join(lines[:-3]), encoding="utf8")
    assert "is there, and the journal does not have it" in broken(folder)


def test_without_its_journal_a_study_does_not_claim_an_order(folder) -> None:
    (folder / "journal.jsonl").unlink()
    assert broken(folder).startswith(f"{folder / 'journal.jsonl'}: is missing")
    again(folder)
    late = "with 30 finished runs already there"
    assert late in holds_text(open_folder(folder)) and late in status_text(folder)
    assert late in (folder / "report.html").read_text(encoding="utf8")


def test_a_run_that_vanishes_while_the_study_runs_is_said_and_nothing_is_fitted(folder) -> None:
    class Losing(FakeLab):
        def execute(self, file, folder, specs, on_progress=lambda progress: None):
            for record in super().execute(file, folder, specs, on_progress):
                yield record
                if len(self.log) == 4:
                    shutil.rmtree(folder / "runs" / self.log[1].id)

    out = folder.parent / "losing"
    with pytest.raises(InputError, match=r"this run has vanished while the study ran; run the same command again"):
        again(out, Losing())
    assert not (out / "law.json").exists()
    again(out)
    assert broken(out) == ""


def test_a_record_put_in_by_hand_is_not_in_the_journal_and_it_is_said(folder) -> None:
    other = folder / "runs" / "0123456789ab"
    shutil.copytree(run(folder), other)
    assert "1 finished runs are not in the journal" in holds_text(open_folder(folder))


def test_a_study_in_another_place_still_holds(folder) -> None:
    moved = folder.rename(folder.parent / "elsewhere")
    assert broken(moved) == ""
    assert json.loads((moved / "study.json").read_text(encoding="utf8"))["base"] == ".."


def test_runs_of_different_processors_are_remarked(tmp_path) -> None:
    class Mixed(FakeLab):
        def execute(self, study, folder, specs, on_progress):
            for number, record in enumerate(super().execute(study, folder, specs, on_progress)):
                record = dataclasses.replace(record, trained_on="EPYC" if number % 2 else "Xeon")
                write_json(folder / "runs" / record.run / "record.json", dataclasses.asdict(record))
                yield record

    done = run_study(small_study(tmp_path / "small.toml"), tmp_path / "out", Mixed())
    assert "different kinds of processors (Xeon: " in status_text(done.folder)
    assert "different kinds of processors" in (done.folder / "report.html").read_text(encoding="utf8")
