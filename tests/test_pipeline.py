"""The chain with a simulated lab: order, resuming, predictions before outcomes, comparison."""

import hashlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO

import pytest
from fakelab import Died, FakeLab
from rich.console import Console

from infusionlaw.console import ConsoleWatch
from infusionlaw.errors import InputError
from infusionlaw.files import read_json
from infusionlaw.lab import Watch
from infusionlaw.law.design.simulate import TrueLaw, World
from infusionlaw.law.dose import Interval
from infusionlaw.law.planning.compare import compare, read_comparison
from infusionlaw.law.planning.plan import read_plan
from infusionlaw.law.planning.predictions import read_predictions
from infusionlaw.law.points.point import read_points
from infusionlaw.law.scaling.law import read_law
from infusionlaw.pipeline import dry_run, run_study
from infusionlaw.report.status import status_text
from infusionlaw.runs.table import read_table, write_table
from infusionlaw.study.study import locked, open_folder

STUDY = """
name = "simulated"
[design]
sizes = [14_000, 56_000]
tokens = [1_500_000]
shares = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97]
seeds = [1, 2]
[held_out]
sizes = [112_000]
seeds = [1, 2]
[law]
draws = 100
"""
OUTPUT = ("table.csv", "fitted.csv", "points.json", "law.json", "plan.json", "comparison.json", "report.html")


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


class Looking(FakeLab):
    """Notes what is predicted whenever it is asked for runs: whether these are held out, their sizes, the files."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def execute(self, file, folder, specs, on_progress=lambda progress: None):
        predictions = [read_predictions(path) for path in (folder / "predictions").glob("*.json")]
        self.seen.append(([spec.held_out for spec in specs], {spec.size for spec in specs}, predictions))
        yield from super().execute(file, folder, specs, on_progress)


class Ear(Watch):
    """Hears what a study says, and of which finished runs."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.recorded: list[str] = []

    def stage(self, text):
        self.stages.append(text)

    def finished(self, spec, record):
        self.recorded.append(record.run)


@pytest.fixture(scope="module")
def heard() -> Ear:
    return Ear()


@pytest.fixture(scope="module")
def done(tmp_path_factory, heard):
    folder = tmp_path_factory.mktemp("done")
    (folder / "study.toml").write_text(STUDY)
    half = folder / "out" / "corpus" / ".train.bin.123.part"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    (folder / "out" / ".infusionlaw").touch()  # what is written first
    lab = Looking()
    return run_study(folder / "study.toml", folder / "out", lab, heard), lab


@pytest.fixture
def copy(done, tmp_path):
    """A copy of the finished study's folder to go on with."""
    return shutil.copytree(done[0].folder, tmp_path / "out")


def test_everything_is_written_and_says_what_happened(done) -> None:
    study, lab = done
    assert all((study.folder / name).exists() for name in OUTPUT)
    assert len(read_table(study.folder / "table.csv")) == len(lab.log) == (2 + 1) * 8 * 2
    assert {point.size for point in read_points(study.folder / "points.json")} == {14e3, 56e3, 112e3}


def test_the_prediction_is_on_disk_before_the_held_out_runs_and_names_its_table(done) -> None:
    study, lab = done
    assert [(set(held), len(predictions)) for held, _, predictions in lab.seen] == [({False}, 0), ({True}, 1)]
    (prediction,) = lab.seen[1][2]
    table = (study.folder / "fitted.csv").read_bytes()
    assert prediction.table_sha256 == hashlib.sha256(table).hexdigest()
    assert prediction.already_known == 0
    target = prediction.predictions[0].plan.target
    assert (target.size, target.tokens, target.facts) == (112_000, 1_500_000, 128)
    assert "T" in prediction.written


def test_the_law_recovers_a_known_world_and_the_comparison_says_so(done) -> None:
    study, _ = done
    (collapse,) = read_comparison(study.folder / "comparison.json").of("collapse")
    assert collapse.status == "found"
    assert abs(collapse.error_dex) < 0.4
    assert collapse.inside is True


