"""Figures of points, laws and plans from plain numbers, and the colours and axis of doses that all figures share.

Doses lie on an axis of log odds where they are shares, else of logs: that is where laws are fitted.
matplotlib is loaded when the first figure is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infusionlaw.errors import InputError, needing
from infusionlaw.law.dose import Array, Interval, Scale, x_at
from infusionlaw.law.numbers import DOSE_WORDS, number, share
from infusionlaw.runs.outcomes import outcome_named
from infusionlaw.runs.record import UNSTATED, DoseUnit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.2, 3.4  # of a panel, inches
REACH = 1.2  # dex that an axis shows beyond the outermost value
BAND, BAR = 0.15, 1.2
MOST_TICKS, SPACING = 7, 0.11  # ticks of sizes; least room between ticks of doses, of the axis
# The most telling first.
SHARE_TICKS = (0.5, 0.9, 0.1, 0.99, 0.01, 0.001, 0.8, 0.3, 0.95, 0.999, 0.7, 0.03, 0.003, 0.2, 0.98, 0.05, 0.6, 0.97)
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


def coordinate(doses: Any, unit: DoseUnit) -> tuple[float, ...]:
    """Doses in the law's coordinate x; shares that rounding took to 0 or 1 are kept finite."""
    doses = np.asarray(doses, dtype=float)
    x = x_at(np.clip(doses, 1e-9, 1 - 1e-9 if unit == "share" else None), unit)
    return tuple(np.atleast_1d(x).tolist())


@dataclass(frozen=True)
class DoseAxis:
    """An axis of doses. low, high: ends in x; zero: where dose 0 is drawn, None without one; ticks: (x, label)."""

    unit: DoseUnit
    low: float
    high: float
    zero: float | None
    ticks: tuple[tuple[float, str], ...]

    def place(self, x: Sequence[float]) -> list[float]:
        """Where to draw x: itself, and dose 0 at its own place."""
        zero = self.low if self.zero is None else self.zero
        return [value if np.isfinite(value) else zero for value in x]


