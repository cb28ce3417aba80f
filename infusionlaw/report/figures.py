"""The figures of a study, drawn with matplotlib from what `plotdata` computes, and written as png and svg.

Colours are named (`PALETTE`), so that a page can give the same figure other colours in a dark scheme.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infusionlaw.files import atomic_path
from infusionlaw.law.dose import Interval
from infusionlaw.law.numbers import listed, number
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.law.plot import interval_bar
from infusionlaw.law.scaling.law import Law
from infusionlaw.report.plotdata import (
    DoseAxis,
    LawPanel,
    Mark,
    Panel,
    Series,
    by_tokens,
    collapse_note,
    dose_axis,
    law_panels,
)
from infusionlaw.runs.outcomes import ACQUISITION as ACQUIRED
from infusionlaw.runs.outcomes import COLLAPSE, TOLERANCE, Outcome, kind_named, outcome_of, outcomes
from infusionlaw.runs.record import DoseUnit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which readers with any colour vision can tell apart.
PALETTE = {
    "paper": "#fffffe",
    "ink": "#1b1f25",
    "quiet": "#8b9098",
    "recall": "#0072b2",
    "surface": "#009e73",
    "retention": "#d55e00",
    "other": "#cc79a7",
}
FIGURE_WIDTH, DPI = 8.0, 150
RECALL_NAME, LOSS_NAME = "recall", "val_bpb"
MARKERS = ("s", "^", "v", "P", "X", "<", ">", "*")
RECALL_LABEL, SHAPE_LABEL, GUESSING_LABEL, ACQUISITION, COLLAPSE_LABEL = LEGEND = (
    "recall, 90 % interval",
    "fitted shape of recall",
    "unseen recall (guessing)",
    "acquisition point, 90 % interval",
    "collapse point, 90 % interval",
)
FigureName = Literal["dose-response", "law", "validation-loss"]
Format = Literal["svg", "png"]
FORMATS: tuple[Format, ...] = ("svg", "png")


def dose_response_figure(items: Sequence[Panel], held_out: str = "held out, predicted first") -> "Figure":
    """Recall, verbatim recall, retention and guessing by dose, one panel a size, points marked."""
    columns = min(2, len(items))
    rows = -(-len(items) // columns)
    figure = blank_figure(2.6 * rows + 0.5)
    axis = dose_axis(_all_x(items, RECALL_NAME), items[0].unit, 0.105)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, panel in zip(grid.flat, items, strict=False):
        _draw_panel(ax, panel, axis, held_out)
    for ax in grid.flat[len(items) :]:
        ax.set_axis_off()
    for i, ax in enumerate(grid.flat[: len(items)]):
        ax.tick_params(labelbottom=True)
        if i + columns >= len(items):
            ax.set_xlabel(_dose_label(axis.unit))
        if i % columns == 0:
            ax.set_ylabel("share of facts right")
    entries = dict(zip(*reversed(grid.flat[0].get_legend_handles_labels()), strict=True))
    order = sorted(entries, key=lambda label: LEGEND.index(label) if label in LEGEND else 2)
    figure.legend([entries[label] for label in order], order, loc="outside upper left", ncols=3, frameon=False)
    return figure


def _draw_panel(ax: "Axes", panel: Panel, axis: DoseAxis, held_out: str) -> None:
    _draw_point(ax, panel.mark(ACQUIRED.name), axis, ACQUISITION, "quiet", (0, (2, 2)))
    _draw_point(ax, panel.mark(COLLAPSE.name), axis, COLLAPSE_LABEL, "recall", "solid")
    _draw_series(ax, panel.unseen, axis, GUESSING_LABEL, "quiet", "")
    for outcome, marker in zip(_others(), MARKERS, strict=False):
        _draw_series(ax, panel.scores[outcome.name], axis, outcome.title, outcome.colour, marker)
    ax.plot(axis.place([x for x, _ in panel.seeds]), [y for _, y in panel.seeds], ".", color=PALETTE["recall"],
            alpha=0.35, markersize=3)  # fmt: skip
    recall = panel.recall
    ax.errorbar(axis.place(recall.x), recall.mean, recall.half, fmt="o", color=PALETTE["recall"], markersize=4,
                elinewidth=1, capsize=2, label=RECALL_LABEL, zorder=4)  # fmt: skip
    ax.plot(*panel.line, color=PALETTE["recall"], linewidth=1.6, label=SHAPE_LABEL)
    ax.set_ylim(-0.03, 1.03)
    title = f"{number(panel.size)} parameters"
    ax.set_title(f"{title} ({held_out})" if panel.held_out else title, loc="left", pad=17)
    ax.text(0, 1.025, collapse_note(panel), transform=ax.transAxes, fontsize=8.5)
    _dress_dose_axis(ax, axis)


def _others() -> list[Outcome]:
    """The outcomes from 0 to 1 that are drawn beside recall."""
    return [outcome for outcome in outcomes() if outcome.scale == "proportion" and outcome.name != RECALL_NAME]


def _draw_series(ax: "Axes", series: Series, axis: DoseAxis, label: str, colour: str, marker: str) -> None:
    """A series as a line from its first dose above 0; dose 0 stands apart. Drawn even when empty, for the legend."""
    x, above = axis.place(series.x), [i for i, value in enumerate(series.x) if np.isfinite(value)]
    style: dict[str, Any] = {"color": PALETTE[colour], "linewidth": 1.0, "marker": marker, "markersize": 3}
    ax.plot([x[i] for i in above], [series.mean[i] for i in above], label=label, **style)
    at_zero = [i for i, value in enumerate(series.x) if not np.isfinite(value)]
    ax.plot([x[i] for i in at_zero], [series.mean[i] for i in at_zero], **(style | {"marker": marker or "_"}))
    if any(series.half):
        ax.errorbar(x, series.mean, series.half, fmt="none", ecolor=PALETTE[colour], elinewidth=0.7, alpha=0.6)


def _draw_point(ax: "Axes", mark: Mark | None, axis: DoseAxis, label: str, colour: str, style: Any) -> None:
    """A vertical line at the point and its interval as a shade, which runs to the edge where an end is open."""
    value = mark.x.value if mark else None
    ax.plot([], [], color=PALETTE[colour], linewidth=1.2, linestyle=style, label=label)
    if mark is None or value is None:
        return
    low, high = (edge if end is None else end for end, edge in ((mark.x.low, axis.low), (mark.x.high, axis.high)))
    ax.axvspan(max(low, axis.low), min(high, axis.high), color=PALETTE[colour], alpha=0.18, linewidth=0)
    ax.axvline(value, color=PALETTE[colour], linewidth=1.2, linestyle=style)


def val_bpb_figure(items: Sequence[Panel]) -> "Figure":
    """Validation loss by dose, a line a size, with tolerance points."""
    from matplotlib import colormaps

    figure = blank_figure(3.6)
    ax = figure.subplots()
    axis = dose_axis(_all_x(items, LOSS_NAME), items[0].unit, 0.06)
    sizes = sorted({panel.size for panel in items})
    for panel in items:
        shade = 0.3 + 0.5 * sizes.index(panel.size) / max(len(sizes) - 1, 1)
        _draw_loss(ax, panel, axis, colormaps["viridis"](shade))
    mark: dict[str, Any] = {"marker": "D", "markerfacecolor": PALETTE["paper"], "color": PALETTE["ink"]}
    ax.plot([], [], label="tolerance point, 90 % interval", **mark)
    ax.set_ylabel("validation loss, bits per byte")
    ax.set_xlabel(_dose_label(axis.unit))
    _dress_dose_axis(ax, axis)
    figure.legend(loc="outside upper left", ncols=5, frameon=False)
    return figure


def _draw_loss(ax: "Axes", panel: Panel, axis: DoseAxis, colour: Any) -> None:
    x, mean = axis.place(panel.scores[LOSS_NAME].x), panel.scores[LOSS_NAME].mean
    above = [i for i, value in enumerate(panel.scores[LOSS_NAME].x) if np.isfinite(value)]
    style = "dashed" if panel.held_out else "solid"
    label = number(panel.size) + (" (held out)" if panel.held_out else "")
    ax.errorbar(x, mean, panel.scores[LOSS_NAME].half, fmt="o", markersize=3, color=colour, elinewidth=0.8)
    ax.plot([x[i] for i in above], [mean[i] for i in above], color=colour, linestyle=style, label=label)
    mark = panel.mark(TOLERANCE.name)
    if mark and mark.x.value is not None and above:
        y = float(np.interp(mark.x.value, [x[i] for i in above], [mean[i] for i in above]))
        bar = interval_bar(mark.x, axis.low, axis.high)
        ax.errorbar(mark.x.value, y, xerr=bar, fmt="D", markersize=5, color=colour, capsize=3, zorder=5,
                    markerfacecolor=PALETTE["paper"])  # fmt: skip


def law_figure(items: Sequence[LawPanel]) -> "Figure":
    """Points against size with the law's band, the written prediction and what was observed."""
    figure = blank_figure(3.7)
    spans = [_law_span(panel) for panel in items]
    low, high = min(a for a, _ in spans), max(b for _, b in spans)
    axis = dose_axis([low, high], items[0].unit, 0.07)
    sizes = sorted({mark.size for panel in items for mark in (*panel.points, *panel.predicted, *panel.observed)})
    grid = figure.subplots(1, len(items), sharex=True, sharey=True, squeeze=False)
    for ax, panel in zip(grid.flat, items, strict=True):
        _draw_law(ax, panel, axis, sizes)
    grid.flat[0].set_ylabel(_dose_label(axis.unit))
    entries: dict[str, Any] = {}
    for ax in grid.flat:
        entries = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True)) | entries
    figure.legend([*entries.values()], [*entries], loc="outside upper left", ncols=4, frameon=False)
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


