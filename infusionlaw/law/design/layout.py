"""The layout of a design, and the typical curve that it is held against before anything is run.

A layout is the doses of each (N, D) in the dose coordinate x, with their seeds. The typical curve is what the runs of
LOG.md show: guessing among eight options; acquisition at a share of .15, or 1.2 dex below the collapse if that is less;
a rise of 0.6 dex to a plateau of .93; a fall between sharp (0.5 dex) and slow (2 dex) to .4; .1 between the recalls of
seeds, and 0.1 dex between their collapse points. With .05, and a fall to guessing, half widths of .14 to .23 dex were
expected of the demonstration at .5 to .85, and .46 to .70 were found; so .31 to .54 are.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from infusionlaw.errors import InputError
from infusionlaw.law.design.simulate import TrueLaw, World
from infusionlaw.law.dose import Array, Scale, exposures_per_share, log_odds, x_at
from infusionlaw.law.numbers import DOSE_WORDS
from infusionlaw.runs.record import DoseUnit, RunSpec

SHARES = (0.3, 0.5, 0.7, 0.85, 0.93, 0.97)
TYPICAL = World(rise=0.6, guessing=0.125, plateau=0.93, floor=0.4, spread=0.1, knot_spread=0.1)
SHARP, SLOW = 0.5, 2.0
ACQUISITION_AT, LEAD = -0.75, 1.2
OUTSIDE = 0.1
FEW = 4.0  # dex: so many fewer facts than a model can hold are too few for any doubt
# Between two doses any point fits, so half of a wider gap (dex) is more than a point's half-width should be.
WIDEST_GAP = 0.6


@dataclass(frozen=True)
class GridCell:
    """The runs of one (N, D): doses above 0 as x (J,), ascending, and the seeds of each x, dose 0 (-inf) included."""

    size: int
    tokens: int
    x: Array
    seeds: dict[float, int]


@dataclass(frozen=True)
class Layout:
    """Cells, the unit that their points will be found in, facts, and the (N, D) to be predicted."""

    unit: DoseUnit
    cells: tuple[GridCell, ...]
    facts: int
    targets: tuple[tuple[int, int], ...]

    @property
    def last(self) -> float:
        """x of the largest dose that every cell reaches."""
        return min(float(cell.x[-1]) for cell in self.cells)

    @property
    def seeds(self) -> int:
        """The most seeds of any dose."""
        return max(max(cell.seeds.values()) for cell in self.cells)

    def dose(self, x: float) -> float:
        """The dose at x, in `unit`."""
        return float(f"{float(Scale(self.unit).dose(x)):.6g}")

    def x(self, dose: float) -> float:
        """The dose coordinate of a dose in `unit`; -inf at 0."""
        return float(x_at(dose, self.unit))

    def named(self, *x: float, notes: Sequence[str] = ()) -> str:
        """The doses at x in words, with notes if any: "a share of 0.93", "340 (seldom) and 1,200 (never) exposures"."""
        doses = [f"{float(f'{self.dose(end):.3g}'):,g}" for end in x]
        parts = [f"{dose} ({note})" for dose, note in zip(doses, notes, strict=True)] if notes else doses
        text = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
        return DOSE_WORDS[self.unit].said.format(text)


def layout(specs: Sequence[RunSpec], facts: int, tokens_per_fact: float | None) -> Layout:
    """The layout of a design's runs; its held-out (N, D) are the targets, else 8 x the largest size.

    x is in shares when they are swept, or follow from the exposures by `facts` and `tokens_per_fact`. Raises InputError
    when no dose is above 0 or one leaves no general text.
    """
    used = [spec for spec in specs if not spec.held_out]
    if not any(spec.dose > 0 for spec in used):
        raise InputError("the design has no run with a dose above 0 to fit a law to; add doses")
    unit: DoseUnit = used[0].unit
    unit = "share" if unit == "exposures" and tokens_per_fact is not None else unit
    groups: dict[tuple[int, int], Counter[float]] = {}
    for spec in used:
        groups.setdefault((spec.size, spec.tokens), Counter())[_x(spec, unit, facts, tokens_per_fact)] += 1
    cells = [
        GridCell(*place, np.array(sorted(x for x in seeds if x > -np.inf)), dict(sorted(seeds.items())))
        for place, seeds in sorted(groups.items())
    ]
    targets = {(spec.size, spec.tokens) for spec in specs if spec.held_out} - set(groups)
    far = (8 * max(spec.size for spec in used), max(spec.tokens for spec in used))
    return Layout(unit, tuple(cells), facts, tuple(sorted(targets)) or (far,))


def _x(spec: RunSpec, unit: DoseUnit, facts: int, tokens_per_fact: float | None) -> float:
    if unit != "share":
        return float(x_at(spec.dose, unit))
    ratio = exposures_per_share(spec.tokens, facts, tokens_per_fact) if spec.unit == "exposures" else None
    share = spec.dose / (ratio or 1.0)
    if share >= 1:
        dose = f"{spec.dose:g} exposures of {facts} facts" if ratio else "a share of 1"
        raise InputError(f"{dose} would fill the whole token count of {spec.tokens} tokens; take a smaller dose")
    return float(x_at(share, unit))


def places(layout: Layout) -> list[float]:
    """x of the collapses that a design is tried with: at SHARES, or over its exposures and just outside them."""
    if layout.unit == "share":
        return [float(x) for x in log_odds(SHARES)]
    first = min(float(cell.x[0]) for cell in layout.cells)
    return [float(x) for x in np.linspace(first - OUTSIDE, layout.last + OUTSIDE, len(SHARES))]


def typical(layout: Layout, x: float, fall: float, collapses: bool) -> World:
    """The world whose curves collapse at x, or whose facts are acquired as if they did and which never collapses."""
    collapse = TrueLaw(x) if collapses else None
    return replace(TYPICAL, collapse=collapse, acquisition=TrueLaw(_acquired(layout, x)), fall=fall, facts=layout.facts)


def _acquired(layout: Layout, x: float) -> float:
    """x from which the facts are learned on the typical curve; as many as there are, where the dose counts them."""
    if layout.unit == "facts":
        return x - FEW
    return min(ACQUISITION_AT, x - LEAD) if layout.unit == "share" else x - LEAD


def plateau(layout: Layout, x: float) -> float:
    """x where the plateau begins on the typical curve that collapses at x."""
    return _acquired(layout, x) + TYPICAL.rise


def on_plateau(layout: Layout, x: float) -> int:
    """How many doses lie on the plateau before a collapse at x, where there are fewest."""
    return min(int(np.sum((cell.x >= plateau(layout, x)) & (cell.x <= x))) for cell in layout.cells)


def missing(layout: Layout) -> Iterable[str]:
    """What the layout itself lacks, a sentence each: seeds, a dose between two, dose 0."""
    if layout.seeds == 1:
        yield "one seed only, so the noise between seeds cannot be told from a fall; run at least two"
    gaps = [(float(b - a), float(a), float(b)) for cell in layout.cells for a, b in pairwise(cell.x)]
    width, low, high = max(gaps, default=(0.0, 0.0, 0.0))
    if width > WIDEST_GAP:
        yield (
            f"the gap between {layout.named(low, high)} is {width:.2f} dex, more than "
            f"{WIDEST_GAP:g}, and any point in it fits; add a dose of {layout.named((low + high) / 2)}"
        )
    if any(-np.inf not in cell.seeds for cell in layout.cells):
        yield "no dose 0, so the level before any infusion is unknown; add dose 0 at every size and token count"
