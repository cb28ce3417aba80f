"""The retention trade-off: what each dose buys in recall and costs in retention, a line a size."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from infusionlaw.law.numbers import number
from infusionlaw.report.figures import blank_figure, save, style
from infusionlaw.runs.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELLED = (0.0, 0.85, 0.96)


def write_tradeoff(folder: Path, rows: Sequence[RunRecord]) -> Path:
    """Draw the trade-off of every token count into `folder`, as png; returns its path."""
    with style("tradeoff"):
        return save(tradeoff_figure(rows), folder / "tradeoff", ["png"])


def tradeoff_figure(rows: Sequence[RunRecord]) -> "Figure":
    """Retention against recall, means over seeds, one panel a token count; the dose grows along a line from its
    ring."""
    token_counts = sorted({row.tokens for row in rows})
    out = blank_figure(3.6)
    axes = out.subplots(1, len(token_counts), sharey=True, squeeze=False)[0]
    for ax, tokens in zip(axes, token_counts, strict=True):
        _panel(ax, [row for row in rows if row.tokens == tokens], sorted({row.size for row in rows}))
        ax.set_title(f"{number(tokens)} tokens", loc="left")
        ax.set(xlabel="recall", xlim=(0, 1.05), ylim=(0, 1.05))
    axes[0].set_ylabel("retention")
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    out.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(7, len(handles)), frameon=False)
    return out


def _panel(ax: "Axes", rows: Sequence[RunRecord], sizes: Sequence[float]) -> None:
    from matplotlib import colormaps

    for size in sorted({row.size for row in rows}):
        colour = colormaps["viridis"](0.9 * sizes.index(size) / max(len(sizes) - 1, 1))
        line = _means([row for row in rows if row.size == size])
        if not line:
            continue
        ax.plot([x for _, x, _ in line], [y for _, _, y in line], "o-", color=colour, markersize=3, label=number(size))
        ax.plot(*line[0][1:], "o", markersize=8, markerfacecolor="none", markeredgecolor=colour)
        if size == max(row.size for row in rows):
            for dose, x, y in line:
                if any(abs(dose - known) < 0.005 for known in LABELLED):
                    ax.annotate(f"{dose:.2g}", (x, y), (4, -10), textcoords="offset points", fontsize=8)


def _means(rows: Sequence[RunRecord]) -> list[tuple[float, float, float]]:
    """Share, mean recall and mean retention by dose, in order."""
    by_dose: dict[float, list[RunRecord]] = {}
    for row in rows:
        if row.recall is not None and row.retention is not None:
            by_dose.setdefault(round(row.share or 0.0, 2), []).append(row)
    return [
        (dose, fmean(row.recall or 0.0 for row in group), fmean(row.retention or 0.0 for row in group))
        for dose, group in sorted(by_dose.items())
    ]
