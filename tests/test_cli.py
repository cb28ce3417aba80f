"""The command line: what a person types and reads."""

import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import NamedTuple

import numpy as np
import pytest
from fakelab import FakeLab, small_study
from planlaws import known_law

from infusionlaw import __version__, find_points, read_plan
from infusionlaw.cli import main
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.law.scaling.law import write_law
from infusionlaw.pipeline import run_study
from infusionlaw.runs.table import write_table


class Ran(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def infusionlaw(*args, cwd="."):
    """Run a command in this process: starting another takes longer than most commands."""
    out, err, code = StringIO(), StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["infusionlaw", *map(str, args)])
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Ran(code, out.getvalue(), err.getvalue())


TABLES = ["fit", "surface", "ask", "power", "predict", "report"]
COMMANDS = ["init", "run", "runs", "tell", "tasks", "score", "status", "verify", "table", "export", "infuse"]
COMMANDS += ["restore", *TABLES]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    shares = (0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98)
    rows, _ = simulate(World(), [14e3, 28e3, 56e3], [1.5e6], shares, 2, np.random.default_rng(1))
    path = tmp_path_factory.mktemp("table") / "table.csv"
    write_table(path, rows)
    return path


@pytest.fixture(scope="module")
def uncounted(tmp_path_factory):
    """A table without a token count."""
    shares = (0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95)
    rows, _ = simulate(World(), [14e3, 28e3, 56e3], [1.5e6], shares, 1, np.random.default_rng(1))
    path = tmp_path_factory.mktemp("uncounted") / "table.csv"
    lines = [f"{row.size:.0f},{row.share},{row.recall:.4f},{row.retention:.4f},0.2" for row in rows]
    path.write_text("\n".join(["size,share,recall,retention,chance", *lines]) + "\n")
    return path


