"""What a person sees: plain lines where there is no terminal, a table for the dry run."""

from io import StringIO

from fakelab import FakeLab
from rich.console import Console

from infusionlaw.chain import dry_run, run_study
from infusionlaw.console import ConsoleWatch, estimate_table
from infusionlaw.studyfile import write_template


def test_a_study_says_a_line_a_run_and_where_its_prediction_is(tmp_path) -> None:
    out = StringIO()
    with ConsoleWatch(Console(file=out, width=200)) as watch:
        run_study(write_template(tmp_path / "mine.toml"), tmp_path / "out", FakeLab(), watch)
    lines = out.getvalue().splitlines()
    assert sum("recall" in line for line in lines) == 48 + 8
    assert any("the prediction is in" in line for line in lines)
    assert any(line.lstrip().startswith("56/56") for line in lines)


def test_a_resumed_study_counts_on_from_what_is_done(tmp_path) -> None:
    study = write_template(tmp_path / "mine.toml")
    run_study(study, tmp_path / "out", FakeLab())
    records = sorted((tmp_path / "out" / "runs").glob("*/record.json"))
    records[0].unlink()
    out = StringIO()
    with ConsoleWatch(Console(file=out, width=200)) as watch:
        run_study(study, tmp_path / "out", FakeLab(), watch)
    assert "56/56" in out.getvalue()
    assert out.getvalue().count("recall") == 1


def test_the_dry_run_table_has_a_row_a_run_with_the_numbers(tmp_path) -> None:
    estimates = dry_run(write_template(tmp_path / "mine.toml"), tmp_path / "out", FakeLab())
    out = StringIO()
    Console(file=out, width=200).print(estimate_table(estimates))
    text = out.getvalue()
    assert sum(run.run in text for run in estimates) == 56
    assert "1,500,000" in text
    assert text.count("held out") == 8
