"""The command line: one short function a command; all of it is public Python calls.

Numbers are read as people write them: 1B, 300M, 1e9, 20%.
"""

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Annotated, cast

import typer

from infusionlaw import __version__
from infusionlaw.errors import InputError, Question, Waiting, naming, nearest, needing, visible
from infusionlaw.processes import ended_in_order, machine_too_small
from infusionlaw.quantities import written_number

if TYPE_CHECKING:
    from infusionlaw.lab import Lab
    from infusionlaw.law.points.find import Acquisition
    from infusionlaw.runs.asked import AskedRun
    from infusionlaw.runs.choices import Choices
    from infusionlaw.runs.record import RunRecord, RunSpec
    from infusionlaw.study.study import Study

WAITS = 3  # exit status of a study that waits for results of runs trained elsewhere
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: infusionlaw fit runs.csv",
    pretty_exceptions_enable=False,
)
Folder = Annotated[Path | None, typer.Option("--out", help="The study's folder. Default: its name, here.")]
# Options of both predict and report.
Facts = Annotated[str | None, typer.Option(metavar="COUNT", help="Its number of domain facts. Default: the table's.")]
Risk = Annotated[str, typer.Option(metavar="SHARE", help="Accepted chance that the dose lies beyond a collapse.")]
Extrapolate = Annotated[
    bool, typer.Option("--extrapolate", help="Predict even beyond 30 times the sizes or tokens tried.")
]
# How a table is read.
Columns = Annotated[
    list[str] | None, typer.Option(metavar="OURS=NAME", help="Which column is which: recall=eval/acc. Repeatable.")
]
Where = Annotated[list[str] | None, typer.Option(metavar="TEXT", help='Rows to read, as in "State = finished".')]
Percent = Annotated[str | None, typer.Option(metavar="NAMES", help="Columns in percent: acc,acc_stderr.")]
Unit = Annotated[str | None, typer.Option(metavar="TEXT", help="Unit of all losses: nats/token, bits/byte, ...")]
StudyPath = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")]
StudyFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The study's folder, as `run` made it.")]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"infusionlaw {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find how much domain knowledge a language model can take in pre-training before it forgets what it knew."""


@app.command(epilog="Example: infusionlaw init mine.toml")
def init(path: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The file to write.")]) -> None:
    """Write a commented study file to start from."""
    from infusionlaw.settings import write_template

    typer.echo(f"wrote {write_template(path)}; next: infusionlaw run {path} --dry-run")


@app.command(epilog="Example: infusionlaw run mine.toml --dry-run")
def run(
    study: StudyPath,
    out: Folder = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the doses and the time of each run; train nothing.")
    ] = False,
    on: Annotated[
        str | None, typer.Option(metavar="RUNNER", help="local, ray or external. Default: [run] on of the study file.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of the Ray cluster: auto, or HOST:PORT.")] = None,
    devices: Annotated[
        str | None, typer.Option(metavar="TEXT", help='GPUs to tell a dry run for, as "8 H100".')
    ] = None,
    lines: Annotated[bool, typer.Option("--json", help="Say what happens in lines of JSON.")] = False,
) -> None:
    """Train, fit, predict, train the held-out models, compare and report.

    After a stop, the same command goes on where it was. "local" and "ray" need torch.
    """
    from infusionlaw.settings import read_study_file

    if dry_run and lines:
        raise InputError("--json says what happens while a study runs, and --dry-run runs none; leave one of them out")
    if devices and not dry_run:
        raise InputError("--devices says what a dry run tells the time for; add --dry-run, or set [run] devices")
    asked = read_study_file(study).run
    where = address or (asked.address if on in (None, asked.on) else "")
    with naming(f"{study}: [run]") if on is None else nullcontext():
        lab = _lab(on or asked.on, where)
    if dry_run:
        _dry_run(study, out, lab, devices)
        return
    from infusionlaw.console import ConsoleWatch, JsonWatch
    from infusionlaw.pipeline import run_study
    from infusionlaw.report.page import verdict_text

    try:
        with ended_in_order():
            if lines:
                done = run_study(study, out, lab, told := JsonWatch())
                told.event("done", answer=verdict_text(done.folder), report=str(done.folder / "report.html"))
                return
            with ConsoleWatch() as watch:
                done = run_study(study, out, lab, watch)
    except Waiting as waits:
        typer.echo(f"\n{visible(str(waits))}", err=lines)
        raise typer.Exit(WAITS) from None
    except KeyboardInterrupt as stopped:
        typer.echo("stopped; the same command goes on where it was", err=True)
        raise typer.Exit(128 + (stopped.args or (SIGINT,))[0]) from None
    typer.echo(f"\n{verdict_text(done.folder)}\n\nopen {done.folder / 'report.html'}")