def _draw_law(ax: "Axes", panel: LawPanel, axis: DoseAxis, sizes: Sequence[float]) -> None:
    """One kind of point. sizes: of all panels, which share the axis."""
    colour = PALETTE[outcome_of(panel.kind).colour]
    if panel.sizes:
        ax.plot(panel.sizes, panel.median, color=colour, linewidth=1.4, label="law, 90 % band")
        ax.fill_between(panel.sizes, panel.low, panel.high, color=colour, alpha=0.13, linewidth=0)
    _draw_marks(ax, panel.points, axis, "o", colour, "fitted point, 90 % interval")
    shifted = [Mark(m.kind, m.size / 1.04, m.x, m.status) for m in panel.predicted]
    _draw_marks(ax, shifted, axis, "_", PALETTE["ink"], "predicted, 90 % interval", 4)
    moved = [Mark(m.kind, m.size * 1.04, m.x, m.status) for m in panel.observed]
    _draw_marks(ax, moved, axis, "D", PALETTE["ink"], "held out, observed")
    ax.set_xscale("log")
    ax.set_xticks(sizes, [number(size) for size in sizes], minor=False)
    ax.set_xticks([], minor=True)
    ax.tick_params(axis="x", labelrotation=40 if len(sizes) > 6 else 0)
    ax.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
    ax.set_xlabel("size, non-embedding parameters")
    ax.set_ylim(axis.low, axis.high)
    ax.set_yticks([x for x, _ in axis.ticks], [text for _, text in axis.ticks])
    name = kind_named(panel.kind).title
    ax.set_title(name if panel.sizes else f"{name}: no law", loc="left")