@pytest.mark.parametrize("dies_after", [0, 32, 39])
def test_a_study_killed_anywhere_ends_in_the_same_bytes(done, tmp_path, study, dies_after) -> None:
    with pytest.raises(Died):
        run_study(study, tmp_path / "out", FakeLab(dies_after=dies_after))
    known = {path.parent.name for path in (tmp_path / "out" / "runs").glob("*/record.json")}
    lab = FakeLab()
    again = run_study(study, tmp_path / "out", lab)
    assert known.isdisjoint(spec.id for spec in lab.log)
    assert len(known) == dies_after
    for name in ("table.csv", "fitted.csv", "points.json", "law.json", "plan.json"):
        assert (again.folder / name).read_bytes() == (done[0].folder / name).read_bytes(), name


def test_a_target_added_later_is_predicted_before_it_is_trained_and_what_was_said_stays(copy, study) -> None:
    (path,) = (copy / "predictions").glob("*.json")
    before, lab = read_predictions(path), Looking()
    study.write_text(STUDY.replace("[112_000]", "[112_000, 224_000]"))
    run_study(study, copy, lab)
    after, compared = read_predictions(path), read_comparison(copy / "comparison.json")
    (seen,) = [(sizes, predictions) for held, sizes, predictions in lab.seen if held]
    assert seen == ({224_000}, [after])
    assert after.predictions[0] == before.predictions[0] and after.written == before.written
    assert after.predictions[1].asked == (224_000, 1_500_000)
    assert after.predictions[1].held_out_runs_already_known == compared.already_known == 0
    assert {row.size for row in compared.points} == {112_000, 224_000}


def test_a_tolerance_that_was_changed_since_is_not_compared_with_what_was_predicted_of_another(copy, study) -> None:
    def kinds() -> set[str]:
        return {row.kind for row in read_comparison(copy / "comparison.json").points}

    assert "tolerance" in kinds()
    study.write_text(STUDY.replace("[law]", "[law]\ntolerance = 0.3"))
    run_study(study, copy, FakeLab())
    assert kinds() == {"acquisition", "collapse", "retention"}


def test_two_sizes_that_are_one_model_are_refused_before_any_training(tmp_path, study) -> None:
    class Coarse(FakeLab):
        def check(self, folder, specs):
            return [(round(spec.size, -4), spec.tokens) for spec in specs]

    study.write_text(STUDY.replace("sizes = [14_000,", "sizes = [13_000, 14_000,"))
    with pytest.raises(InputError, match=r"size 13000 .* and size 14000 .* are the same model and token count, 10,000"):
        run_study(study, tmp_path / "out", lab := Coarse())
    assert not lab.log


def test_a_table_of_other_runs_in_the_place_of_runs_done_elsewhere_is_refused(done, tmp_path, study) -> None:
    rows = read_table(done[0].folder / "table.csv")
    study.write_text(STUDY.replace("seeds = [1, 2]", "seeds = [3]"))
    (tmp_path / "out").mkdir()
    write_table(tmp_path / "out" / "runs.csv", rows)
    with pytest.raises(
        InputError, match=r"none of its 48 runs is one of this study's, which have corpus abc and recipe 2026-11"
    ):
        run_study(study, tmp_path / "out", FakeLab())


def test_runs_done_elsewhere_count_as_done(done, tmp_path, study) -> None:
    with pytest.raises(Died):
        run_study(study, tmp_path / "elsewhere", FakeLab(dies_after=36))
    rows = open_folder(tmp_path / "elsewhere").table
    write_table(tmp_path / "here" / "runs.csv", rows)
    lab = FakeLab()
    here = run_study(study, tmp_path / "here", lab)
    assert len(rows) == 36
    assert len(lab.log) == 48 - 36
    for name in ("table.csv", "fitted.csv"):
        assert (here.folder / name).read_bytes() == (done[0].folder / name).read_bytes(), name
    for name in ("points.json", "law.json", "plan.json"):
        assert read_json(here.folder / name) == read_json(done[0].folder / name), name


def test_runs_from_elsewhere_that_have_no_name_are_one_sentence(tmp_path, study) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "runs.csv").write_text("size,tokens,share,recall\n14000,1500000,.1,.5\n")
    with pytest.raises(InputError, match=r'runs\.csv: run 1 of it has no "run"'):
        run_study(study, tmp_path / "out", FakeLab())


def test_a_finished_study_trains_nothing_and_keeps_its_prediction(done) -> None:
    study, _ = done
    (path,) = (study.folder / "predictions").iterdir()
    before, lab = path.read_bytes(), FakeLab(dies_after=0)
    with opened() as paths:
        run_study(study.folder / "study.toml", study.folder, lab)
    assert path.read_bytes() == before
    assert not lab.log
    assert set(records(paths).values()) == {1}