@app.command(epilog="Example: infusionlaw power mine.toml")
def power(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml|TABLE", help="The study file, or a table of runs.")],
) -> None:
    """Simulate what a study could find, before it is run; or what two more seeds or doses would buy a table."""
    from infusionlaw.recognise import is_table
    from infusionlaw.report.power import bought_text, power_text, search_text, study_power
    from infusionlaw.settings import read_study_file

    if is_table(study):
        from infusionlaw.law.design.bought import what_more_buys
        from infusionlaw.runs.table import read_table

        rows = read_table(study)
        with naming(study):
            typer.echo(bought_text(what_more_buys(rows)))
        return
    file = read_study_file(study)
    if file.design.design == "search":
        typer.echo(search_text(file))
    if not file.facts.source:
        typer.echo(NO_POWER)
        return
    typer.echo(power_text(study_power(file)))


@app.command(epilog="Example: infusionlaw status mine")
def status(folder: StudyFolder) -> None:
    """Show what of a study is done and what is left."""
    from infusionlaw.report.status import status_text

    typer.echo(status_text(folder))


@app.command(epilog="Example: infusionlaw verify mine")
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A study's folder, or what `infuse` wrote.")],
) -> None:
    """Check that every file of a study, or of a corpus, is the one that was written.

    Reads every byte and names the first difference. A corpus is recounted from its bytes and its ledger alone.
    """
    from infusionlaw.corpus.export.verify import check, is_written
    from infusionlaw.report.export import ledger_text
    from infusionlaw.study.study import open_folder
    from infusionlaw.study.verify import first_break, holds_text

    if is_written(folder):
        with naming(folder):
            typer.echo(f"{folder} holds: {ledger_text(check(folder))}")
        return
    study = open_folder(folder)
    if broken := first_break(study, whole=True):
        raise InputError(broken)
    typer.echo(holds_text(study))


@app.command(epilog="Example: infusionlaw table mine runs.csv")
def table(
    folder: StudyFolder, out: Annotated[Path, typer.Argument(metavar="TABLE", help="The table: .csv or .parquet.")]
) -> None:
    """Write the finished runs of a study as a table.

    As runs.csv in the folder of another study with the same settings, they count as done there.
    """
    from infusionlaw.runs.table import write_table
    from infusionlaw.study.study import open_folder

    rows = open_folder(folder).table
    write_table(out, rows)
    typer.echo(f"wrote {len(rows)} runs to {out}")