def _draw_marks(
    ax: "Axes", marks: Sequence[Mark], axis: DoseAxis, shape: str, colour: str, label: str, width: float = 1.2
) -> None:
    """Located points with their intervals; bounds as arrows that point to where the point must lie."""
    size = 9 if shape == "_" else 5
    if any(mark.x.value is not None for mark in marks):
        ax.plot([], [], shape, color=colour, label=label, markersize=size)
    for mark in marks:
        value, bound = mark.x.value, mark.x.low if mark.x.low is not None else mark.x.high
        if value is not None:
            ax.errorbar(mark.size, value, yerr=interval_bar(mark.x, axis.low, axis.high), fmt=shape, color=colour,
                        elinewidth=width, zorder=4, alpha=0.55 if shape == "_" else 1, markersize=size)  # fmt: skip
        elif bound is not None:
            up = 1 if mark.x.low is not None else -1
            ax.annotate("", (mark.size, bound + up * 0.12 * (axis.high - axis.low)), (mark.size, bound),
                        arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.2})  # fmt: skip
            ax.plot(mark.size, bound, shape, color=colour, markerfacecolor=PALETTE["paper"], markersize=size)


def _all_x(items: Sequence[Panel], score: str) -> list[float]:
    return [x for panel in items for x in panel.scores[score].x]


