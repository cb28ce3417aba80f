"""Random studies whose truth is known: eleven kinds in which something collapses, and one in which nothing does.

A design says how many sizes, token counts and seeds a kind of study has and what is special about its world; every
other number of the world is drawn evenly from the ranges below (positions in log odds, facts on a log scale). A world
is drawn again until every recall curve has a plateau, because without one the collapse point is a matter of
definition. It is as long as half the wider of rise and fall, and at least LEAST_PLATEAU dex.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from infusionlaw.law.design.simulate import CurveShape, TrueLaw, World, true_points
from infusionlaw.law.dose import log_odds

Range = tuple[float, float]
COLLAPSE: Range = (0.4, 0.95)  # share, at the middle size and token count
TOLERANCE: Range = (0.05, 0.6)
ACQUISITION: Range = (0.02, 0.5)  # where nothing collapses; else the plateau before the collapse is drawn
EXTRA_PLATEAU: Range = (0.0, 0.6)  # dex beyond the least
EXPONENTS: Range = (-0.6, 0.6)
WIDTHS: Range = (0.3, 1.5)
PLATEAU: Range = (0.6, 1.0)
GUESSING: Range = (0.1, 0.25)
FLOOR: Range = (0.3, 0.7)  # of the way from guessing to the plateau
SPREAD: Range = (0.01, 0.08)
LOSS_SPREAD: Range = (0.003, 0.03)  # bits per byte; .015 to .024 were measured at 14 k to 111 k parameters
DIFFICULTY: Range = (0.0, 1.0)
FACTS: Range = (64, 256)
BEYOND: Range = (-0.3, 0.3)  # dex from the end of the doses, in censored studies
LEAST_PLATEAU = 0.2
MIDDLE_SIZE, MIDDLE_BUDGET, STEP = 3e4, 1.5e6, 2.0
GRIDS = (
    (0.1, 0.35, 0.6, 0.75, 0.85, 0.92, 0.97),
    (0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95),
    (0.05, 0.1, 0.3, 0.6, 0.8, 0.88, 0.94, 0.975),
    (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95),
    (0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.92, 0.97),
)


@dataclass(frozen=True)
class Design:
    """A kind of study. knot_spread, scatter: dex; floor: whether recall falls to one; where: the collapses lie."""

    letter: str
    words: str
    sizes: int = 3
    token_counts: int = 1
    seeds: int = 2
    shape: CurveShape = "trapezoid"
    knot_spread: float = 0.0
    scatter: float = 0.0
    exponents: Range = EXPONENTS
    floor: bool = False
    where: Literal["within", "censored", "nowhere"] = "within"


DESIGNS = (
    Design("a", "trapezoid, 3 sizes, 2 seeds"),
    Design("b", "logistic", shape="logistic"),
    Design("c", "gompertz", shape="gompertz"),
    Design("d", "a floor above guessing", floor=True),
    Design("e", "1 seed", seeds=1),
    Design("f", "3 seeds, knots move by 0.1 dex", seeds=3, knot_spread=0.1),
    Design("g", "6 sizes", sizes=6),
    Design("h", "4 sizes × 3 token counts", sizes=4, token_counts=3),
    Design("i", "4 sizes, some collapse beyond the doses", sizes=4, where="censored"),
    Design("j", "exponents of -0.6 to -0.1", exponents=(-0.6, -0.1)),
    Design("k", "scatter of 0.1 dex", scatter=0.1),
    Design("l", "no collapse", where="nowhere"),
)


@dataclass(frozen=True)
class Study:
    """What is simulated: a world, the sizes and token counts of its runs, and the shares, dose 0 included."""

    world: World
    sizes: tuple[float, ...]
    token_counts: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def span(self) -> Range:
        """x of the smallest share above 0 and of the largest."""
        return float(log_odds(self.shares[1])), float(log_odds(self.shares[-1]))


def draw(design: Design, rng: np.random.Generator) -> Study:
    """A study of the kind, its world drawn at random."""
    sizes, token_counts = _ladder(MIDDLE_SIZE, design.sizes), _ladder(MIDDLE_BUDGET, design.token_counts)
    shares = GRIDS[rng.integers(len(GRIDS))]
    while True:
        study = Study(_world(design, shares, rng), sizes, token_counts, (0.0, *shares))
        if _has_plateaus(study) and (design.where != "censored" or _is_censored(study)):
            return study


def _ladder(middle: float, count: int) -> tuple[float, ...]:
    """`count` values, each STEP times the one before, around `middle`."""
    return tuple(float(round(middle * STEP ** (i - (count - 1) / 2))) for i in range(count))


def _world(design: Design, shares: tuple[float, ...], rng: np.random.Generator) -> World:
    rise, fall = rng.uniform(*WIDTHS, size=2)
    guessing, plateau, kept = rng.uniform(*GUESSING), *rng.uniform(*PLATEAU, size=2)
    world = World(
        shape=design.shape,
        tolerance=_law(design, _place(TOLERANCE, rng), rng),
        rise=rise,
        fall=fall,
        guessing=guessing,
        plateau=plateau,
        floor=guessing + rng.uniform(*FLOOR) * (plateau - guessing) if design.floor else None,
        kept=kept,
        spread=rng.uniform(*SPREAD),
        loss_spread=rng.uniform(*LOSS_SPREAD),
        knot_spread=design.knot_spread,
        difficulty=rng.uniform(*DIFFICULTY),
        facts=round(float(np.exp(rng.uniform(*np.log(FACTS))))),
        size0=MIDDLE_SIZE,
        tokens0=MIDDLE_BUDGET,
    )
    if design.where == "nowhere":
        return replace(world, collapse=None, acquisition=_law(design, _place(ACQUISITION, rng), rng))
    recall, retention = (_collapse(design, shares, rng) for _ in range(2))
    start = recall - rise - _least_plateau(world) - rng.uniform(*EXTRA_PLATEAU)
    collapse, own, acquisition = (_law(design, at, rng) for at in (recall, retention, start))
    return replace(world, collapse=collapse, retention=own, acquisition=acquisition)


def _place(shares: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*log_odds(shares)))


def _collapse(design: Design, shares: tuple[float, ...], rng: np.random.Generator) -> float:
    """x of a collapse at the middle size: within COLLAPSE, or near an end of the doses (twice as often the upper)."""
    if design.where == "within":
        return _place(COLLAPSE, rng)
    end = shares[-1] if rng.random() < 2 / 3 else shares[0]
    return float(log_odds(end) + rng.uniform(*BEYOND))


def _law(design: Design, at: float, rng: np.random.Generator) -> TrueLaw:
    size, tokens = rng.uniform(*design.exponents, size=2)
    return TrueLaw(at, size, tokens, design.scatter)


def _least_plateau(world: World) -> float:
    return max(LEAST_PLATEAU, world.rise / 2, world.fall / 2)


def _has_plateaus(study: Study) -> bool:
    """Whether, scatter apart, recall stays on its plateau for long enough at every size and token count."""
    world = study.world
    for size, budget in product(study.sizes, study.token_counts):
        knots = true_points(world, size, budget)
        rise, fall = knots["acquisition"], knots["collapse"]
        if rise is not None and fall is not None and fall - rise - world.rise < _least_plateau(world):
            return False
    return True


def _is_censored(study: Study) -> bool:
    """Whether some collapses, but not all, lie beyond the doses: of recall, and of retention."""
    low, high = study.span
    for kind in ("collapse", "retention"):
        places = [true_points(study.world, n, d)[kind] for n, d in product(study.sizes, study.token_counts)]
        beyond = [x is not None and not low < x < high for x in places]
        if all(beyond) or not any(beyond):
            return False
    return True
