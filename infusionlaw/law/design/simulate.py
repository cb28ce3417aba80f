"""Worlds with a known law and known noise: the truth that every detector and fit is tested against.

    log10-dose of a point  =  at + size * log10(N / N0) + tokens * log10(D / D0) + scatter * noise      (one per N, D)

Between its points recall rises from guessing to a plateau and falls to a floor, in one of four shapes, two of which no
detector fits. In each the true point is where the tangent at half height meets the level that is left: at a knot c with
width w, a fall F has F(c + w/2) = 1/2 and slope -1/w there. A rise is the same in the mirror. With u = (x - c)/w - 1/2:

    trapezoid  clip(1/2 - u, 0, 1)          gompertz  exp(-ln 2 exp(2u / ln 2)): slow to leave, quick to end
    logistic   1 / (1 + exp(4u))            step      a trapezoid of width STEP_WIDTH, whatever the world's width

Validation loss rises as general text gets rarer, as a power of what is left of it (0.1 describes models of 14 k to 55 k
parameters well); it is smooth, and convex in share and in x. Its scale is such that it passes TRUE_TOLERANCE at the
point:

    loss(r) = BEST_LOSS + TRUE_TOLERANCE * ((1 - r)^-BEND - 1) / ((1 - r*)^-BEND - 1)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from infusionlaw.law.dose import Array, exposures_per_share, log_odds, share_of
from infusionlaw.law.points.point import Kind
from infusionlaw.runs.record import RunRecord

CurveShape = Literal["trapezoid", "logistic", "gompertz", "step"]
STEP_WIDTH = 0.02
# The rise at the tolerance point: what `find_points` takes unless told otherwise.
TRUE_TOLERANCE = 0.05
BEST_LOSS, BEND, LOSS_ERROR = 2.0, 0.1, 0.005


@dataclass(frozen=True)
class TrueLaw:
    """x of a point: at (at N0, D0), exponents of size and token count, and scatter in dex."""

    at: float
    size: float = 0.0
    tokens: float = 0.0
    scatter: float = 0.0


@dataclass(frozen=True)
class World:
    """A world: laws of its points (None: never happens), widths of rise and fall (dex), levels, and noise.

    retention: its own law, or "collapse": where recall collapses. plateau, floor: of recall (floor None: guessing);
    kept: plateau of retention, which falls to guessing. spread: standard deviation between seeds of a score;
    loss_spread: of validation loss (bits per byte), beside an error over blocks of text that all runs share;
    knot_spread: between seeds of the points (dex); difficulty: between facts, in standard normal deviates, the same
    facts in every run of a study.
    """

    collapse: TrueLaw | None = field(default_factory=lambda: TrueLaw(0.6, 0.4))
    acquisition: TrueLaw | None = field(default_factory=lambda: TrueLaw(-0.7, -0.3))
    retention: TrueLaw | Literal["collapse"] | None = "collapse"
    tolerance: TrueLaw | None = field(default_factory=lambda: TrueLaw(-0.6, 0.3))
    shape: CurveShape = "trapezoid"
    rise: float = 0.5
    fall: float = 0.8
    guessing: float = 0.2
    plateau: float = 0.95
    floor: float | None = None
    kept: float = 0.9
    spread: float = 0.03
    loss_spread: float = 0.005
    knot_spread: float = 0.0
    difficulty: float = 0.0
    facts: int = 128
    tokens_per_fact: float = 16.0
    size0: float = 3e4
    tokens0: float = 1.5e6


Knots = dict[Kind, float | None]
Truth = dict[tuple[Kind, float, float], float | None]


def simulate(
    world: World,
    sizes: Sequence[float],
    tokens: Sequence[float],
    shares: Sequence[float],
    seeds: int,
    rng: np.random.Generator,
) -> tuple[list[RunRecord], Truth]:
    """A study of a world: its rows, and x of the points at each (N, D); None for a point that never happens."""
    truth: Truth = {}
    rows: list[RunRecord] = []
    hardness = world.difficulty * rng.standard_normal((3, world.facts))
    text = rng.normal(0, LOSS_ERROR)
    for size, budget in product(sizes, tokens):
        knots = true_points(world, size, budget, rng)
        truth |= {(kind, size, budget): x for kind, x in knots.items()}
        own = [_moved(knots, world.knot_spread, rng) for _ in range(seeds)]
        rows += [
            _run(world, size, budget, share, seed, own[seed], hardness, text, rng)
            for share in shares
            for seed in range(seeds)
        ]
    return rows, truth


def true_points(world: World, size: float, tokens: float, rng: np.random.Generator | None = None) -> Knots:
    """x of every point at (size, tokens), with scatter when `rng` is given."""
    laws: dict[Kind, TrueLaw | None] = {"acquisition": world.acquisition, "collapse": world.collapse}
    laws["tolerance"] = world.tolerance
    if world.retention != "collapse":
        laws["retention"] = world.retention
    knots: Knots = {kind: true_x(law, world, size, tokens, rng) for kind, law in laws.items()}
    return {"retention": knots["collapse"], **knots}


def true_x(
    law: TrueLaw | None, world: World, size: float, tokens: float, rng: np.random.Generator | None = None
) -> float | None:
    """x of a point under its law, with scatter when `rng` is given."""
    if law is None:
        return None
    x = law.at + law.size * np.log10(size / world.size0) + law.tokens * np.log10(tokens / world.tokens0)
    return float(x + (rng.normal(0, law.scatter) if rng is not None else 0.0))


def fallen(shape: CurveShape, x: Array, knot: float | None, width: float) -> Array:
    """What is left at x of a level that falls away beyond `knot` (None: never): 1..0."""
    if knot is None:
        return np.ones_like(x)
    width = STEP_WIDTH if shape == "step" else width
    u = (x - knot) / width - 0.5
    with np.errstate(over="ignore"):
        if shape == "logistic":
            return np.asarray(1 / (1 + np.exp(4 * u)))
        if shape == "gompertz":
            return np.asarray(np.exp(-np.log(2) * np.exp(2 * u / np.log(2))))
    return np.asarray(np.clip(0.5 - u, 0, 1))


def risen(shape: CurveShape, x: Array, knot: float | None, width: float) -> Array:
    """How far a level has come at x that rises beyond `knot` (None: never): 0..1; a fall in the mirror."""
    if knot is None:
        return np.zeros_like(x)
    return fallen(shape, -x, -knot - (STEP_WIDTH if shape == "step" else width), width)


def height(world: World, x: Array, rise: float | None, fall: float | None) -> Array:
    """How much of the way from guessing to the plateau recall has come at x: 0..1."""
    floor = 0.0 if world.floor is None else (world.floor - world.guessing) / (world.plateau - world.guessing)
    left = fallen(world.shape, x, fall, world.fall)
    return np.asarray(risen(world.shape, x, rise, world.rise) * (floor + (1 - floor) * left))


def val_bpb(share: float, tolerance: float | None) -> float:
    """Bits per byte at a share, where x of the tolerance point is `tolerance`; None: it never rises."""
    if tolerance is None:
        return BEST_LOSS
    rise, unit = ((1 - r) ** -BEND - 1 for r in (share, float(share_of(tolerance))))
    return float(BEST_LOSS + TRUE_TOLERANCE * rise / unit)


def _moved(knots: Knots, spread: float, rng: np.random.Generator) -> Knots:
    """A seed's own points."""
    return {kind: None if x is None else x + rng.normal(0, spread) for kind, x in knots.items()}


