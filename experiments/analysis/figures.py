"""The figures of our own studies as files, drawn with matplotlib from what `report.plotdata` computes.

Margins are set by hand, because a layout engine would draw every figure twice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infusionlaw.files import atomic_path
from infusionlaw.law.dose import Interval, Scale
from infusionlaw.law.numbers import bracket, count, listed, number, share
from infusionlaw.law.planning.compare import ComparedPoint, Comparison
from infusionlaw.law.plot import PALETTE, DoseAxis, coordinate, dose_axis, draw_spots, interval_bar, shades
from infusionlaw.law.points.point import Kind, Status
from infusionlaw.law.scaling.law import Law, law_band
from infusionlaw.report.plotdata import SAME_TOKENS, Mark, Panel, Series, by_tokens, spread_out
from infusionlaw.runs.outcomes import ACQUISITION as ACQUIRED
from infusionlaw.runs.outcomes import (
    COLLAPSE,
    TOLERANCE,
    Outcome,
    kind_named,
    outcome_of,
    outcomes,
)
from infusionlaw.runs.record import DoseUnit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURE_WIDTH, DPI = 8.0, 150
# Inches: margins, room between panels side by side, for tick labels, and for a line of the legend.
LEFT, RIGHT, BOTTOM, BETWEEN, TICKS, LINE = 0.55, 0.08, 0.52, 0.14, 0.24, 0.19
RECALL_NAME, LOSS_NAME = "recall", "val_bpb"
MARKERS = ("s", "^", "v", "P", "X", "<", ">", "*")
SHARES = (0, 0.2, 0.4, 0.6, 0.8, 1)
RECALL_LABEL, SHAPE_LABEL, GUESSING_LABEL, ACQUISITION, COLLAPSED = LEGEND = (
    "recall, 90 % interval",
    "fitted shape of recall",
    "unseen recall (guessing)",
    "acquisition point, 90 % interval",
    "collapse point, 90 % interval",
)
ACQUISITION_LOOK: dict[str, Any] = {"color": PALETTE["quiet"], "linewidth": 1.2, "linestyle": (0, (2, 2))}
COLLAPSE_LOOK: dict[str, Any] = {"color": PALETTE["recall"], "linewidth": 1.2}
WIDE: dict[str, Any] = {"elinewidth": 4, "markersize": 9, "alpha": 0.55}
FigureName = Literal["dose-response", "law", "validation-loss"]
Format = Literal["svg", "png"]


def collapse_note(panel: Panel) -> str:
    """What a panel says of its collapse point: where it is, or why it has no line."""
    mark = panel.mark(COLLAPSE.name)
    if mark is None:
        return ""
    scale = Scale(panel.unit)
    text = bracket(scale.share(mark.x), share) if panel.unit == "share" else bracket(scale.exposures(mark.x), count)
    if mark.x.value is not None:
        return f"collapse at {text}" + (" (ambiguous)" if mark.status == "ambiguous" else "")
    return f"collapse {mark.status}" + (f": {text}" if text != "-" else "")


@dataclass(frozen=True)
class LawPanel:
    """A law of one kind at one token count: points; band of sizes, x of low, median, high; predicted and observed."""

    kind: Kind
    tokens: float
    unit: DoseUnit
    points: tuple[Mark, ...]
    sizes: tuple[float, ...]
    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]
    predicted: tuple[Mark, ...]
    observed: tuple[Mark, ...]


def law_panels(law: Law, comparison: Comparison, tokens: float) -> list[LawPanel]:
    """The laws of each collapse at a token count, with the predictions that were written ahead."""
    kinds = [kind.name for outcome in outcomes() if (kind := outcome.point("lost"))]
    found = [_law_panel(law, kind, comparison, tokens) for kind in kinds if kind in law.kind_names]
    return [panel for panel in found if panel.points or panel.observed]


def _law_panel(law: Law, kind: Kind, comparison: Comparison, tokens: float) -> LawPanel:
    points = [p for p in law.of(kind).points if _same(p.tokens, tokens)]
    marks = tuple(Mark(kind, p.size, p.x, p.status) for p in points)
    held = [row for row in comparison.of(kind) if _same(row.tokens, tokens)]
    sizes = [*law.sizes, *(row.size for row in held)]
    band = law_band(law, kind, tokens, np.geomspace(min(sizes) / 1.25, max(sizes) * 1.25, 60))
    ends = [coordinate(end, law.unit) for end in (band.low, band.median, band.high)] if band else [(), (), ()]
    return LawPanel(
        kind=kind,
        tokens=tokens,
        unit=law.unit,
        points=marks,
        sizes=tuple(band.sizes.tolist()) if band else (),
        low=ends[0],
        median=ends[1],
        high=ends[2],
        predicted=tuple(_held_mark(row, row.predicted, "found") for row in held),
        observed=tuple(_held_mark(row, row.observed, row.status) for row in held),
    )


def _held_mark(row: ComparedPoint, where: Interval, status: Status) -> Mark:
    return Mark(row.kind, row.size, where.map(lambda dose: coordinate(dose, row.unit)[0]), status)


def _same(tokens: float, other: float) -> bool:
    return 1 / SAME_TOKENS < tokens / other < SAME_TOKENS


def dose_response_figure(items: Sequence[Panel], held_out: str = "held out, predicted first") -> "Figure":
    """Recall, verbatim recall, retention and guessing by dose, a panel for each size that is shown, points marked."""
    from matplotlib.lines import Line2D

    items = spread_out(items)
    columns = min(2, len(items))
    axis = dose_axis(_all_x(items, RECALL_NAME), items[0].unit, 0.105)
    lines = -(-(len(LEGEND) + len(_others())) // 3)
    figure, grid = _blank(len(items), columns, height=1.84, lines=lines, titles=0.42)
    for i, (ax, panel) in enumerate(zip(grid, items, strict=True)):
        _dress_dose_axis(ax, axis, _dose_label(axis.unit) if i + columns >= len(items) else "")
        ax.set_ylim(-0.03, 1.03)
        ax.tick_params(labelleft=i % columns == 0)
        ax.set_yticks(SHARES)
        ax.set_ylabel("" if i % columns else "share of facts right")
        _draw_panel(ax, panel, axis, held_out)
    points = {
        name: Line2D([], [], **look) for name, look in ((ACQUISITION, ACQUISITION_LOOK), (COLLAPSED, COLLAPSE_LOOK))
    }
    entries = dict(zip(*reversed(grid[0].get_legend_handles_labels()), strict=True)) | points
    order = sorted(entries, key=lambda label: LEGEND.index(label) if label in LEGEND else 2)
    _legend(figure, {label: entries[label] for label in order}, 3)
    return figure


def _draw_panel(ax: "Axes", panel: Panel, axis: DoseAxis, held_out: str) -> None:
    _draw_point(ax, panel.mark(ACQUIRED.name), axis, ACQUISITION_LOOK)
    _draw_point(ax, panel.mark(COLLAPSE.name), axis, COLLAPSE_LOOK)
    quiet, colour = PALETTE["quiet"], PALETTE["recall"]
    _draw_series(ax, panel.unseen, axis, color=quiet, linewidth=1, marker="_", markevery=[0], label=GUESSING_LABEL)
    for outcome, marker in zip(_others(), MARKERS, strict=False):
        look: dict[str, Any] = {"color": PALETTE[outcome.colour], "linewidth": 1.0, "marker": marker, "markersize": 3}
        _draw_series(ax, panel.scores[outcome.name], axis, label=outcome.title, **look)
    seeds = np.array(panel.seeds).reshape(-1, 2).T
    ax.plot(axis.place(seeds[0]), seeds[1], ".", color=colour, alpha=0.35, markersize=3)
    ax.plot(*panel.line, color=colour, linewidth=1.6, label=SHAPE_LABEL)
    _draw_series(ax, panel.recall, axis, 1.0, color=colour, linestyle="", marker="o", markersize=4, label=RECALL_LABEL)
    title = f"{number(panel.size)} parameters"
    ax.set_title(f"{title} ({held_out})" if panel.held_out else title, loc="left", y=1, pad=17)
    ax.text(0, 1.025, collapse_note(panel), transform=ax.transAxes, fontsize=8.5)


def _others() -> list[Outcome]:
    """The outcomes from 0 to 1 that are drawn beside recall."""
    return [outcome for outcome in outcomes() if outcome.scale == "proportion" and outcome.name != RECALL_NAME]


def _draw_series(ax: "Axes", series: Series, axis: DoseAxis, bars: float = 0.6, **look: Any) -> None:
    """A series as a line with bars; dose 0 stands apart. Drawn even when empty, for the legend. bars: their opacity."""
    x, mean, half = (np.array(column) for column in (axis.place(series.x), series.mean, series.half))
    apart = int(np.isneginf(series.x).sum())
    ax.plot(np.insert(x, apart, np.nan), np.insert(mean, apart, np.nan), **look)
    if half.any():
        ax.vlines(x, mean - half, mean + half, colors=look["color"], linewidth=0.8, alpha=bars)


def _draw_point(ax: "Axes", mark: Mark | None, axis: DoseAxis, look: dict[str, Any]) -> None:
    """A vertical line at the point and its interval as a shade, which runs to the edge where an end is open."""
    if mark is None or mark.x.value is None:
        return
    low, high = (edge if end is None else end for end, edge in ((mark.x.low, axis.low), (mark.x.high, axis.high)))
    ax.axvspan(max(low, axis.low), min(high, axis.high), color=look["color"], alpha=0.18, linewidth=0)
    ax.axvline(mark.x.value, **look)


def val_bpb_figure(items: Sequence[Panel]) -> "Figure":
    """Validation loss by dose, a line a size, with tolerance points."""
    figure, (ax,) = _blank(1, 1, height=2.45, lines=-(-(len(items) + 1) // 5), titles=0.12)
    axis = dose_axis(_all_x(items, LOSS_NAME), items[0].unit, 0.06)
    _dress_dose_axis(ax, axis, _dose_label(axis.unit))
    ax.set_ylabel("validation loss, bits per byte")
    sizes = sorted({panel.size for panel in items})
    colours = dict(zip(sizes, shades(len(sizes)), strict=True))
    points = []
    for panel in items:
        loss, colour, mark = panel.scores[LOSS_NAME], colours[panel.size], panel.mark(TOLERANCE.name)
        style = "dashed" if panel.held_out else "solid"
        label = number(panel.size) + (" (held out)" if panel.held_out else "")
        _draw_series(ax, loss, axis, 1.0, color=colour, linestyle=style, marker="o", markersize=3, label=label)
        above = np.isfinite(loss.x)
        if mark and mark.x.value is not None and above.any():
            y = np.interp(mark.x.value, np.array(loss.x)[above], np.array(loss.mean)[above])
            points.append((mark.x.value, y, interval_bar(mark.x, axis.low, axis.high), colour))
    if points:
        x, y, bars, edges = zip(*points, strict=True)
        ax.errorbar(x, y, xerr=np.hstack(bars), fmt="none", ecolor=edges, zorder=5)
        ax.scatter(x, y, s=25, marker="D", facecolors=PALETTE["paper"], edgecolors=edges, zorder=6)
    mark_look: dict[str, Any] = {"marker": "D", "markerfacecolor": PALETTE["paper"], "color": PALETTE["ink"]}
    ax.plot([], [], label="tolerance point, 90 % interval", **mark_look)
    _legend(figure, dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True)), 5)
    return figure


def law_figure(items: Sequence[LawPanel]) -> "Figure":
    """Points against size with the law's band, the written prediction and what was observed."""
    spans = [_law_span(panel) for panel in items]
    low, high = min(a for a, _ in spans), max(b for _, b in spans)
    axis = dose_axis([low, high], items[0].unit, 0.07)
    sizes = sorted({mark.size for panel in items for mark in (*panel.points, *panel.predicted, *panel.observed)})
    many = len(sizes) > 6
    figure, grid = _blank(len(items), len(items), height=2.45, lines=1, titles=0.26, bottom=0.7 if many else BOTTOM)
    for i, (ax, panel) in enumerate(zip(grid, items, strict=True)):
        ax.set_xscale("log")
        ax.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
        ax.set_xticks(sizes, [number(size) for size in sizes], rotation=40 if many else 0)
        ax.set_xticks([], minor=True)
        ax.set_xlabel("size, non-embedding parameters")
        ax.set_ylim(axis.low, axis.high)
        ax.tick_params(labelleft=i == 0)
        ax.set_yticks([x for x, _ in axis.ticks], [text for _, text in axis.ticks])
        ax.set_ylabel("" if i else _dose_label(axis.unit))
        _draw_law(ax, panel, axis)
    entries: dict[str, Any] = {}
    for ax in grid:
        entries = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True)) | entries
    _legend(figure, entries, 4)
    return figure