def dose_axis(x: Sequence[float], unit: DoseUnit, spacing: float = SPACING) -> DoseAxis:
    """An axis that holds all x (-inf is dose 0), its tick labels at least `spacing` of its length apart."""
    finite = [value for value in x if np.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    room = max(0.06 * (high - low), 0.05)
    low, high = low - room, high + room
    zero = low - 0.1 * (high - low) if len(finite) < len(x) else None
    return DoseAxis(unit, low, high, zero, _ticks(low, high, unit, spacing))


def _ticks(low: float, high: float, unit: DoseUnit, spacing: float) -> tuple[tuple[float, str], ...]:
    """Round doses between the ends, the most telling first, as many as have room."""
    if unit == "share":
        doses, show = list(SHARE_TICKS), share
    else:
        powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
        doses, show = [step * 10.0**power for step in (1, 3, 2, 5) for power in powers], number
    kept: dict[float, str] = {}
    for dose, x in zip(doses, coordinate(doses, unit), strict=True):
        if low <= x <= high and all(abs(x - other) >= spacing * (high - low) for other in kept):
            kept[x] = show(dose).rstrip("0") if unit == "share" else show(dose)
    return tuple(sorted(kept.items()))


def shades(count: int) -> list[Any]:
    """Colours for things in an order, such as sizes."""
    from matplotlib import colormaps

    return [colormaps["viridis"](0.25 + 0.6 * i / max(count - 1, 1)) for i in range(count)]


@dataclass(frozen=True)
class Spot:
    """A dose at a size and token count, with its interval. Without a value it is a bound: low or high."""

    size: float
    tokens: float
    dose: Interval


@dataclass(frozen=True)
class Curve:
    """A dose by size at one token count, with its interval: sizes, low, median and high (n,)."""

    tokens: float
    sizes: Array
    low: Array
    median: Array
    high: Array


@dataclass(frozen=True)
class Panel:
    """The points of one kind, and its law at some token counts."""

    title: str
    spots: Sequence[Spot]
    curves: Sequence[Curve] = ()


def by_size(panels: Sequence[Panel], unit: DoseUnit) -> "Figure":
    """Draw doses against size, a panel a kind and a colour a token count. InputError where there is none to draw."""
    panels = [panel for panel in panels if panel.spots or panel.curves]
    spots = [spot for panel in panels for spot in panel.spots]
    places = [end for spot in spots for end in (spot.dose.value, spot.dose.low, spot.dose.high) if end is not None]
    if not places:
        raise InputError("there is nothing to draw: no point has a value or a bound")
    figure = _figure(len(panels))
    grid: Sequence[Axes] = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    counts = sorted({spot.tokens for spot in spots} | {curve.tokens for panel in panels for curve in panel.curves})
    colours = dict(zip(counts, shades(len(counts)), strict=True))
    values = [spot.dose.value for spot in spots if spot.dose.value is not None] or places
    ends = [end for panel in panels for c in panel.curves for end in (c.median[0], c.median[-1])]
    axis = _reaching([*values, *ends], unit)
    low, high = _ends(axis)
    for ax, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            ax.plot(curve.sizes, curve.median, color=colours[curve.tokens], linewidth=1.4)
            ax.fill_between(curve.sizes, curve.low, curve.high, color=colours[curve.tokens], alpha=BAND, linewidth=0)
        for tokens in counts:
            mine = [(spot.size, spot.dose) for spot in panel.spots if spot.tokens == tokens]
            draw_spots(ax, mine, low, high, color=colours[tokens])
        ax.set_title(panel.title, loc="left")
        ax.set_xlabel("size, non-embedding parameters")
    grid[0].set_ylabel(DOSE_WORDS[unit].axis)
    _show(axis, grid[0], "y")
    _size_axis(grid[0], sorted({spot.size for spot in spots}))
    if counts != [UNSTATED]:
        for tokens in counts if len(counts) <= 6 else (counts[0], counts[len(counts) // 2], counts[-1]):
            grid[-1].plot([], [], "o", color=colours[tokens], label=f"{number(tokens)} tokens")
        grid[-1].legend(frameon=False)
    return figure


def draw_spots(
    ax: "Axes", spots: Sequence[tuple[float, Interval]], low: float, high: float, *, color: Any, **look: Any
) -> None:
    """Mark places by size with their intervals; a bound is a triangle that points to where the place lies.

    low, high: ends of the axis, where open intervals end. look: of the marks that have a value, as for `errorbar`.
    """
    located = [(size, x.value, interval_bar(x, low, high)) for size, x in spots if x.value is not None]
    if located:
        sizes, values, bars = zip(*located, strict=True)
        ax.errorbar(
            sizes, values, np.hstack(bars), **{"fmt": "o", "elinewidth": BAR, "color": color, "zorder": 4, **look}
        )
    bounds = [(size, x) for size, x in spots if x.value is None]
    above = [(size, x.low) for size, x in bounds if x.low is not None]
    below = [(size, x.high) for size, x in bounds if x.low is None and x.high is not None]
    for shape, ends in (("^", above), ("v", below)):
        if ends:
            sizes, values = zip(*ends, strict=True)
            ax.plot(sizes, np.clip(values, low, high), shape, color=color, markerfacecolor="none")


def by_dose(
    marks: Mapping[str, Interval], scores: Mapping[str, Sequence[tuple[float, Interval]]], unit: DoseUnit
) -> "Figure":
    """Draw doses with their intervals, and below them what scores, by their outcome's name, are expected at which dose.

    InputError where there is no dose to draw.
    """
    known = {name: dose for name, dose in marks.items() if dose.value is not None}
    values = [dose.value for dose in known.values() if dose.value is not None]
    if not values:
        raise InputError("there is nothing to draw: no dose of it is known")
    axis = _reaching([*values, *(dose for score in scores.values() for dose, _ in score)], unit)
    low, high = _ends(axis)
    drawn = [name for name, score in scores.items() if score]
    figure = _figure(2)
    axes = figure.subplots(2 if drawn else 1, 1, sharex=True, squeeze=False)[:, 0]
    for row, (_, dose) in enumerate(known.items()):
        axes[0].errorbar(dose.value, row, xerr=interval_bar(dose, low, high), fmt="o", color=PALETTE["ink"], capsize=3)
    axes[0].set_yticks(range(len(known)), list(known))
    axes[0].set_ylim(len(known) - 0.5, -0.5)
    for name in drawn:
        outcome = outcome_named(name)
        x, y = [dose for dose, _ in scores[name]], [score.value or 0.0 for _, score in scores[name]]
        bars = np.concatenate([interval_bar(score, 0.0, 1.0) for _, score in scores[name]], axis=1)
        axes[1].errorbar(x, y, bars, fmt="o-", color=PALETTE[outcome.colour], capsize=3, label=outcome.title)
    if drawn:
        axes[1].set_ylim(-0.03, 1.03)
        axes[1].set_ylabel("expected")
        axes[1].legend(frameon=False)
    axes[-1].set_xlabel(DOSE_WORDS[unit].axis)
    _show(axis, axes[-1], "x")
    return figure


def _figure(panels: int) -> "Figure":
    with needing("plot", "plot()"):
        from matplotlib.figure import Figure
    return Figure(figsize=(WIDTH * panels, HEIGHT), layout="constrained")


def _reaching(doses: Sequence[float], unit: DoseUnit) -> DoseAxis:
    """The axis that shows all of these doses, and REACH beyond them."""
    x = coordinate(doses, unit)
    return dose_axis([min(x) - REACH, max(x) + REACH], unit)


def _ends(axis: DoseAxis) -> tuple[float, float]:
    """The ends of an axis in doses."""
    low, high = Scale(axis.unit).dose([axis.low, axis.high])
    return float(low), float(high)


def interval_bar(dose: Interval, low: float, high: float) -> Array:
    """Return the lengths below and above a value (2, 1), for error bars; an open end runs to the edge."""
    value = dose.value or 0.0
    below, above = (edge if end is None else end for end, edge in ((dose.low, low), (dose.high, high)))
    return np.array([[max(value - max(below, low), 0.0)], [max(min(above, high) - value, 0.0)]])


def _size_axis(ax: "Axes", sizes: Sequence[float]) -> None:
    """Make the axis below one of sizes, with those tried as ticks as far as they have room."""
    apart = np.log(sizes[-1] / sizes[0]) / MOST_TICKS
    ticks: list[float] = []
    for size in sizes:
        ticks += [size] if not ticks or np.log(size / ticks[-1]) >= apart else []
    ax.set_xscale("log")
    ax.set_xticks(ticks, [number(size) for size in ticks])
    ax.set_xticks([], minor=True)


def _show(axis: DoseAxis, ax: "Axes", which: str) -> None:
    """Give a panel an axis of doses, which are drawn as they are."""
    ax.set(**{f"{which}scale": "logit" if axis.unit == "share" else "log", f"{which}lim": _ends(axis)})
    shown = ax.yaxis if which == "y" else ax.xaxis
    shown.set_ticks(Scale(axis.unit).dose([x for x, _ in axis.ticks]), [text for _, text in axis.ticks])
    shown.set_ticks([], minor=True)