@app.command(epilog="Example: infusionlaw fit runs.csv --tolerance 0.1")
def fit(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="The runs: .csv, .tsv, .jsonl or .parquet.")],
    out: Annotated[Path, typer.Option(help="Where to write the law.")] = Path("law.json"),
    points: Annotated[Path | None, typer.Option(help="Also write the points, to this file.")] = None,
    tolerance: Annotated[
        str, typer.Option(metavar="NUMBER", help="Largest rise of validation loss, in the table's unit.")
    ] = "0.05",
    forgetting: Annotated[str, typer.Option(metavar="NUMBER", help="Fall of retention below a start.")] = "0.05",
    acquisition: Annotated[str, typer.Option(help="Where on recall's rise: onset, half.")] = "onset",
    column: Columns = None,
    where: Where = None,
    percent: Percent = None,
    unit: Unit = None,
) -> None:
    """Find the limits of each model in a table of runs, and fit the law.

    Options on how to read the table are kept in TABLE.columns.toml.
    """
    from infusionlaw.console import named_if_slow
    from infusionlaw.fitting import fit as fit_table
    from infusionlaw.law.points.points import Points
    from infusionlaw.report.verdict import borderline
    from infusionlaw.report.words import law_text, points_text, reasons_text
    from infusionlaw.runs.choices import choices
    from infusionlaw.runs.table import read_runs

    named = [_named_column(text) for text in column or []]
    chosen = choices(dict(named), where or [], _names(percent), unit)
    rise, fall = _number("--tolerance", tolerance), _number("--forgetting", forgetting)
    with _keeping(table, chosen):
        read = read_runs(table, chosen)
    rows = read.rows
    for remark in read.remarks:
        typer.echo(visible(remark))
    with naming(table), named_if_slow(f"finding points and fitting the law ({len(rows)} runs)"):
        found, law = fit_table(rows, rise, 1000, cast("Acquisition", acquisition), fall)
    if not _has_doses(rows) and all(point.x.low is point.x.value is point.x.high is None for point in found):
        raise InputError(
            f"{table}: there is no size and token count at two doses above 0 in its {len(rows)} "
            f"run{'s' if len(rows) > 1 else ''}, so nothing can be located; add runs at more doses"
        )
    law.save(out)
    if points is not None:
        Points(found).save(points)
    said = points_text(found) if found or not law.losses else ""
    close = "\n".join(borderline(rows, found))
    typer.echo("\n\n".join(filter(None, [said, reasons_text(found), close, law_text(law)])))
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: infusionlaw surface losses.csv chinchilla --at size=7B,tokens=140B")
def surface(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Losses by size, tokens, epochs or share.")],
    name: Annotated[str, typer.Argument(metavar="SURFACE", help="The form, such as chinchilla or data-constrained.")],
    column: Annotated[
        list[str] | None, typer.Option(metavar="OURS=NAME", help="A column, as in loss=val_loss; again for more.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help='Rows to read, as in "train_set = c4".')
    ] = None,
    percent: Annotated[str | None, typer.Option(metavar="NAMES", help="Columns in percent.")] = None,
    given: Annotated[str | None, typer.Option(metavar="NAME=NUMBER,...", help="Parameters that are given.")] = None,
    delta: Annotated[
        str, typer.Option(metavar="NUMBER", help="Where a residual counts in proportion, not squared; none: nowhere.")
    ] = "1e-3",
    linear: Annotated[bool, typer.Option("--linear", help="Fit the loss itself, not its logarithm.")] = False,
    at: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER,...", help="Predict there, as in size=7B,tokens=140B.")
    ] = None,
) -> None:
    """Fit a published form of a loss to a table, with intervals.

    Losses are in the unit of the table. For a dose that keeps a loss within a limit, use `fit` and `predict`.
    """
    from infusionlaw.law.surfaces.conditions import Conditions
    from infusionlaw.law.surfaces.fit import fit_surface
    from infusionlaw.law.surfaces.known import known_surfaces
    from infusionlaw.law.surfaces.losses import losses_in
    from infusionlaw.report.surfaces import surface_text
    from infusionlaw.runs.choices import choices
    from infusionlaw.runs.names import SurfaceNames

    known = known_surfaces()
    if name not in known:
        raise InputError(f'"{name}" is no surface; {nearest(name, known)}')
    places = [Conditions(**_amounts("--at", text)) for text in at or []]
    named = [_named_column(text) for text in column or []]
    chosen = choices(dict(named), where or [], _names(percent), names=SurfaceNames())
    with _keeping(table, chosen):
        read = losses_in(table, chosen)
    for remark in read.remarks:
        typer.echo(visible(remark))
    rho = float("inf") if delta == "none" else _number("--delta", delta, "or none")
    with naming(table):
        fit = fit_surface(
            known[name],
            read.conditions,
            read.loss,
            fixed=_amounts("--given", given) if given else None,
            delta=rho,
            on="linear" if linear else "log",
        )
        typer.echo(surface_text(fit, len(read.loss), places))