def _law_span(panel: LawPanel) -> tuple[float, float]:
    """The x that a law's panel shows: points and predictions, intervals no further than 1.5 dex, 0.6 dex at least."""
    marks = [*panel.points, *panel.predicted, *panel.observed]
    ends = [[end for end in (m.x.value, m.x.low, m.x.high) if end is not None] for m in marks]
    centres = [group[0] for group in ends if group] or [0.0]
    low, high = min(centres) - 1.5, max(centres) + 1.5
    inside = [min(max(end, low), high) for group in ends for end in group] or [low, high]
    middle = (min(inside) + max(inside)) / 2
    return min(*inside, middle - 0.3), max(*inside, middle + 0.3)


def _draw_law(ax: "Axes", panel: LawPanel, axis: DoseAxis) -> None:
    """One kind of point."""
    colour, ink = PALETTE[outcome_of(panel.kind).colour], PALETTE["ink"]
    if panel.sizes:
        ax.plot(panel.sizes, panel.median, color=colour, linewidth=1.4, label="law, 90 % band")
        ax.fill_between(panel.sizes, panel.low, panel.high, color=colour, alpha=0.13, linewidth=0)
    ends = axis.low, axis.high
    for marks, aside, look in (
        (panel.points, 1.0, {"fmt": "o", "color": colour, "label": "fitted point, 90 % interval"}),
        (panel.predicted, 1 / 1.04, {"fmt": "_", "color": ink, "label": "predicted, 90 % interval"} | WIDE),
        (panel.observed, 1.04, {"fmt": "D", "color": ink, "label": "held out, observed"}),
    ):
        draw_spots(ax, [(mark.size * aside, mark.x) for mark in marks], *ends, **look)
    name = kind_named(panel.kind).title
    ax.set_title(name if panel.sizes else f"{name}: no law", loc="left", y=1)


