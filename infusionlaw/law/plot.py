"""Figures of points, laws and plans from plain numbers. matplotlib is loaded when the first is drawn.

Doses lie on an axis of log odds where they are shares, else of logs: that is where laws are fitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infusionlaw.errors import InputError
from infusionlaw.law.dose import Array, Interval, Scale, x_at
from infusionlaw.law.numbers import count, number, share
from infusionlaw.runs.record import DoseUnit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.2, 3.4  # of a panel, inches
REACH = 1.2  # dex that an axis shows beyond the outermost value
BAND, BAR = 0.15, 1.2
MOST_TICKS = 7
LABELS: dict[DoseUnit, str] = {"share": "share of training tokens", "exposures": "exposures of each fact"}
SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.997, 0.999)


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
    from matplotlib import colormaps

    panels = [panel for panel in panels if panel.spots or panel.curves]
    spots = [spot for panel in panels for spot in panel.spots]
    places = [end for spot in spots for end in (spot.dose.value, spot.dose.low, spot.dose.high) if end is not None]
    if not places:
        raise InputError("there is nothing to draw: no point has a value or a bound")
    figure = _figure(len(panels))
    grid: Sequence[Axes] = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    counts = sorted({spot.tokens for spot in spots} | {curve.tokens for panel in panels for curve in panel.curves})
    colours = {d: colormaps["viridis"](0.8 * i / max(len(counts) - 1, 1)) for i, d in enumerate(counts)}
    values = [spot.dose.value for spot in spots if spot.dose.value is not None] or places
    ends = [end for panel in panels for c in panel.curves for end in (c.median[0], c.median[-1])]
    low, high = _ends([*values, *ends], unit)
    for ax, panel in zip(grid, panels, strict=True):
        for curve in panel.curves:
            ax.plot(curve.sizes, curve.median, color=colours[curve.tokens], linewidth=1.4)
            ax.fill_between(curve.sizes, curve.low, curve.high, color=colours[curve.tokens], alpha=BAND, linewidth=0)
        for spot in panel.spots:
            _draw_spot(ax, spot, colours[spot.tokens], low, high)
        ax.set_title(panel.title, loc="left")
        ax.set_xlabel("size, non-embedding parameters")
    grid[0].set_ylabel(LABELS[unit])
    _dose_axis(grid[0], "y", unit, low, high)
    _size_axis(grid[0], sorted({spot.size for spot in spots}))
    for tokens in counts if len(counts) <= 6 else (counts[0], counts[len(counts) // 2], counts[-1]):
        grid[-1].plot([], [], "o", color=colours[tokens], label=f"{number(tokens)} tokens")
    grid[-1].legend(frameon=False)
    return figure


def _draw_spot(ax: "Axes", spot: Spot, colour: Any, low: float, high: float) -> None:
    """A located dose with its interval; a bound as a triangle that points to where the dose lies."""
    dose = spot.dose
    if dose.value is not None:
        ax.errorbar(
            spot.size, dose.value, interval_bar(dose, low, high), fmt="o", color=colour, elinewidth=BAR, capsize=2
        )
    elif (bound := dose.low if dose.low is not None else dose.high) is not None:
        shape = "^" if dose.low is not None else "v"
        ax.plot(spot.size, min(max(bound, low), high), shape, color=colour, markerfacecolor="none")


def by_dose(
    marks: Mapping[str, Interval], scores: Mapping[str, Sequence[tuple[float, Interval]]], unit: DoseUnit
) -> "Figure":
    """Draw doses with their intervals, and below them what scores are expected at which dose.

    InputError where there is no dose to draw.
    """
    known = {name: dose for name, dose in marks.items() if dose.value is not None}
    values = [dose.value for dose in known.values() if dose.value is not None]
    if not values:
        raise InputError("there is nothing to draw: no dose of it is known")
    low, high = _ends([*values, *(dose for score in scores.values() for dose, _ in score)], unit)
    drawn = [name for name, score in scores.items() if score]
    figure = _figure(2)
    axes = figure.subplots(2 if drawn else 1, 1, sharex=True, squeeze=False)[:, 0]
    for row, (_, dose) in enumerate(known.items()):
        axes[0].errorbar(dose.value, row, xerr=interval_bar(dose, low, high), fmt="o", color=f"C{row}", capsize=3)
    axes[0].set_yticks(range(len(known)), list(known))
    axes[0].set_ylim(len(known) - 0.5, -0.5)
    for i, name in enumerate(drawn):
        x, y = [dose for dose, _ in scores[name]], [score.value or 0.0 for _, score in scores[name]]
        bars = np.concatenate([interval_bar(score, 0.0, 1.0) for _, score in scores[name]], axis=1)
        axes[1].errorbar(x, y, bars, fmt="o-", color=f"C{i}", capsize=3, label=name)
    if drawn:
        axes[1].set_ylim(-0.03, 1.03)
        axes[1].set_ylabel("expected")
        axes[1].legend(frameon=False)
    axes[-1].set_xlabel(LABELS[unit])
    _dose_axis(axes[-1], "x", unit, low, high)
    return figure


def _figure(panels: int) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH * panels, HEIGHT), layout="constrained")


def _ends(doses: Sequence[float], unit: DoseUnit) -> tuple[float, float]:
    """The doses between which an axis shows all of these, and REACH beyond them."""
    x = x_at(np.clip(doses, 1e-9, 1 - 1e-9 if unit == "share" else None), unit)
    low, high = Scale(unit).dose([x.min() - REACH, x.max() + REACH])
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


def _dose_axis(ax: "Axes", which: str, unit: DoseUnit, low: float, high: float) -> None:
    """Make an axis one of doses, with round ones as ticks."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    doses = SHARES if unit == "share" else [10.0**power for power in powers]
    ticks = [dose for dose in doses if low <= dose <= high]
    show = share if unit == "share" else count
    ax.set(**{f"{which}scale": "logit" if unit == "share" else "log", f"{which}lim": (low, high)})
    axis = ax.yaxis if which == "y" else ax.xaxis
    axis.set_ticks(ticks, [show(tick).rstrip("0") if unit == "share" else show(tick) for tick in ticks])
    axis.set_ticks([], minor=True)
