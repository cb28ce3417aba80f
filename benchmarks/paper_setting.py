"""The setting of the paper, on one simulated study: retention by exposures from 137M to 3B, and a prediction at 7B.

Draws one world of the kind "paper: 137M to 3B in exposures", finds the point of each of its five retention curves, fits
the law to them, and predicts where a model of 7B parameters begins to forget. The truth is known and shown beside it.

    python -m benchmarks.paper_setting --out docs
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.claims import curves
from benchmarks.markdown import table
from benchmarks.worlds import KINDS, World, draw, simulate
from experiments.analysis.figures import FIGURE_WIDTH, save, style
from infusionlaw.files import write_text
from infusionlaw.law.dose import Interval
from infusionlaw.law.numbers import number
from infusionlaw.law.plot import PALETTE, dose_axis, draw_spots, interval_bar, shades
from infusionlaw.law.points.find import find_points
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import HALF_WIDTH
from infusionlaw.runs.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = "paper: 137M to 3B in exposures"
SCORE = "retention"
LEAST_FALL = 0.3  # of the scores drawn, so that a figure has something to show
BAND_SIZES = 40
LEAST_SPAN = 1.0  # dex that a figure of the law shows


@dataclass(frozen=True)
class Place:
    """One size: the point found there (nothing at the target), what the law says, and the truth, all in x."""

    size: float
    status: str
    point: Interval
    law: Interval
    truth: float


@dataclass(frozen=True)
class Setting:
    """One study of the paper's setting. places: by size; target: the 7B model; band: what the law says of sizes."""

    number: int
    world: World
    rows: tuple[RunRecord, ...]
    places: tuple[Place, ...]
    target: Place
    band: tuple[tuple[float, Interval], ...]


def setting(seed: int) -> Setting:
    """Simulate the first study of a seed whose retention falls by LEAST_FALL, and predict at the target."""
    index = next(i for i, kind in enumerate(KINDS) if kind.name == KIND)
    for count in range(1000):
        rng = np.random.default_rng([seed, index, count])
        world = draw(KINDS[index], rng)
        if world.plateau[SCORE] - world.floor[SCORE] >= LEAST_FALL:
            break
    rows, truths = simulate(world, rng)
    points = find_points(rows)
    law = fit_law(rows, points)
    size, tokens = world.target
    aim = world.collapse(SCORE, world.knot(SCORE, size, tokens, rng))
    assert aim is not None

    def said(n: float) -> Interval:
        return law.predict_point("retention", n, tokens).x

    places = []
    for point in points:
        truth = truths[SCORE, point.size, point.tokens]
        if point.kind == "retention" and truth is not None:
            places.append(Place(point.size, point.status, point.x, said(point.size), truth))
    band = np.geomspace(world.sizes[0] / 1.25, size * 1.25, BAND_SIZES).tolist()
    return Setting(
        number=count,
        world=world,
        rows=tuple(rows),
        places=tuple(sorted(places, key=lambda place: place.size)),
        target=Place(size, "predicted", Interval(), said(size), aim),
        band=tuple((n, said(n)) for n in band),
    )


def curves_figure(of: Setting) -> "Figure":
    """Retention by exposures, a line a size, with the point of each curve and its interval."""
    found = {size: (x, y) for (size, _), x, y in curves(of.rows, SCORE, of.world)}
    figure = _blank(4.2)
    ax = figure.subplots()
    axis = dose_axis([x for own, _ in found.values() for x in own], "exposures", 0.06)
    for place, colour in zip(of.places, shades(len(of.places)), strict=True):
        x, y = found[place.size]
        bars = HALF_WIDTH * np.sqrt(y * (1 - y) / of.world.probes)
        ax.errorbar(
            x, y, bars, fmt="o-", markersize=3, linewidth=1, elinewidth=0.8, color=colour, label=number(place.size)
        )
        if place.point.value is not None:
            at = float(np.interp(place.point.value, x, y))
            ax.errorbar(place.point.value, at, xerr=interval_bar(place.point, axis.low, axis.high), fmt="D",
                        markersize=6, capsize=3, color=colour, markerfacecolor=PALETTE["paper"], zorder=5)  # fmt: skip
    ax.plot([], [], "D", color=PALETTE["ink"], markerfacecolor=PALETTE["paper"], label="point, 90 % interval")
    ax.set_ylabel("retention, share right")
    ax.set_xlabel("exposures")
    ax.set_xlim(axis.low, axis.high)
    ax.set_xticks([x for x, _ in axis.ticks], [text for _, text in axis.ticks])
    figure.legend(loc="outside upper left", ncols=6, frameon=False)
    return figure


