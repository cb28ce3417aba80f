"""The command line: what a person types and reads."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakelab import FakeLab, small_study
from planlaws import known_law

from infusionlaw import __version__, find_points, read_plan
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.law.scaling.law import write_law
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
    assert (plan.target.size, plan.target.tokens, plan.target.facts) == (112e3, 1.5e6, 128)
    for part in (plan.dose, plan.points["collapse"], plan.points["acquisition"]):
        for dose in (part.share, part.exposures):
            assert dose.low <= dose.value <= dose.high
    assert plan.support.size_factor == pytest.approx(2)
    assert plan.status == "outside support"
    assert plan.target.tolerance == plan.target.risk == 0.05


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
    bad = infusionlaw(*asked, "2e4", "--tolerance", "little").stderr
    assert bad == 'error: --tolerance is "little", which is not a number; write it like 0.05, or none for any rise\n'


def test_numbers_are_read_as_people_write_them(tmp_path) -> None:
    write_law(tmp_path / "law.json", known_law())
    asked = ("predict", tmp_path / "law.json", "--out", tmp_path / "plan.json", "--size")
    assert infusionlaw(*asked, "40k", "--tokens", "1.5M", "--risk", "10%", "--facts", "1e2").returncode == 0
    plan = read_plan(tmp_path / "plan.json")
    assert (plan.target.size, plan.target.tokens, plan.target.risk, plan.target.facts) == (40e3, 1.5e6, 0.1, 100)
    for size, tokens, risk in (
        ("40x", "1.5M", "0.1"),
        ("40k", "20%", "0.1"),
        ("40k", "1e6M", "0.1"),
        ("40k", "1M", "1B"),
    ):
        bad = infusionlaw(*asked, size, "--tokens", tokens, "--risk", risk)
        assert bad.returncode == 2 and "which is not a number" in bad.stderr and bad.stderr.count("\n") == 1


def test_fit_says_why_a_point_has_its_status(tmp_path) -> None:
    rows, _ = simulate(World(), [14e3, 28e3], [1.5e6], (0, 0.1, 0.2, 0.3), 2, np.random.default_rng(1))
    write_table(tmp_path / "t.csv", rows)
    told = infusionlaw("fit", tmp_path / "t.csv", "--out", tmp_path / "law.json").stdout
    for point in find_points(rows):
        assert point.status == "found" or point.note in told


def test_every_help_fits_a_screen_and_shows_an_example_that_has_its_options() -> None:
    for name in ("init", "run", "power", "status", "table", "fit", "predict", "report", "export"):
        shown = subprocess.run(
            [sys.executable, "-m", "infusionlaw", name, "--help"],
            capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"},
        ).stdout  # fmt: skip
        assert len(shown.splitlines()) <= 24, name
        (example,) = re.findall(r"Example: infusionlaw (.*)", shown)
        assert example.split()[0] == name and all(word in shown for word in re.findall("--[a-z-]+", example))


def test_the_version_is_told() -> None:
    assert infusionlaw("--version").stdout == f"infusionlaw {__version__}\n"


def test_a_runner_is_found_by_its_name(tmp_path) -> None:
    info = tmp_path / "other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[infusionlaw.runners]\nfake = fakelab:FakeLab\nbroken = no_such_package:Lab\n"
    )
    paths = [str(tmp_path), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    study = tmp_path / "s.toml"
    study.write_text('name = "s"\n[design]\nsizes = ["14k"]\ntokens = ["1.5M"]\nshares = ["30%", 0.6]\nseeds = [1]\n')

    def run(*more):
        command = [sys.executable, "-m", "infusionlaw", "run", str(study), "--out", str(tmp_path / "out"), *more]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env)

    unknown = run("--runner", "fakes")
    assert unknown.returncode == 2 and 'no runner is named "fakes"; did you mean "fake"?' in unknown.stderr
    lacking = run("--runner", "broken")
    assert lacking.returncode == 2 and "this command needs no_such_package" in lacking.stderr
    assert lacking.stderr.count("\n") == 1
    study.write_text(study.read_text() + '[training]\nrunner = "fake"\n')
    assert run().returncode == 0
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 3


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
    small_study(tmp_path / "mine.toml")
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


def test_report_can_be_written_anew(tmp_path) -> None:
    small_study(tmp_path / "mine.toml")
    study = run_study(tmp_path / "mine.toml", tmp_path / "out", FakeLab())
    before = (study.folder / "report.html").read_text()
    (study.folder / "report.html").unlink()
    assert infusionlaw("report", study.folder).returncode == 0
    assert (study.folder / "report.html").read_text() == before


def test_help_lists_the_commands() -> None:
    out, names = infusionlaw("--help").stdout, "init run power status table fit predict report export"
    assert all(re.search(rf"^\W*{name}\s", out, re.MULTILINE) for name in names.split())


def test_the_law_and_the_command_line_start_where_there_is_no_fcntl(table, tmp_path) -> None:
    code = "import sys; sys.modules['fcntl'] = None; from infusionlaw import cli, Study; cli.main()"
    for args in (["fit", table, "--out", tmp_path / "law.json"], ["status", tmp_path]):
        command = [sys.executable, "-c", code, *map(str, args)]
        assert "fcntl" not in subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert (tmp_path / "law.json").exists()