def _all_x(items: Sequence[Panel], score: str) -> list[float]:
    return [x for panel in items for x in panel.scores[score].x]


def _dose_label(unit: DoseUnit) -> str:
    return "infused share, log odds scale" if unit == "share" else "exposures of each fact, log scale"


def _blank(
    count: int, columns: int, *, height: float, lines: int, titles: float, bottom: float = BOTTOM
) -> tuple["Figure", list["Axes"]]:
    """A figure of the page's width and its empty panels.

    All in inches: the height of a panel, the room for its title above it, and the margin below all. lines: of legend.
    """
    from matplotlib.figure import Figure

    rows, gap = -(-count // columns), titles + TICKS
    top = LINE * lines + 0.05 + titles
    whole = top + rows * height + (rows - 1) * gap + bottom
    width = (FIGURE_WIDTH - LEFT - RIGHT - (columns - 1) * BETWEEN) / columns
    figure = Figure(figsize=(FIGURE_WIDTH, whole))
    figure.subplots_adjust(
        left=LEFT / FIGURE_WIDTH,
        right=1 - RIGHT / FIGURE_WIDTH,
        bottom=bottom / whole,
        top=1 - top / whole,
        wspace=BETWEEN / width,
        hspace=gap / height,
    )
    panels = [figure.add_subplot(rows, columns, i + 1) for i in range(count)]
    for ax in panels:
        ax.xaxis.set_label_coords(0.5, -(bottom - 0.25) / height)
        ax.yaxis.set_label_coords((0.17 - LEFT) / width, 0.5)
    return figure, panels


def _legend(figure: "Figure", entries: dict[str, Any], columns: int) -> None:
    """The legend above all panels. entries: what is drawn, by its label."""
    look: dict[str, Any] = {"frameon": False, "borderaxespad": 0.2, "borderpad": 0.2}
    figure.legend([*entries.values()], [*entries], loc="upper left", ncols=columns, **look)


def _dress_dose_axis(ax: "Axes", axis: DoseAxis, label: str) -> None:
    """Ticks in doses, and a break in the axis before dose 0."""
    ticks = ([(axis.zero, "0")] if axis.zero is not None else []) + list(axis.ticks)
    ax.set_xticks([x for x, _ in ticks], [label for _, label in ticks])
    span = axis.high - axis.low
    ax.set_xlim(axis.low if axis.zero is None else axis.zero - 0.06 * span, axis.high)
    ax.set_xlabel(label)
    if axis.zero is not None:
        ax.text((axis.zero + axis.low) / 2, 0, "//", ha="center", va="center", transform=ax.get_xaxis_transform(),
                color=PALETTE["ink"], backgroundcolor=PALETTE["paper"], fontsize=8,
                bbox={"facecolor": PALETTE["paper"], "edgecolor": "none", "pad": 0.3}, clip_on=False)  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A figure on disk: which one, at which token count, its file, and what its marks mean."""

    name: FigureName
    tokens: float
    path: Path
    caption: str


def dose_response_caption(items: Sequence[Panel]) -> str:
    """What the marks of the figure mean, of those that are drawn."""
    drawn = spread_out(items)
    scores = [outcome.title for outcome in _others() if any(panel.scores[outcome.name].x for panel in drawn)]
    several = any(len(panel.seeds) > len(panel.recall.x) for panel in drawn)
    located = [kind for kind in (ACQUIRED.name, COLLAPSE.name) if any(_value(panel.mark(kind)) for panel in drawn)]
    panels = "one panel a size" if len(drawn) == len(items) else f"{len(drawn)} of {len(items)} sizes, spread out"
    parts = [f"{listed(['Recall', *scores])} by dose, {panels}. Dots with bars are means over seeds"]
    parts += [", faint dots single seeds"] * several
    parts += [", the blue line the fitted shape"] * any(panel.line[0] for panel in drawn)
    parts += ["."]
    if located:
        parts.append(f" Vertical lines are the {' and '.join(located)} points, shades their intervals.")
    parts += [" Dose 0 stands left of the break."] * any(-np.inf in panel.recall.x for panel in drawn)
    return "".join(parts)


def law_caption(items: Sequence[LawPanel]) -> str:
    """What the marks of the figure mean, of those that are drawn."""
    marks = [mark for panel in items for mark in (*panel.points, *panel.observed)]
    parts = ["Collapse points against size."]
    parts += [" The line is the law's median, the band its 90 % interval for a new model."] * any(
        p.sizes for p in items
    )
    bounds = any(mark.x.value is None and mark.x != Interval() for mark in marks)
    parts += [" Triangles are bounds: the point lies somewhere that way."] * bounds
    parts += [" The wide bar is the prediction."] * any(_value(mark) for p in items for mark in p.predicted)
    parts += [" The diamond is what the held-out model showed."] * any(p.observed for p in items)
    return "".join(parts)


def loss_caption(items: Sequence[Panel]) -> str:
    """What the marks of the figure mean, of those that are drawn."""
    located = any(_value(panel.mark(TOLERANCE.name)) for panel in items)
    return f"Validation loss by dose, a line a size{'; the diamonds are the tolerance points' if located else ''}."


def _value(mark: Mark | None) -> bool:
    return mark is not None and mark.x.value is not None


def write_figures(
    folder: Path, items: Sequence[Panel], law: Law, comparison: Comparison, form: Format = "svg"
) -> list[Drawing]:
    """Draw all figures of a study into `folder`, one of each for a token count. Returns them in order."""
    sets = by_tokens([panel for panel in items if panel.recall.x])
    held_out = "held out" if comparison.already_known else "held out, predicted first"
    out = []
    for members in sets:
        tokens = members[0].tokens
        suffix = f"-{number(tokens)}" if len(sets) > 1 else ""
        laws = law_panels(law, comparison, tokens)
        losses = [panel for panel in members if panel.scores[LOSS_NAME].x]
        jobs: list[tuple[FigureName, Callable[[Any], Any], Callable[[Any], str], Sequence[Any]]] = [
            ("dose-response", partial(dose_response_figure, held_out=held_out), dose_response_caption, members),
            ("law", law_figure, law_caption, laws),
            ("validation-loss", val_bpb_figure, loss_caption, losses),
        ]
        for name, draw, caption, data in jobs:
            if data:
                path = folder / f"{name}{suffix}.{form}"
                with style(path.stem):
                    save(draw(data), path)
                out.append(Drawing(name, tokens, path, caption(data)))
    return sorted(out, key=lambda drawing: ("dose-response", "law", "validation-loss").index(drawing.name))


def save(figure: "Figure", path: Path) -> None:
    """Write a figure in the format that the file's name ends with."""
    form = path.suffix[1:]
    with atomic_path(path) as part:
        figure.savefig(part, format=form, dpi=DPI, metadata={"Date": None} if form == "svg" else None)


@contextmanager
def style(salt: str) -> Iterator[None]:
    """Our look, and ids in the SVG that are the same every time; matplotlib's settings are put back afterwards."""
    import matplotlib

    ink, paper = PALETTE["ink"], PALETTE["paper"]
    settings: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.size": 9.5,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "legend.fontsize": 9,
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "savefig.facecolor": paper,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": PALETTE["quiet"],
        "grid.alpha": 0.2,
        "grid.linewidth": 0.6,
        **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 0),  # the grid shows the place
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink),
        "legend.labelcolor": ink,
    }
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        yield