@app.command(epilog="Example: infusionlaw predict law.json --size 1.3B --tokens 26B --risk 5%")
def predict(
    law: Annotated[Path, typer.Argument(metavar="LAW", help="The law, as `fit` wrote it.")],
    size: Annotated[str, typer.Option(metavar="COUNT", help="Non-embedding parameters of the target.")],
    tokens: Annotated[
        str | None, typer.Option(metavar="COUNT", help="Its training tokens, if the table has them.")
    ] = None,
    facts: Facts = None,
    risk: Risk = "5%",
    tolerance: Annotated[
        str,
        typer.Option(metavar="NUMBER", help="Largest rise of validation loss, in the table's unit; none: any rise."),
    ] = "0.05",
    extrapolate: Extrapolate = False,
    out: Annotated[Path, typer.Option(help="Where to write the plan.")] = Path("plan.json"),
) -> None:
    """Say what dose a larger model can take, with its interval.

    Counts may be written as 300M, 1.3B or 1e9, shares as 0.05 or 5%.
    """
    from infusionlaw.law.planning.plan import predict as plan_for
    from infusionlaw.law.scaling.law import Law
    from infusionlaw.report.words import plan_text

    plan = plan_for(
        Law.load(law),
        _number("--size", size),
        _optional("--tokens", tokens),
        _optional("--facts", facts),
        risk=_number("--risk", risk),
        tolerance=_rise(tolerance),
        extrapolate=extrapolate,
    )
    plan.save(out)
    typer.echo(plan_text(plan))
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: infusionlaw report runs.csv --size 7B --tokens 20B --out page.html")
def report(
    source: Annotated[
        Path, typer.Argument(metavar="TABLE|LAW|STUDY", help="A table of runs, a law, or a study's folder.")
    ],
    out: Annotated[Path | None, typer.Option(help="The page. Default: report.html, here or in the study.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="COUNT", help="Size of the target. Default: four times the largest tried.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(metavar="COUNT", help="Its training tokens. Default: the most tried.")
    ] = None,
    facts: Facts = None,
    risk: Risk = "5%",
    tolerance: Annotated[
        str, typer.Option(metavar="NUMBER", help="Largest rise of validation loss, in the table's unit; none: any.")
    ] = "0.05",
    extrapolate: Extrapolate = False,
) -> None:
    """Write one offline page: the answer, the figures and a dose calculator.

    A table is fitted first. A study's page is written again from its files.
    """
    from infusionlaw.console import named_if_slow
    from infusionlaw.pipeline import write_report

    with named_if_slow(f"reading {source} and writing its page"):
        page = write_report(
            source,
            out,
            size=_optional("--size", size),
            tokens=_optional("--tokens", tokens),
            facts=_optional("--facts", facts),
            risk=_number("--risk", risk),
            tolerance=_rise(tolerance),
            extrapolate=extrapolate,
        )
    typer.echo(f"wrote {page}")


@app.command(epilog="Example: infusionlaw export mine/runs/0123456789ab model")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run: FOLDER/runs/ID.")],
    out: Annotated[Path, typer.Argument(metavar="MODEL", help="The folder to write.")],
) -> None:
    """Write a finished run as a Hugging Face folder. Needs torch."""
    with needing("lab", "this command"):
        from infusionlaw.runners.execute import export_run

    export_run(run, out)
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: infusionlaw infuse mine --plan mine/plan.json --format megatron")
def infuse(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder, or STUDY.toml.")],
    plan: Annotated[Path | None, typer.Option(help="Take the dose and tokens of this plan.")] = None,
    share: Annotated[str | None, typer.Option(metavar="SHARE", help="Infused tokens / tokens.")] = None,
    exposures: Annotated[str | None, typer.Option(metavar="COUNT", help="How often each fact or document.")] = None,
    tokens: Annotated[str | None, typer.Option(metavar="COUNT", help="Training tokens.")] = None,
    format: Annotated[
        str | None, typer.Option(metavar="NAME", help="parquet, megatron, tokens, jsonl, mds, arrow.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("infused"),
    prior: Annotated[bool, typer.Option("--prior", help="State the study's prior facts too, as its runs do.")] = False,
    shard: Annotated[str | None, typer.Option(metavar="COUNT", help="Tokens of a shard. Default: 100M.")] = None,
    workers: Annotated[int, typer.Option(metavar="COUNT", min=1, help="Processes.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would hold; write nothing.")] = False,
    into: Annotated[str | None, typer.Option(metavar="PATTERN", help="Insert into a copy of these shards.")] = None,
    sequence: Annotated[str | None, typer.Option(metavar="COUNT", help="Tokens of your training sequences.")] = None,
    inside: Annotated[bool, typer.Option("--inside", help="Insert inside documents too.")] = False,
) -> None:
    """Write a corpus at a dose, for your trainer, with a ledger of it."""
    if into is None and (sequence or inside):
        raise InputError("--sequence and --inside are about inserting; give --into, or leave them out")
    if into is not None:
        if tokens or format or shard or prior:
            raise InputError(
                "--into keeps the text, the format and the shards of your corpus; leave out --tokens, --format, "
                "--shard and --prior"
            )
        dose = _optional("--share", share), _optional("--exposures", exposures)
        length = _optional("--sequence", sequence)
        _insert(study, into, plan, dose, length, inside, out, workers, dry_run)
        return
    from infusionlaw.corpus.export.stream import bytes_needed, write_stream
    from infusionlaw.report.export import ledger_text, planned_text
    from infusionlaw.study.infuse import stream_of

    form = format or "parquet"
    stream = stream_of(
        study,
        plan=plan,
        share=_optional("--share", share),
        exposures=_optional("--exposures", exposures),
        tokens=_optional("--tokens", tokens),
        prior=prior,
        shard=_number("--shard", shard or "100M"),
    )
    if dry_run:
        typer.echo(planned_text(stream, bytes_needed(stream, form)))
        return
    with ended_in_order():
        ledger = write_stream(stream, form, out, workers=workers, say=lambda text: typer.echo(text, err=True))
    typer.echo(f"wrote {out}: {ledger_text(ledger)}")


def _insert(
    study: Path,
    into: str,
    plan: Path | None,
    dose: tuple[float | None, float | None],
    sequence: float | None,
    inside: bool,
    out: Path,
    workers: int,
    dry_run: bool,
) -> None:
    """Insert into a corpus that exists, or say what would be inserted."""
    from infusionlaw.corpus.corpus import open_corpus
    from infusionlaw.corpus.export.insert import infuse_into
    from infusionlaw.corpus.export.preview import preview_text
    from infusionlaw.report.export import ledger_text
    from infusionlaw.study.infuse import insertion_of

    share, exposures = dose
    found = insertion_of(study, into, plan=plan, share=share, exposures=exposures, sequence=sequence, inside=inside)
    if dry_run:
        typer.echo(preview_text(found, open_corpus(Path(found.corpus))))
        return
    with ended_in_order():
        ledger = infuse_into(found, out, workers=workers, say=lambda text: typer.echo(text, err=True))
    typer.echo(f"wrote {out}: {ledger_text(ledger)}")


@app.command(epilog="Example: infusionlaw restore infused --out original")
def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `infuse --into` wrote.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
) -> None:
    """Take out of a corpus what was inserted into it, and check that the original comes back."""
    from infusionlaw.corpus.export.insert import take_out

    shards = take_out(folder, out)
    typer.echo(f"wrote {out}: {shards:,} shard{'s' if shards > 1 else ''}, with the SHA-256 of the original")


@app.command(epilog="Example: infusionlaw runs mine list.csv")
def runs(
    folder: StudyFolder,
    out: Annotated[
        Path | None, typer.Argument(metavar="LIST", help="The list to write: .csv or .json. Default: shown as CSV.")
    ] = None,
    corpora: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Also write their training data: tokens, megatron, parquet, ..."),
    ] = None,
    to: Annotated[Path, typer.Option(help="Where, in a folder a run.")] = Path("corpora"),
) -> None:
    """List the runs of a study for another trainer: shape, tokens, share, rates, batch, seed.

    Of a search, those asked for so far. Data are written of runs without a result, in the order to train in.
    """
    from infusionlaw.runs.asked import asked_csv, write_asked
    from infusionlaw.study.study import open_folder

    study = open_folder(folder)
    if out is not None and out.resolve() == (study.folder / "runs.csv").resolve():
        raise InputError(f"{out}: is where a study looks for results, of which a list has none; name another file")
    specs = [*study.fitted, *study.held_out]
    listed = _asked_runs(study, specs)
    if out is None:
        typer.echo(asked_csv(listed), nl=False)
    else:
        write_asked(out, listed)
        typer.echo(f"wrote {len(listed)} runs to {out}")
    if corpora is not None:
        from infusionlaw.runners.external import write_corpora

        with ended_in_order():
            write_corpora(folder, study.missing(specs), corpora, to, lambda text: typer.echo(text, err=True))