def test_the_state_of_a_study_is_told_from_one_reading_of_each_record(done) -> None:
    study, _ = done
    with opened() as paths:
        assert "32 done" in status_text(study.folder)
    assert set(records(paths).values()) == {1} and len(records(paths)) == 48


def records(paths: list[str]) -> Counter[str]:
    """How often each record.json was opened."""
    return Counter(path for path in paths if path.endswith("record.json"))


WATCHED: list[list[str]] = []


def _hook(event: str, arguments: tuple) -> None:
    if WATCHED and event == "open":
        WATCHED[-1].append(str(arguments[0]))


@contextmanager
def opened() -> Iterator[list[str]]:
    """The paths of all files that this process opens within the block."""
    if not hasattr(opened, "hooked"):
        sys.addaudithook(_hook)
        opened.hooked = True
    WATCHED.append([])
    try:
        yield WATCHED[-1]
    finally:
        WATCHED.pop()


def test_more_seeds_make_a_second_prediction_that_owns_up(copy, study) -> None:
    study.write_text(STUDY.replace("seeds = [1, 2]", "seeds = [1, 2, 3]", 1))
    run_study(study, copy, FakeLab())
    files = sorted((copy / "predictions").iterdir(), key=os.path.getmtime)
    assert [read_predictions(f).already_known for f in files] == [0, 16]


def test_diverged_runs_do_not_stop_the_study(tmp_path, study) -> None:
    study.write_text(STUDY.replace("14_000, 56_000", "14_000"))
    done = run_study(study, tmp_path / "out", FakeLab(diverges=(0.97,)))
    rows = read_table(done.folder / "table.csv")
    assert sum(row.status == "diverged" for row in rows) == 4
    assert "diverged" in (done.folder / "report.html").read_text()


def test_all_runs_diverged_is_one_sentence(tmp_path, study) -> None:
    with pytest.raises(InputError, match="every run diverged"):
        run_study(study, tmp_path / "out", FakeLab(diverges=(0.0, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97)))


def test_a_world_without_collapse_is_told_as_such(tmp_path, study) -> None:
    study.write_text(STUDY.replace("seeds = [1, 2]", "seeds = [9, 10]"))  # one curve in twenty falls by chance
    done = run_study(study, tmp_path / "out", FakeLab(World(collapse=None, spread=0.0)))
    points = [p for p in read_points(done.folder / "points.json") if p.kind == "collapse"]
    assert {point.status for point in points} == {"not reached"}
    plan = read_plan(done.folder / "plan.json")
    assert plan.constraints[0].name == "collapse of recall" and plan.constraints[0].share is None
    assert "none was located" in plan.constraints[0].reason
    assert plan.dose.share.value <= 0.98


def test_a_hit_and_a_miss(done) -> None:
    study, _ = done
    points = [p for p in read_points(study.folder / "points.json") if p.size == 112_000]
    (path,) = (study.folder / "predictions").iterdir()
    prediction = read_predictions(path)
    (item,) = prediction.predictions
    astray = replace(item.plan.points["collapse"], share=Interval(0.02, 0.01, 0.03))
    plan = replace(item.plan, points=item.plan.points | {"collapse": astray})
    (row,) = compare(replace(prediction, predictions=(replace(item, plan=plan),)), points).of("collapse")
    assert row.inside is False
    assert row.error_dex > 1


def test_what_a_killed_process_left_half_written_is_removed(done) -> None:
    assert not list(done[0].folder.rglob("*.part"))


def test_one_process_at_a_time(tmp_path, study) -> None:
    with locked(tmp_path / "out"), pytest.raises(InputError, match="another process"):
        run_study(study, tmp_path / "out", FakeLab())


def test_a_watch_hears_every_run(done, heard) -> None:
    assert heard.recorded == [spec.id for spec in done[1].log]


