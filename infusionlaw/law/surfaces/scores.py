"""Surfaces of scores: an accuracy as a sigmoid of a loss, or of the size alone.

    y = floor + (ceiling - floor) / (1 + exp(u))        u: k (L - L0) of a loss, k ln(N0 / N) of a size

Fit scores with on="linear" and delta=inf: they may be 0, and their errors do not grow with them. Give what is known, as
in fixed={"floor": 0.25} where there are four options.

A score may follow from a loss that another fit predicts by size and tokens: the two steps of arXiv 2412.04403.
"""

from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import LEVEL, Array, Interval
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.fit import SurfaceFit, intervals_of
from infusionlaw.law.surfaces.forms import Exponents, Parameter, Surface, Theta

LEAST_LOSS = 1e-9
_PARTS = (Parameter("floor", 0.0, 1.0), Parameter("ceiling", 0.0, 1.0))


@dataclass(frozen=True)
class ScoreByLoss(Surface):
    """Bhagia et al.: the second step, from a task's loss to its accuracy."""

    name: str = "score by loss"
    formula: str = "y = floor + (ceiling - floor) / (1 + exp(k (L - L0)))"
    source: str = "arXiv 2412.04403"
    needs: tuple[str, ...] = ("loss",)
    coefficients: tuple[Parameter, ...] = _PARTS
    shapes: tuple[Parameter, ...] = (
        Parameter("k", 0.05, 100.0, (1.0, 2.0, 4.0, 8.0, 16.0)),
        Parameter("L0", -10.0, 20.0, (0.3, 0.6, 0.9, 1.3, 2.0, 3.0, 5.0)),
    )
    within: tuple[float, float] = (0.0, 1.0)

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        return _sigmoid(theta["k"], conditions.column("loss") - theta["L0"], {"L0": -1.0})


@dataclass(frozen=True)
class ScoreBySize(Surface):
    """A sigmoid in the logarithm of the size; x0 is log10 of the size half way up."""

    name: str = "score by size"
    formula: str = "y = floor + (ceiling - floor) / (1 + (N0 / N)^k), with N0 = 10^x0"
    source: str = "a logistic curve in log N"
    needs: tuple[str, ...] = ("size",)
    coefficients: tuple[Parameter, ...] = _PARTS
    shapes: tuple[Parameter, ...] = (
        Parameter("k", 0.05, 20.0, (0.25, 0.5, 1.0, 2.0, 4.0)),
        Parameter("x0", 2.0, 15.0, (4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0)),
    )
    within: tuple[float, float] = (0.0, 1.0)

    def exponents(self, theta: Theta, conditions: Conditions) -> Exponents:
        below = np.log(10) * theta["x0"] - np.log(conditions.column("size"))
        return _sigmoid(theta["k"], below, {"x0": np.log(10)})


def _sigmoid(k: float | Array, below: Array, moves: dict[str, float]) -> Exponents:
    """How much of the floor and how much of the ceiling is in a score; moves: d below / d parameter."""
    u = k * below
    floor, ceiling = -np.logaddexp(0.0, -u), -np.logaddexp(0.0, u)

    def moved(by: float | Array) -> list[Array | float]:
        return [np.exp(ceiling) * by, -np.exp(floor) * by]

    return [floor, ceiling], {"k": moved(below), **{name: moved(k * by) for name, by in moves.items()}}


def score_through_loss(
    loss: SurfaceFit, score: SurfaceFit, conditions: Conditions, level: float = LEVEL
) -> list[Interval]:
    """Return the score at each of the conditions, from the loss that `loss` predicts there.

    The interval has the draws of both fits, taken as independent.
    """
    drawn = np.maximum(loss.draws_at(conditions), LEAST_LOSS)
    scores = [_paired(score, column) for column in drawn.T]
    found = score.predict(Conditions(loss=loss.predict(conditions)))
    return intervals_of(found, np.stack(scores, axis=1), level)


def _paired(score: SurfaceFit, losses: Array) -> Array:
    """A score (M,) at each of M drawn losses, each with a draw of its own."""
    if not len(losses):
        return losses
    scores = score.draws_at(Conditions(loss=losses))  # (draws, M)
    if not len(scores):
        return np.empty(0)
    own = np.random.default_rng(len(losses)).permutation(len(losses)) % len(scores)
    return np.asarray(scores[own, np.arange(len(losses))])


SCORE_BY_LOSS, SCORE_BY_SIZE = ScoreByLoss(), ScoreBySize()