@app.command(epilog="Example: infusionlaw ask mine next.csv")
def ask(
    source: Annotated[Path, typer.Argument(metavar="STUDY|TABLE", help="A study's folder, or a table of runs.")],
    out: Annotated[
        Path | None, typer.Argument(metavar="LIST", help="Of a study: write its next runs as .csv or .json.")
    ] = None,
) -> None:
    """Say which runs are worth their FLOPs next: of a study those that it lacks, of a table any.

    Those of a study can be trained by any trainer; `tell` brings their results.
    """
    if not source.is_dir():
        _ask_table(source, out)
        return
    from infusionlaw.report.proposals import proposals_text
    from infusionlaw.runs.asked import write_asked
    from infusionlaw.study.proposals import proposals
    from infusionlaw.study.study import open_folder

    study = open_folder(source)
    found = proposals(study)
    typer.echo(proposals_text(study, found))
    if out is not None and found.runs:
        write_asked(out, _asked_runs(study, [proposal.spec for proposal in found.runs]))
        typer.echo(f"wrote {len(found.runs)} runs to {out}")


def _ask_table(table: Path, out: Path | None) -> None:
    from infusionlaw.law.design.next_runs import next_runs
    from infusionlaw.law.points.find import find_points
    from infusionlaw.report.power import next_text
    from infusionlaw.report.verdict import borderline
    from infusionlaw.runs.table import read_table

    if out is not None:
        raise InputError(f"{out}: the runs to add to a table have no settings to list; leave this name out")
    rows = read_table(table)
    with naming(table):
        typer.echo(next_text(next_runs(rows)))
        for sentence in borderline(rows, find_points(rows)):
            typer.echo(sentence)