def law_figure(of: Setting) -> "Figure":
    """Points against size, the law's median and band, the prediction at the target, and the truth."""
    figure = _blank(4.0)
    ax = figure.subplots()
    every = [*of.places, of.target]
    shown = [x for p in every for i in (p.point, p.law) for x in (i.value, i.low, i.high) if x is not None]
    shown += [p.truth for p in every]
    middle = (min(shown) + max(shown)) / 2
    axis = dose_axis([*shown, middle - LEAST_SPAN / 2, middle + LEAST_SPAN / 2], "exposures", 0.08)
    band = [(n, x.value, x.low, x.high) for n, x in of.band if None not in (x.value, x.low, x.high)]
    if band:
        sizes, median, low, high = zip(*band, strict=True)
        ax.plot(sizes, median, color=PALETTE["retention"], linewidth=1.4, label="law, 90 % band")
        ax.fill_between(sizes, low, high, color=PALETTE["retention"], alpha=0.13, linewidth=0)
    ends, ink = (axis.low, axis.high), PALETTE["ink"]
    points, target = [(p.size, p.point) for p in of.places], [(of.target.size, of.target.law)]
    draw_spots(ax, points, *ends, color=PALETTE["retention"], capsize=3, label="point, 90 % interval")
    draw_spots(ax, target, *ends, color=ink, capsize=3, fmt="s", label="prediction, 90 % interval")
    ax.plot([p.size * 1.06 for p in every], [p.truth for p in every], "x", color=PALETTE["recall"], label="truth")
    ax.set_xscale("log")
    ax.set_xticks([p.size for p in every], [number(p.size) for p in every], minor=False)
    ax.set_xticks([], minor=True)
    ax.set_xlabel("size, parameters")
    ax.set_ylabel("exposures where retention begins to fall")
    ax.set_ylim(axis.low, axis.high)
    ax.set_yticks([x for x, _ in axis.ticks], [text for _, text in axis.ticks])
    figure.legend(loc="outside upper left", ncols=4, frameon=False)
    return figure


def _blank(height: float) -> "Figure":
    """An empty figure; height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(FIGURE_WIDTH, height), layout="constrained")


def places_table(of: Setting) -> str:
    """Point, law and truth of each size, and the prediction at the target, in exposures."""
    rows = [
        [number(p.size), p.status, _exposures(p.point), _exposures(p.law), number(10**p.truth)]
        for p in (*of.places, of.target)
    ]
    return table(["size", "status", "point", "law's value there", "truth"], rows)


def verdict(of: Setting) -> str:
    """What came of the prediction, in a sentence or two."""
    x, truth, size = of.target.law, of.target.truth, number(of.target.size)
    if x.value is None or x.low is None or x.high is None:
        return f"There is no prediction at {size}: the law gives no interval with both ends."
    inside = "inside" if x.low <= truth <= x.high else "outside"
    side = "higher" if truth > x.value else "lower"
    return (
        f"On one simulated study, the law predicts that retention at {size} falls from {number(10**x.value)} "
        f"exposures on\n(90 % interval: {number(10**x.low)} to {number(10**x.high)}). The true place is "
        f"{number(10**truth)}. That is {inside} the interval and\n{abs(truth - x.value):.2f} dex {side} than predicted."
    )


def _exposures(x: Interval) -> str:
    """An interval of x in exposures, as `value (low to high)`."""
    if x == Interval():
        return "–"
    value, low, high = ("?" if end is None else number(10**end) for end in (x.value, x.low, x.high))
    return f"{value} ({low} to {high})"


def page(of: Setting, seed: int) -> str:
    """The whole of docs/paper-setting.md."""
    world = of.world
    return f"""# The paper's setting: five sizes, one prediction
{verdict(of)}

One study shows what comes out, and not how often it is right: for that see [calibration](calibration.md). Sizes,
tokens and exposures follow arXiv 2509.19371. Its scores are not public, so those here are simulated. For the terms see
[words](concepts.md#words).

![The law of retention and its prediction](paper-setting/law.png)

{places_table(of)}

Numbers are exposures where retention begins to fall, with 90 % intervals. The law sees the points but not the truth.

## What is the law fitted to?
Five retention curves of models with {number(world.sizes[0])} to {number(world.sizes[-1])} parameters. Each has
one run a dose and {world.probes:,} questions a run. Vertical bars are 90 % intervals for so many questions; noise
between seeds is not in them.

![Retention by exposures](paper-setting/curves.png)

## How do I make this page?
```sh
python -m benchmarks.paper_setting --seed {seed} --out docs
```
The study is number {of.number}, counted from 0, of seed {seed} in the kind "{KIND}": the first whose true
retention falls by at least {LEAST_FALL:g}. It is chosen before anything is fitted.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_setting", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a folder: write paper-setting.md and paper-setting/*.png there")
    options = parser.parse_args(arguments)
    found = setting(options.seed)
    print(f"{places_table(found)}\n\n{verdict(found)}")
    if options.out:
        for name, figure in (("curves", curves_figure), ("law", law_figure)):
            with style(name):
                save(figure(found), options.out / "paper-setting" / f"{name}.png")
        write_text(options.out / "paper-setting.md", page(found, options.seed))


if __name__ == "__main__":
    main()
