"""The command line: what a person types and reads."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from fakelab import FakeLab
from planlaws import known_law

from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.law.planning.at_target import Target
from infusionlaw.law.planning.planfile import read_plan
from infusionlaw.law.scaling.lawfile import write_law
from infusionlaw.pipeline import run_study
from infusionlaw.runs.table import write_table


def infusionlaw(*args, cwd=None):
    command = [sys.executable, "-m", "infusionlaw.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    shares = (0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98)
    rows, _ = simulate(World(), [14e3, 28e3, 56e3], [1.5e6], shares, 2, np.random.default_rng(1))
    path = tmp_path_factory.mktemp("table") / "table.csv"
    write_table(path, rows)
    return path


def test_fit_then_predict(table, tmp_path) -> None:
    fitted = infusionlaw("fit", table, "--out", tmp_path / "law.json", "--points", tmp_path / "points.json")
    assert fitted.returncode == 0, fitted.stderr
    assert "collapse" in fitted.stdout
    planned = infusionlaw(
        "predict", tmp_path / "law.json", "--size", "112e3", "--tokens", "1.5e6", "--out", tmp_path / "plan.json"
    )
    assert planned.returncode == 0, planned.stderr
    plan = read_plan(tmp_path / "plan.json")
    assert plan.target == Target(112e3, 1.5e6, 128, 16.0, 0.05, 0.05)
    for part in (plan.points["collapse"], plan.points["acquisition"], plan.dose):
        for known in (part.share, part.exposures):
            assert known.low is not None and known.value is not None and known.high is not None
            assert known.low <= known.value <= known.high
    assert plan.support.size_factor == pytest.approx(2)
    assert plan.status == "outside support" and plan.status in planned.stdout
    keys = json.loads((tmp_path / "plan.json").read_text())["plan"]
    assert keys["dose"]["share"]["value"] == plan.dose.share.value


def test_predict_takes_bounds_and_refuses_to_go_far_unless_told_to(tmp_path) -> None:
    write_law(tmp_path / "law.json", known_law())
    asked = ("predict", tmp_path / "law.json", "--tokens", "1.5e6", "--out", tmp_path / "plan.json", "--size")
    far = infusionlaw(*asked, "7e9")
    assert far.returncode == 2 and far.stderr.count("\n") == 1 and "--extrapolate" in far.stderr
    assert not (tmp_path / "plan.json").exists()
    told = infusionlaw(*asked, "7e9", "--extrapolate", "--tolerance", "none", "--risk", "0.1", "--facts", "50")
    assert told.returncode == 0, told.stderr
    target = read_plan(tmp_path / "plan.json").target
    assert (target.tolerance, target.risk, target.facts) == (None, 0.1, 50)
    assert "175,000 times the largest tried" in told.stdout
    assert "give a number of bits per byte, or none" in infusionlaw(*asked, "2e4", "--tolerance", "little").stderr


def test_a_bad_table_is_one_sentence_and_status_two(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("size,tokens,share,recall\n14e3,1e6,1.7,0.4\n")
    bad = infusionlaw("fit", tmp_path / "t.csv", cwd=tmp_path)
    assert bad.returncode == 2
    assert bad.stderr.count("\n") == 1
    assert 'row 2: "share" is 1.7' in bad.stderr
    assert not (tmp_path / "law.json").exists()


def test_init_writes_a_study_that_is_found_valid_and_status_shows_it(tmp_path) -> None:
    assert infusionlaw("init", tmp_path / "mine.toml").returncode == 0
    again = infusionlaw("init", tmp_path / "mine.toml")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    text = (tmp_path / "mine.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace("\ntokens", "\ntoken", 1))
    bad = infusionlaw("run", tmp_path / "mine.toml")
    assert bad.returncode == 2
    assert 'did you mean "tokens"?' in bad.stderr


def test_power_needs_only_a_study_file(tmp_path) -> None:
    (tmp_path / "s.toml").write_text(
        'name = "s"\n[design]\nsizes = [14_000]\ntokens = [1_500_000]\nshares = [0.3]\nseeds = [1]\n'
    )
    told = infusionlaw("power", tmp_path / "s.toml", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "Warning: no collapse can be seen by this design" in told.stdout
    assert "its largest dose, a share of 0.3, is too small" in told.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["s.toml"]


def test_status_of_a_finished_study_and_of_no_study(tmp_path) -> None:
    infusionlaw("init", tmp_path / "mine.toml")
    run_study(tmp_path / "mine.toml", tmp_path / "out", FakeLab())
    shown = infusionlaw("status", tmp_path / "out")
    assert shown.returncode == 0, shown.stderr
    assert "48 runs, 48 done" in shown.stdout
    assert "8 runs, 8 done" in shown.stdout
    written = infusionlaw("table", tmp_path / "out", tmp_path / "runs.csv")
    assert written.stdout == f"wrote 56 runs to {tmp_path / 'runs.csv'}\n"
    assert (tmp_path / "runs.csv").read_bytes() == (tmp_path / "out" / "table.csv").read_bytes()
    missing = infusionlaw("status", tmp_path / "nowhere")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1


def test_report_can_be_written_again(tmp_path) -> None:
    infusionlaw("init", tmp_path / "mine.toml")
    study = run_study(tmp_path / "mine.toml", tmp_path / "out", FakeLab())
    before = (study.folder / "report.html").read_text()
    (study.folder / "report.html").unlink()
    assert infusionlaw("report", study.folder).returncode == 0
    assert (study.folder / "report.html").read_text() == before


def test_help_lists_the_commands() -> None:
    out, names = infusionlaw("--help").stdout, "init run power status table fit predict report export"
    assert all(re.search(rf"^\W*{name}\s", out, re.MULTILINE) for name in names.split())