def _run(
    world: World,
    size: float,
    tokens: float,
    share: float,
    seed: int,
    knots: Knots,
    hardness: Array,
    text: float,
    rng: np.random.Generator,
) -> RunRecord:
    """One row; hardness (3, facts): of domain, prior and unseen facts; text: how hard the general text is."""
    x = log_odds(share)
    recall = (world.plateau - world.guessing) * height(world, x, knots["acquisition"], knots["collapse"])
    kept = (world.kept - world.guessing) * fallen(world.shape, x, knots["retention"], world.fall)
    chances = (world.guessing + float(recall), world.guessing + float(kept), world.guessing)
    hits, retained, unseen = (_measured(p, world, hard, rng) for p, hard in zip(chances, hardness, strict=True))
    ratio = exposures_per_share(tokens, world.facts, world.tokens_per_fact)
    return RunRecord(
        size=size,
        tokens=tokens,
        share=share,
        exposures=share * (ratio or 0.0),
        recall=hits,
        recall_se=float(np.sqrt(hits * (1 - hits) / world.facts)),
        facts=world.facts,
        tokens_per_fact=world.tokens_per_fact,
        retention=retained,
        retention_se=float(np.sqrt(retained * (1 - retained) / world.facts)),
        val_bpb=val_bpb(share, knots["tolerance"]) + text + rng.normal(0, world.loss_spread),
        val_bpb_se=LOSS_ERROR,
        unseen_recall=unseen,
        seed=seed,
    )


def _measured(p: float, world: World, hardness: Array, rng: np.random.Generator) -> float:
    """A measured share of right answers: the seed's own level, then each fact right or wrong.

    A fact of hardness h is right with probability Phi(sqrt(1 + difficulty^2) z - h): `p` on average over facts.
    """
    own = float(np.clip(p + rng.normal(0, world.spread), 0, 1))
    chance = ndtr(np.sqrt(1 + world.difficulty**2) * ndtri(own) - hardness)
    return float(np.mean(rng.random(world.facts) < chance))