@app.command(epilog="Example: infusionlaw tell mine wandb.csv --column recall=eval/med/acc")
def tell(
    folder: StudyFolder,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Tables, or lm-eval's results*.json or its folder.")
    ],
    column: Columns = None,
    where: Where = None,
    percent: Percent = None,
    unit: Unit = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take other values for those told before, which are kept aside.")
    ] = False,
) -> None:
    """Bring a study the results of runs that were trained elsewhere.

    All are checked against what was asked before any is written.
    """
    from infusionlaw.report.proposals import told_text
    from infusionlaw.runs.choices import choices
    from infusionlaw.runs.results import read_results
    from infusionlaw.study.study import locked, open_folder
    from infusionlaw.study.telling import tell as take

    open_folder(folder)
    named = dict(_named_column(text) for text in column or [])
    found = read_results(files, choices(named, where or [], _names(percent), unit))
    with locked(folder):
        study = open_folder(folder)
        told = take(study, _asked_runs(study, [*study.fitted, *study.held_out]), found.results, replace)
    for sentence in (*found.remarks, *told.remarks):
        typer.echo(visible(sentence))
    for complaint in told.complaints:
        typer.echo(f"error: {visible(complaint)}", err=True)
    if told.complaints:
        typer.echo("nothing was written", err=True)
        raise typer.Exit(2)
    typer.echo(told_text(folder, told))


def _asked_runs(study: "Study", specs: "Sequence[RunSpec]") -> "list[AskedRun]":
    """What another trainer needs of runs of a study."""
    with needing("lab", "this command"):
        from infusionlaw.runners.external import asked_runs

    return asked_runs(study.folder, specs, lambda spec: study.record(spec) is not None)