def _dose_label(unit: DoseUnit) -> str:
    return "infused share, log odds scale" if unit == "share" else "exposures of each fact, log scale"


def blank_figure(height: float) -> "Figure":
    """An empty figure of a page's width; height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(FIGURE_WIDTH, height), layout="constrained")


def _dress_dose_axis(ax: "Axes", axis: DoseAxis) -> None:
    """Ticks in doses, and a break in the axis before dose 0."""
    ticks = ([(axis.zero, "0")] if axis.zero is not None else []) + list(axis.ticks)
    ax.set_xticks([x for x, _ in ticks], [label for _, label in ticks])
    span = axis.high - axis.low
    ax.set_xlim(axis.low if axis.zero is None else axis.zero - 0.06 * span, axis.high)
    if axis.zero is not None:
        ax.text((axis.zero + axis.low) / 2, 0, "//", ha="center", va="center", transform=ax.get_xaxis_transform(),
                color=PALETTE["ink"], backgroundcolor=PALETTE["paper"], fontsize=8,
                bbox={"facecolor": PALETTE["paper"], "edgecolor": "none", "pad": 0.3}, clip_on=False)  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A figure on disk: which one, at which token count, its file of the first format, and what its marks mean."""

    name: FigureName
    tokens: float
    path: Path
    caption: str


def dose_response_caption(items: Sequence[Panel]) -> str:
    """What the marks of the figure mean, of those that are drawn."""
    scores = [outcome.title for outcome in _others() if any(panel.scores[outcome.name].x for panel in items)]
    several = any(len(panel.seeds) > len(panel.recall.x) for panel in items)
    located = [kind for kind in (ACQUIRED.name, COLLAPSE.name) if any(_value(panel.mark(kind)) for panel in items)]
    parts = [f"{listed(['Recall', *scores])} by dose, one panel a size. Dots with bars are means over seeds"]
    parts += [", faint dots single seeds"] * several
    parts += [", the blue line the fitted shape"] * any(panel.line[0] for panel in items)
    parts += ["."]
    if located:
        parts.append(f" Vertical lines are the {' and '.join(located)} points, shades their intervals.")
    parts += [" Dose 0 stands left of the break."] * any(-np.inf in panel.recall.x for panel in items)
    return "".join(parts)


def law_caption(items: Sequence[LawPanel]) -> str:
    """What the marks of the figure mean, of those that are drawn."""
    marks = [mark for panel in items for mark in (*panel.points, *panel.observed)]
    parts = ["Collapse points against size."]
    parts += [" The line is the law's median, the band its 90 % interval for a new model."] * any(
        p.sizes for p in items
    )
    bounds = any(mark.x.value is None and mark.x != Interval() for mark in marks)
    parts += [" Rings with arrows are bounds: the point lies somewhere that way."] * bounds
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
    folder: Path,
    items: Sequence[Panel],
    law: Law,
    comparison: Comparison,
    formats: Sequence[Format] = FORMATS,
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
                with style(f"{name}{suffix}"):
                    path = save(draw(data), folder / f"{name}{suffix}", formats)
                out.append(Drawing(name, tokens, path, caption(data)))
    return sorted(out, key=lambda drawing: ("dose-response", "law", "validation-loss").index(drawing.name))


def save(figure: "Figure", path: Path, formats: Sequence[Format] = FORMATS) -> Path:
    """Write a figure at `path` with each format's name behind a dot; returns the first of these."""
    files = [path.with_name(f"{path.name}.{name}") for name in formats]
    for name, file in zip(formats, files, strict=True):
        with atomic_path(file) as part:
            figure.savefig(part, format=name, dpi=DPI, metadata={"Date": None} if name == "svg" else None)
    return files[0]


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
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink),
        "legend.labelcolor": ink,
    }
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        yield