def test_a_table_without_tokens_is_fitted_over_size_and_asked_without_them(uncounted, tmp_path) -> None:
    fitted = infusionlaw("fit", uncounted, cwd=tmp_path)
    assert fitted.returncode == 0, fitted.stderr
    assert fitted.stdout.count("no token count is given") == 1 and "exponent of size" in fitted.stdout
    assert "exponent of token" not in fitted.stdout and " 1 tokens" not in fitted.stdout
    planned = infusionlaw("predict", "law.json", "--size", "100k", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "Plan for 100k parameters. Status" in planned.stdout and "infused tokens" not in planned.stdout
    assert "holds for the token count that these runs have" in planned.stdout.replace("\n", " ")
    given = infusionlaw("predict", "law.json", "--size", "100k", "--tokens", "2B", cwd=tmp_path)
    assert given.returncode == 2 and "leave --tokens out" in given.stderr


def test_the_same_table_with_its_tokens_says_the_same_and_needs_them(uncounted, tmp_path) -> None:
    both = infusionlaw("fit", uncounted, cwd=tmp_path)
    with_tokens = tmp_path / "table.csv"
    first, *lines = uncounted.read_text().splitlines()
    with_tokens.write_text("\n".join([f"{first},tokens", *(f"{line},1500000" for line in lines)]))
    told = infusionlaw("fit", with_tokens, cwd=tmp_path)
    assert both.stdout.splitlines()[-2].startswith("law of") and both.stdout.splitlines()[-2] in told.stdout
    lacking = infusionlaw("predict", "law.json", "--size", "100k", cwd=tmp_path)
    assert lacking.returncode == 2 and "--tokens" in lacking.stderr


def test_ask_and_report_take_a_table_without_tokens(uncounted, tmp_path) -> None:
    runs = infusionlaw("ask", uncounted)
    assert runs.returncode == 0, runs.stderr
    assert all(row.split()[2] == "-" for row in runs.stdout.splitlines() if row.startswith(("collapse", "retention")))
    page = infusionlaw("report", uncounted, "--out", tmp_path / "page.html")
    assert page.returncode == 0, page.stderr
    text = (tmp_path / "page.html").read_text()
    assert '"tokensStated": false' in text


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
    bad = infusionlaw(*asked, "40k", "--tokens", "200.000")
    assert bad.stderr == 'error: --tokens is "200.000", which is below 1,000; write it like 300M, 1.3B or 1e9\n'


def test_fit_says_why_a_point_has_its_status(tmp_path) -> None:
    rows, _ = simulate(World(), [14e3, 28e3], [1.5e6], (0, 0.1, 0.2, 0.3), 2, np.random.default_rng(1))
    write_table(tmp_path / "t.csv", rows)
    told = infusionlaw("fit", tmp_path / "t.csv", "--out", tmp_path / "law.json").stdout
    for point in find_points(rows):
        assert point.status == "found" or point.note in told


def test_every_help_fits_a_screen_and_shows_an_example_that_has_its_options(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in (
        "init",
        "run",
        "power",
        "status",
        "verify",
        "table",
        "fit",
        "surface",
        "runs",
        "ask",
        "tell",
        "predict",
        "report",
        "export",
        "infuse",
        "restore",
        "tasks",
        "score",
    ):
        shown = infusionlaw(name, "--help").stdout
        assert len(shown.splitlines()) <= 24, name
        (example,) = re.findall(r"Example: infusionlaw (.*)", shown)
        assert example.split()[0] == name and all(word in shown for word in re.findall("--[a-z-]+", example))


def test_the_version_is_told() -> None:
    for module in ("infusionlaw", "infusionlaw.cli"):
        command = [sys.executable, "-m", module, "--version"]
        assert subprocess.run(command, capture_output=True, text=True).stdout == f"infusionlaw {__version__}\n"


def test_a_runner_is_found_by_its_name(tmp_path, monkeypatch) -> None:
    info = tmp_path / "other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[infusionlaw.runners]\nfake = fakelab:FakeLab\nbroken = no_such_package:Lab\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    study = tmp_path / "s.toml"
    study.write_text('name = "s"\n[design]\nsizes = ["14k"]\ntokens = ["1.5M"]\nshares = ["30%", 0.6]\nseeds = [1]\n')

    def run(*more):
        return infusionlaw("run", study, "--out", tmp_path / "out", *more)

    unknown = run("--on", "fakes")
    assert unknown.returncode == 2 and 'no runner is named "fakes"; did you mean "fake"?' in unknown.stderr
    lacking = run("--on", "broken")
    assert lacking.returncode == 2 and "this command needs no_such_package" in lacking.stderr
    assert lacking.stderr.count("\n") == 1
    study.write_text(study.read_text() + '[run]\non = "fake"\n')
    assert run().returncode == 0
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 3


def test_a_bad_table_is_one_sentence_and_status_two(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("size,tokens,share,recall\n14e3,1e6,170,0.4\n")
    bad = infusionlaw("fit", tmp_path / "t.csv", cwd=tmp_path)
    assert bad.returncode == 2
    assert bad.stderr.count("\n") == 1
    assert 'row 2: "share" is 170' in bad.stderr
    assert not (tmp_path / "law.json").exists()


def test_what_is_said_of_a_table_is_kept_unless_it_is_wrong(tmp_path) -> None:
    text = '"State","config/n_params","train_tokens","share","eval/med/acc","eval/mmlu/acc"\n'
    text += "".join(f"finished,14e3,1e6,{share},{score},50\n" for share, score in ((0, 30), (10, 60), (30, 50)))
    (tmp_path / "t.csv").write_text(text + "crashed,14e3,1e6,50,1,50\n")
    asked = ("fit", "t.csv", "--column", "recall=eval/med/acc", "--where", "State in finished, crashed")
    bad = infusionlaw(*asked, "--column", "retention=eval/mlu/acc", cwd=tmp_path)
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and not (tmp_path / "t.csv.columns.toml").exists()
    question = infusionlaw(*asked, cwd=tmp_path)
    assert question.returncode == 2 and "add --percent" in question.stderr and question.stderr.count("\n") == 1
    good = infusionlaw("fit", "t.csv", "--percent", "share,eval/med/acc", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert "1 run did not finish" in good.stdout and "kept in t.csv.columns.toml" in good.stdout
    again = infusionlaw("fit", "t.csv", cwd=tmp_path)
    assert again.returncode == 0 and "t.csv.columns.toml" in again.stdout
    for wrong in (("--column", "recall"), ("--unit", "furlongs"), ("--where", "State")):
        bad = infusionlaw("fit", "t.csv", *wrong, cwd=tmp_path)
        assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and wrong[1] in bad.stderr


@pytest.mark.parametrize(
    "rows",
    [["14e3,1e6,0.3,0.5"], ["14e3,1e6,0.3,0.5", "28e3,1e6,0.3,0.7"], ["14e3,1e6,0,0.1", "14e3,1e6,0.3,0.5"]],
)
def test_a_table_of_one_row_or_one_dose_is_refused(tmp_path, rows) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["size,tokens,share,recall", *rows]))
    bad = infusionlaw("fit", tmp_path / "t.csv", cwd=tmp_path)
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1
    assert "there is no size and token count at two doses above 0" in bad.stderr
    assert not (tmp_path / "law.json").exists()


def test_an_error_holds_no_control_characters_and_is_one_line(tmp_path) -> None:
    bad = infusionlaw("fit", tmp_path / "a\x1b[2J\nb\u202e\x9b.csv")
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1
    assert r"a\x1b[2J\nb\u202e\x9b.csv: no such file" in bad.stderr


def test_a_table_where_a_law_or_a_study_is_wanted_is_to_be_fitted_first(table) -> None:
    for command in (("predict", table, "--size", "1M", "--tokens", "1M"), ("run", table)):
        bad = infusionlaw(*command)
        assert bad.returncode == 2
        assert bad.stderr == f"error: {table}: this is a table; fit it first: infusionlaw fit {table}\n"


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


def test_a_surface_is_fitted_from_sizes_and_compute(tmp_path) -> None:
    sizes, tokens = (1e7, 4e7, 1.6e8, 6.4e8), (1e9, 4e9, 1.6e10)
    rows = [
        f"{n:.0f},{6 * n * d:.6g},{1.8 + 400 / n**0.34 + 2000 / d**0.36:.6f},{'late' if d == 1.6e10 else 'early'}"
        for n in sizes
        for d in tokens
    ]
    path = tmp_path / "losses.csv"
    path.write_text("\n".join(["config/Model Size,Training FLOP,last,when", *rows]))
    asked = ("surface", path, "chinchilla", "--column", "loss=last", "--at", "size=1.3B,tokens=26B")
    told = infusionlaw(*asked)
    assert told.returncode == 0, told.stderr
    assert "12 runs, converged" in told.stdout and "at size 1.3B, tokens 26B: " in told.stdout
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("alpha")]
    assert float(line.split()[1]) == pytest.approx(0.34, abs=0.002)
    assert "8 runs" in infusionlaw(*asked, "--where", "when = early").stdout
    again = infusionlaw("surface", path, "chinchilla")
    assert "8 runs" in again.stdout and "losses.csv.columns.toml" in again.stdout
    bad = infusionlaw("surface", path, "chinchila")
    assert bad.returncode == 2 and 'did you mean "chinchilla"?' in bad.stderr
    bad = infusionlaw(*asked[:-1], "size=many")
    assert bad.returncode == 2 and "--at" in bad.stderr


def test_next_and_power_of_a_table(table) -> None:
    told = infusionlaw("ask", table)
    assert told.returncode == 0 and told.stdout.startswith("Runs to add, those that save most first:"), told.stderr
    told = infusionlaw("power", table)
    assert told.returncode == 0 and "two more seeds" in told.stdout, told.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return run_study(small_study(folder / "mine.toml"), folder / "out", FakeLab()).folder


def test_status_of_a_finished_study_and_of_no_study(finished, tmp_path) -> None:
    shown = infusionlaw("status", finished)
    assert shown.returncode == 0, shown.stderr
    assert "24 runs, 24 done" in shown.stdout
    assert "6 runs, 6 done" in shown.stdout
    written = infusionlaw("table", finished, tmp_path / "runs.csv")
    assert written.stdout == f"wrote 30 runs to {tmp_path / 'runs.csv'}\n"
    assert (tmp_path / "runs.csv").read_bytes() == (finished / "table.csv").read_bytes()
    missing = infusionlaw("status", tmp_path / "nowhere")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1


def test_verify_holds_and_a_break_is_one_sentence_and_status_two(finished, tmp_path) -> None:
    held = infusionlaw("verify", finished)
    assert held.returncode == 0 and held.stdout.startswith(f"{finished} holds: 30 runs"), held.stderr
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "law.json").write_text((copy / "law.json").read_text().replace("0.9", "0.8", 1))
    broken = infusionlaw("verify", copy)
    assert (broken.returncode, broken.stderr.count("\n")) == (2, 1)
    assert broken.stderr.startswith(f"error: {copy / 'law.json'}: its SHA-256 is ")