@app.command(epilog="Example: infusionlaw tasks mine --out tasks")
def tasks(
    folder: StudyFolder,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of a model with another tokenizer than the study's.")
    ] = None,
) -> None:
    """Write what a study asks as tasks of lm-evaluation-harness.

    One for each score of its facts and for each file of questions. Tasks are for one tokenizer.
    """
    from infusionlaw.corpus.corpus import open_corpus
    from infusionlaw.corpus.tasks import reader_of, tag_of, write_tasks
    from infusionlaw.study.study import open_folder

    with needing("lab", "this command"):
        file, corpus = open_folder(folder).file, open_corpus(folder / "corpus")
        written = write_tasks(corpus, file.name, file.training.block, out, reader_of(model) if model else None)
    if not written:
        raise InputError(f"{folder}: the study asks no questions; give it [facts] or [questions], and run it again")
    for task in written:
        apart = f"; {task.apart:,} may be answered differently there, see docs/how-to/harness.md" if task.apart else ""
        typer.echo(f"{task.name}: {task.questions:,} questions, guessing gets {task.guessing:.4g} right{apart}")
    model_args = f"pretrained={model or 'MODEL'}"
    typer.echo(f"next: lm_eval --model hf --model_args {model_args} --include_path {out} --tasks {tag_of(file.name)}")


@app.command(epilog="Example: infusionlaw score model mine --run 0123456789ab --to runs.csv")
def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The folder of a Hugging Face model.")],
    folder: StudyFolder,
    run: Annotated[str | None, typer.Option(metavar="ID", help="The run of the study that it is.")] = None,
    to: Annotated[Path | None, typer.Option(metavar="TABLE", help="Add the row to this CSV table.")] = None,
) -> None:
    """Put the questions of a study to any model, and give its row of the table.

    Without --run the row says tokens 0, as that of a start. Needs torch.
    """
    from infusionlaw.console import named_if_slow
    from infusionlaw.pipeline import score_model
    from infusionlaw.runs.table import table_text

    with needing("lab", "this command"), named_if_slow(f"asking {model}"):
        record = score_model(model, folder, run, to)
    typer.echo(table_text([record]), nl=False) if to is None else typer.echo(f"added {record.run} to {to}")


NO_POWER = (
    "The design is not simulated: how models of these sizes learn from documents is not known. Look at the "
    "first finished runs (`infusionlaw status`), and then at what more would tell (`infusionlaw power runs.csv`)."
)
LEAST = 1000  # fewer parameters or tokens lack their unit
WRITTEN = {  # else a count
    "--risk": "0.05 or 5%",
    "--share": "0.05 or 5%",
    "--forgetting": "0.05 or 5%",
    "--tolerance": "0.05",
    "--delta": "1e-3",
}
PARTS = ("--risk", "--share", "--forgetting")  # may be written as 5%


def _number(option: str, text: str, more: str = "") -> float:
    """An option's number as a person wrote it; InputError where it is none."""
    number = written_number(text, count=option not in WRITTEN, part=option in PARTS)
    if number is None:
        example = WRITTEN.get(option, "300M, 1.3B or 1e9")
        raise InputError(
            f'{option} is "{text}", which is not a number; write it like {example}{f", {more}" if more else ""}'
        )
    if option in ("--size", "--tokens", "--shard") and number < LEAST:
        raise InputError(f'{option} is "{text}", which is below {LEAST:,}; write it like 300M, 1.3B or 1e9')
    return number


def _optional(option: str, text: str | None) -> float | None:
    """The number of an option that may be left out."""
    return None if text is None else _number(option, text)


def _rise(tolerance: str) -> float | None:
    """The rise that a tolerance allows; None for any."""
    return None if tolerance == "none" else _number("--tolerance", tolerance, "or none for any rise")


def _named_column(text: str) -> tuple[str, str]:
    """A column of ours and the file's, from `recall=eval/acc`."""
    ours, equals, name = text.partition("=")
    if not equals:
        raise InputError(f'--column is "{text}"; write it like recall=eval/acc, our column first')
    return ours, name


def _amounts(option: str, text: str) -> dict[str, float]:
    """Numbers by name, from `size=7B,tokens=140B`."""
    found = {}
    for part in text.split(","):
        name, equals, written = (piece.strip() for piece in part.partition("="))
        number = written_number(written, count=True, part=True)
        if not equals or number is None:
            raise InputError(f'{option} is "{text}"; write it like size=7B,tokens=140B')
        found[name] = number
    return found


@contextmanager
def _keeping(table: Path, chosen: "Choices") -> Iterator[None]:
    """Keep what a person says about a table where it can be read, or where only a question is left."""
    question = None
    try:
        yield
    except Question as asked:
        question = asked
    if chosen:
        from infusionlaw.runs.choices import keep_choices, read_choices

        try:
            typer.echo(f"kept in {keep_choices(table, chosen.over(read_choices(table)))} for the next time")
        except OSError as error:  # a table on a medium that cannot be written
            typer.echo(visible(f"these choices are not kept for the next time: {error}"), err=True)
    if question:
        raise question


