"""The command line: one short function a command; all of it is public Python calls."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from infusionlaw.errors import InputError

if TYPE_CHECKING:
    from infusionlaw.law.points.find import Acquisition
    from infusionlaw.pipeline import Lab

app = typer.Typer(
    help="Find how much domain knowledge a language model can take in pre-training before its memory collapses.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Folder = Annotated[Path | None, typer.Option("--out", help="the study's folder; default: its name, here")]


@app.command()
def init(path: Path) -> None:
    """Write a commented study file to start from."""
    from infusionlaw.settings import write_template

    typer.echo(f"wrote {write_template(path)}; next: infusionlaw run {path} --dry-run")


@app.command()
def run(
    study: Path,
    out: Folder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what each run holds and takes")] = False,
) -> None:
    """Do everything a study file asks for; run again to go on after a stop; needs the lab (torch)."""
    from infusionlaw.console import ConsoleWatch

    lab = _lab()
    if dry_run:
        _dry_run(study, out)
        return
    from infusionlaw.pipeline import run_study
    from infusionlaw.report.page import verdict_text

    try:
        with ConsoleWatch() as watch:
            done = run_study(study, out, lab, watch)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on where it was", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"\n{verdict_text(done.folder)}\n\nopen {done.folder / 'report.html'}")


@app.command()
def power(study: Path) -> None:
    """Tell by simulation how precisely a study would locate a collapse, before it is run; needs no torch."""
    from infusionlaw.report.power import power_text, search_text, study_power
    from infusionlaw.settings import read_study_file

    file = read_study_file(study)
    if file.design.design == "search":
        typer.echo(search_text(file))
    typer.echo(power_text(study_power(file)))


@app.command()
def status(folder: Path) -> None:
    """Show what of a study is done and what is left."""
    from infusionlaw.report.status import status_text

    typer.echo(status_text(folder))


@app.command()
def table(folder: Path, out: Path) -> None:
    """Write the finished runs of a study as a table (CSV); as runs.csv in another folder they count as done there."""
    from infusionlaw.runs.table import write_table
    from infusionlaw.study.study import open_folder

    rows = open_folder(folder).table
    write_table(out, rows)
    typer.echo(f"wrote {len(rows)} runs to {out}")


@app.command()
def fit(
    table: Path,
    out: Annotated[Path, typer.Option(help="where to write the law")] = Path("law.json"),
    points: Annotated[Path | None, typer.Option(help="also write the points here")] = None,
    tolerance: Annotated[float, typer.Option(help="rise of validation loss that counts, bits per byte")] = 0.05,
    acquisition: Annotated[str, typer.Option(help="onset: where recall leaves guessing; half: half way up")] = "onset",
) -> None:
    """Find points in a table of runs (CSV or Parquet) and fit the law; needs no torch."""
    from infusionlaw.console import named_if_slow
    from infusionlaw.law.points.point import write_points
    from infusionlaw.law.scaling.lawfile import write_law
    from infusionlaw.pipeline import fit as fit_table
    from infusionlaw.report.words import law_text, points_text
    from infusionlaw.runs.table import read_table

    rows = read_table(table)
    try:
        with named_if_slow(f"finding points and fitting the law ({len(rows)} runs)"):
            found, law = fit_table(rows, tolerance, draws=1000, acquisition=cast("Acquisition", acquisition))
    except InputError as error:
        raise InputError(f"{table}: {error}") from error
    write_law(out, law)
    if points is not None:
        write_points(points, found)
    typer.echo(f"{points_text(found)}\n\n{law_text(law)}")
    typer.echo(f"wrote {out}")


@app.command()
def predict(
    law: Path,
    size: Annotated[float, typer.Option(help="non-embedding parameters of the target")],
    tokens: Annotated[float, typer.Option(help="its training tokens")],
    facts: Annotated[float | None, typer.Option(help="its number of domain facts; default: the study's")] = None,
    risk: Annotated[float, typer.Option(help="most the dose may be likely to lie beyond a collapse")] = 0.05,
    tolerance: Annotated[
        str, typer.Option(help="most validation loss may rise, bits per byte; none: any rise")
    ] = "0.05",
    extrapolate: Annotated[bool, typer.Option("--extrapolate", help="answer however far the target lies")] = False,
    out: Annotated[Path, typer.Option(help="where to write the plan")] = Path("plan.json"),
) -> None:
    """Say what dose a larger model can take, with its interval; needs no torch."""
    from infusionlaw.law.planning.plan import predict as plan_for
    from infusionlaw.law.planning.planfile import write_plan
    from infusionlaw.law.scaling.lawfile import read_law
    from infusionlaw.report.words import plan_text

    most = _tolerance(tolerance)
    plan = plan_for(read_law(law), size, tokens, facts, risk=risk, tolerance=most, extrapolate=extrapolate)
    write_plan(out, plan)
    typer.echo(plan_text(plan))
    typer.echo(f"wrote {out}")


@app.command()
def report(folder: Path) -> None:
    """Write a study's report again from its files."""
    from infusionlaw.report.page import write_report

    typer.echo(f"wrote {write_report(folder)}")


@app.command()
def export(run: Path, out: Path) -> None:
    """Write a finished run (STUDY/runs/ID) as a Hugging Face folder; needs the lab (torch)."""
    _lab()
    from infusionlaw.runners.execute import export_run

    export_run(run, out)
    typer.echo(f"wrote {out}")


def _tolerance(text: str) -> float | None:
    """A number of bits per byte, or None for "none"."""
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f'--tolerance is "{text}"; give a number of bits per byte, or none') from None


def _dry_run(study: Path, out: Path | None) -> None:
    from rich.console import Console

    from infusionlaw.console import estimate_table
    from infusionlaw.pipeline import dry_run
    from infusionlaw.report.corpus import remarks
    from infusionlaw.report.power import most_minutes, power_text, search_text, study_power
    from infusionlaw.settings import read_study_file
    from infusionlaw.study.study import folder_of

    typer.echo("preparing facts and text, then timing a few steps of each size", err=True)
    estimates = dry_run(study, out, _lab())
    Console(width=140).print(estimate_table(estimates))
    file, minutes = read_study_file(study), sum(run.seconds for run in estimates) / 60 / estimates[0].processes
    typer.echo(f"{len(estimates)} runs, {estimates[0].processes} at once: about {minutes:.1f} minutes of training")
    for remark in remarks(folder_of(file, out)):
        typer.echo(remark)
    if file.design.design == "search":
        typer.echo(
            f"These are where it starts; at most {most_minutes(file, estimates):.1f} minutes. {search_text(file)}"
        )
    typer.echo("simulating the design to tell its power", err=True)
    typer.echo(power_text(study_power(file, estimates)))


def _lab() -> "Lab":
    """The lab, imported only when a command needs it."""
    try:
        from infusionlaw.runners.local import Lab as OurLab
    except ModuleNotFoundError as error:
        mend = 'install the lab with it, pip install ".[lab]" in the folder of infusionlaw'
        raise InputError(f"this command needs {error.name}; {mend}") from error
    return OurLab()


def main() -> None:
    """Run a command; an InputError is one sentence on stderr and exit status 2."""
    try:
        app(standalone_mode=True)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"error: {error}; fix that and run the same command again\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