def test_runs_of_other_facts_or_text_are_left_and_it_is_said(tmp_path, study) -> None:
    class Changed(FakeLab):
        def prepare(self, file, folder):
            super().prepare(file, folder)
            return "changed"

    with pytest.raises(Died):
        run_study(study, tmp_path / "out", FakeLab(dies_after=5))
    first, second = Ear(), Ear()
    with pytest.raises(Died):
        run_study(study, tmp_path / "out", FakeLab(dies_after=1), first)
    with pytest.raises(Died):
        run_study(study, tmp_path / "out", Changed(dies_after=1), second)
    assert not any("another corpus" in text for text in first.stages)
    assert any(
        text.startswith("finished runs of another corpus, which are left as they are: 6 (") for text in second.stages
    )


def test_a_dry_run_trains_nothing(tmp_path, study) -> None:
    lab = FakeLab()
    estimates = dry_run(study, tmp_path / "out", lab)
    assert len(estimates) == 48
    assert not lab.log


def test_either_sign_of_the_law_is_found(tmp_path, study) -> None:
    down = World(collapse=TrueLaw(0.6, -0.8))
    done = run_study(study, tmp_path / "out", FakeLab(down))
    exponent = read_law(done.folder / "law.json").of("collapse").coefficients["size"]
    assert exponent.high is not None and exponent.high < 0


def test_a_name_that_is_no_folder_needs_one(tmp_path, study, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = study.read_text(encoding="utf8")
    name = next(line for line in text.splitlines() if line.startswith("name"))
    path = tmp_path / "other.toml"
    path.write_text(text.replace(name, 'name = "../elsewhere"'), encoding="utf8")
    with pytest.raises(InputError, match="which is no name of a folder; change it, or say --out"):
        run_study(path, None, FakeLab())
    assert not (tmp_path.parent / "elsewhere").exists()


def test_held_out_models_are_trained_at_the_doses_that_the_prediction_looks_at(tmp_path, study) -> None:
    study.write_text(STUDY.replace("sizes = [112_000]", "sizes = [112_000]\nadvised = true"))
    lab = FakeLab()
    with ConsoleWatch(Console(file=StringIO())) as watch:  # hears of runs that nobody knew of when the study began
        done = run_study(study, tmp_path / "out", lab, watch)
    (path,) = (done.folder / "predictions").iterdir()
    prediction, comparison = read_predictions(path), read_comparison(done.folder / "comparison.json")
    assert prediction.already_known == 0
    doses = {float(f"{forecast.share:.5g}") for forecast in prediction.predictions[0].plan.forecast}
    assert len(doses) == 4
    assert doses <= {spec.dose for spec in lab.log if spec.held_out}
    assert len(lab.log) == 48 + 2 * len(doses - {0.0, 0.97})  # two seeds; 0 and .97 are run anyway
    seen = {(row.name, row.score) for row in comparison.scores}
    assert len(seen) == 4 * 3
    assert all(row.runs == 2 for row in comparison.scores)
    (regret,) = comparison.regrets
    assert 0 <= regret.regret < 0.3
    page = (done.folder / "report.html").read_text(encoding="utf8")
    assert "<td>four times</td>" in page and "the advised dose gave a recall of" in page
    again = FakeLab(dies_after=0)
    run_study(study, tmp_path / "out", again)
    assert not again.log


def test_a_dose_looked_at_that_the_study_forbids_or_has_is_not_run(tmp_path, study) -> None:
    text = STUDY.replace("sizes = [112_000]", "sizes = [112_000]\nadvised = true")
    study.write_text(text + "[infusion]\nmax_exposures = 700\n")  # four times the advised dose is 710
    lab = FakeLab()
    done = run_study(study, tmp_path / "out", lab)
    (path,) = (done.folder / "predictions").iterdir()
    looked_at = [forecast.exposures for forecast in read_predictions(path).predictions[0].plan.forecast]
    assert max(looked_at) > 700
    assert len(lab.log) == 48 + 2 * 2
    assert len({spec.id for spec in lab.log}) == len(lab.log)


def test_a_size_and_budget_that_the_law_is_fitted_to_is_no_target(tmp_path, study) -> None:
    study.write_text(STUDY.replace("sizes = [112_000]", "sizes = [56_000, 112_000]\ndoses = [0.6, 0.98]"))
    lab = FakeLab()
    done = run_study(study, tmp_path / "out", lab)
    assert {spec.size for spec in lab.log if spec.held_out} == {112_000}
    (path,) = (done.folder / "predictions").iterdir()
    assert [item.plan.target.size for item in read_predictions(path).predictions] == [112_000]