def _names(text: str | None) -> list[str]:
    """Names of columns between commas; one with a comma in quotes."""
    return [name for name in next(csv.reader([text], skipinitialspace=True)) if name] if text else []


def _has_doses(rows: "Sequence[RunRecord]") -> bool:
    """Whether any size and token count has finished runs at two doses above 0."""
    from infusionlaw.law.dose import dose_of

    doses: dict[tuple[float, float], set[float]] = {}
    for row in (row for row in rows if row.status == "ok"):
        if dose := dose_of(row):
            doses.setdefault((row.size, row.tokens), set()).add(dose)
    return any(len(own) > 1 for own in doses.values())


def _dry_run(study: Path, out: Path | None, lab: "Lab", devices: str | None) -> None:
    from dataclasses import replace

    from rich.console import Console

    from infusionlaw.console import estimate_table, memory_text
    from infusionlaw.pipeline import dry_run
    from infusionlaw.report.corpus import documents_text, probed_text, remarks
    from infusionlaw.report.effort import duration, effort_text
    from infusionlaw.report.needed import needed_text, repetition_text
    from infusionlaw.report.power import most_minutes, power_text, search_text, study_power
    from infusionlaw.report.questions import expected_text, questions_texts
    from infusionlaw.report.start import start_text
    from infusionlaw.settings import read_study_file
    from infusionlaw.study.study import folder_of

    count, basis = 0, ""
    if devices:
        from infusionlaw.runners import named

        count, kind = named.read_devices(devices)
        if kind:
            lab = named.Lab(count, kind)
            basis = lab.basis
    typer.echo("preparing the text" + ("" if basis else ", then timing a few steps of each size"), err=True)
    estimates = dry_run(study, out, lab)
    if count and not basis:
        estimates = [replace(run, processes=count) for run in estimates]
    Console(width=140).print(estimate_table(estimates))
    file = read_study_file(study)
    typer.echo(effort_text(estimates))
    if basis:
        typer.echo(basis)
    typer.echo("Parameters: without the embedding + embedding. Passes: how often the run reads the general text.")
    folder = folder_of(file, out)
    documents = documents_text(folder), repetition_text(file, folder, estimates)
    start = memory_text(estimates), start_text(file)
    asked = *questions_texts(folder), expected_text(folder, [run.size for run in estimates])
    for said in filter(None, [*start, *documents, probed_text(folder), *asked, *remarks(folder)]):
        typer.echo(visible(said))
    if needs := needed_text(file, folder, estimates):
        typer.echo(needs)
    if file.design.design == "search":
        most = duration(60 * most_minutes(file, estimates))
        typer.echo(f"These are where it starts; at most {most}. {search_text(file)}")
    if not file.facts.source:
        typer.echo(NO_POWER)
        return
    typer.echo("simulating the design to tell its power", err=True)
    typer.echo(power_text(study_power(file, estimates)))


def _lab(name: str, address: str) -> "Lab":
    """A lab by the name of its entry point, imported only when a command needs it, which is given an address if any."""
    runners = {entry.name: entry for entry in entry_points(group="infusionlaw.runners")}
    if name not in runners:
        known = nearest(name, runners) if runners else "none is; install infusionlaw again, with pip install ."
        raise InputError(f'no runner is named "{name}"; {known}')
    with needing("ray" if name == "ray" else "lab", "this command"):
        lab: Lab = runners[name].load()(*[address] if address else [])
    return lab


def main() -> None:
    """Run a command; an InputError is one sentence on stderr and exit status 2."""
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # matrices are small: threads of numpy's only wait for each other
    try:
        app(standalone_mode=True)
    except InputError as error:
        sys.stderr.write(f"error: {visible(str(error))}\n")
        sys.exit(2)
    except (MemoryError, ImportError, RuntimeError) as error:
        if not (said := machine_too_small(error)):
            raise
        sys.stderr.write(f"error: {said}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"error: {visible(str(error))}; fix that and run the same command again\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