def test_report_can_be_written_anew(finished) -> None:
    before = (finished / "report.html").read_text()
    (finished / "report.html").unlink()
    assert infusionlaw("report", finished).returncode == 0
    assert (finished / "report.html").read_text() == before


def test_help_lists_the_commands() -> None:
    out, names = (
        infusionlaw("--help").stdout,
        "init run power status verify table fit surface runs ask tell predict report export infuse restore tasks score",
    )
    assert all(re.search(rf"^\W*{name}\s", out, re.MULTILINE) for name in names.split())


def test_the_law_and_the_command_line_start_where_there_is_no_fcntl(tmp_path) -> None:
    rows, _ = simulate(World(), [14e3], [1.5e6], (0, 0.1, 0.3), 1, np.random.default_rng(1))
    write_table(tmp_path / "table.csv", rows)
    start = "import sys; sys.modules['fcntl'] = None; from infusionlaw import cli, Study; "
    code = start + "cli.app(sys.argv[1:-2], standalone_mode=False); cli.app(sys.argv[-2:])"
    args = ("fit", tmp_path / "table.csv", "--out", tmp_path / "law.json", "status", tmp_path)
    ran = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, check=False)
    assert "fcntl" not in ran.stderr and "no study.json" in ran.stderr
    assert (tmp_path / "law.json").exists()
