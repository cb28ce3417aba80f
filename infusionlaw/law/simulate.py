"""Worlds with a known law and known noise: the truth that every detector and fit is tested against.

    log10-dose of a point  =  at + size * log10(N / N0) + tokens * log10(D / D0) + scatter * noise      (one per N, D)

Two shapes of recall between the points: the trapezoid that is fitted, and a smooth rise and fall (product of two
logistics) that is not. For the smooth shape a point is where the tangent at half height meets the level it leaves,
so that both shapes have the same points: a logistic of width s centred 2 s beyond the knot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from infusionlaw.law.dose import Array, exposures_per_share, log_odds
from infusionlaw.law.points import Kind
from infusionlaw.records import RunRecord


@dataclass(frozen=True)
class TrueLaw:
    """x of a point: at (at N0, D0), exponents of size and budget, and scatter in dex."""

    at: float
    size: float = 0.0
    tokens: float = 0.0
    scatter: float = 0.0


@dataclass(frozen=True)
class World:
    """A world: laws of its points (None: never happens), widths of rise and fall (dex), levels, and noise.

    spread: standard deviation between seeds of a score; knot_spread: between seeds of the points (dex).
    """

    collapse: TrueLaw | None = field(default_factory=lambda: TrueLaw(0.6, 0.4))
    acquisition: TrueLaw | None = field(default_factory=lambda: TrueLaw(-0.7, -0.3))
    shape: Literal["trapezoid", "logistic"] = "trapezoid"
    rise: float = 0.5
    fall: float = 0.8
    guessing: float = 0.2
    plateau: float = 0.95
    spread: float = 0.03
    knot_spread: float = 0.0
    facts: int = 128
    tokens_per_fact: float = 16.0
    size0: float = 3e4
    tokens0: float = 1.5e6


Truth = dict[tuple[Kind, float, float], float | None]


def simulate(
    world: World,
    sizes: Sequence[float],
    tokens: Sequence[float],
    shares: Sequence[float],
    seeds: int,
    rng: np.random.Generator,
) -> tuple[list[RunRecord], Truth]:
    """A study of a world: its rows, and x of the points at each (N, D). Retention collapses where recall does."""
    truth: Truth = {}
    rows: list[RunRecord] = []
    for size in sizes:
        for budget in tokens:
            rise, fall = (true_x(law, world, size, budget, rng) for law in (world.acquisition, world.collapse))
            truth[("acquisition", size, budget)], truth[("collapse", size, budget)] = rise, fall
            truth[("retention", size, budget)] = fall
            rows += [
                _run(world, size, budget, share, seed, rise, fall, rng) for share in shares for seed in range(seeds)
            ]
    return rows, truth


def true_x(
    law: TrueLaw | None, world: World, size: float, tokens: float, rng: np.random.Generator | None = None
) -> float | None:
    """x of a point under its law, with scatter when `rng` is given."""
    if law is None:
        return None
    x = law.at + law.size * np.log10(size / world.size0) + law.tokens * np.log10(tokens / world.tokens0)
    return float(x + (rng.normal(0, law.scatter) if rng is not None else 0.0))


def height(world: World, x: Array, rise: float | None, fall: float | None) -> Array:
    """How much of the way from guessing to the plateau recall has come at x: 0..1."""
    if rise is None:
        return np.zeros_like(x)
    end = np.inf if fall is None else fall
    if world.shape == "trapezoid":
        return np.asarray(np.clip((x - rise) / world.rise, 0, 1) * np.clip((end + world.fall - x) / world.fall, 0, 1))
    with np.errstate(over="ignore"):
        up = 1 / (1 + np.exp(-(x - rise - world.rise / 2) * 4 / world.rise))
        down = 1 / (1 + np.exp((x - end - world.fall / 2) * 4 / world.fall))
    return np.asarray(up * down)


def _run(
    world: World,
    size: float,
    tokens: float,
    share: float,
    seed: int,
    rise: float | None,
    fall: float | None,
    rng: np.random.Generator,
) -> RunRecord:
    x = log_odds(share)
    shift = rng.normal(0, world.knot_spread)
    moved = None if fall is None else fall + shift
    recall = world.guessing + (world.plateau - world.guessing) * float(height(world, x, rise, moved))
    kept = world.guessing + (0.9 - world.guessing) * float(height(world, x, -1e6, moved))
    hits, retained, unseen = (_measured(p, world, rng) for p in (recall, kept, world.guessing))
    loss = 2.0 + 0.3 * share / (1.02 - share) * 0.1 + rng.normal(0, 0.005)
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
        general_loss=loss,
        general_loss_se=0.005,
        unseen_recall=unseen,
        seed=seed,
    )


def _measured(p: float, world: World, rng: np.random.Generator) -> float:
    """A measured share of right answers: the seed's own level, then one binomial draw over facts."""
    own = float(np.clip(p + rng.normal(0, world.spread), 0, 1))
    return float(rng.binomial(world.facts, own) / world.facts)
