"""Where a collapse lies by Markov chain Monte Carlo, which shares no lattice, no closed form and no zoom with ours.

One curve of a hinge is fitted by Metropolis with the priors of `pooling`, `fitting` and `find`, written out here again
as densities. Levels, places and widths are sampled, the noises are summed over. What is left out: that recall never
rises, and that it never falls. The worlds are such that neither is possible.

Hamiltonian sampling does not do: the kinks of a hinge and the mode of steps keep single chains where they began.
"""

import os
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import log_ndtr, logsumexp, ndtr

from infusionlaw.law.design.simulate import TrueLaw, World, simulate
from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import REACH
from infusionlaw.law.likelihood import STEP as BIN
from infusionlaw.law.points import find, fitting, pooling
from infusionlaw.law.points.curves import OTHER_FACTS, curves
from infusionlaw.law.points.detect import HALF_WAY, SMOOTH
from infusionlaw.law.points.levels import LEAST_MIDDLING
from infusionlaw.law.points.shapes import NARROWEST, WIDEST
from infusionlaw.runs.record import RunRecord

SHARES = (0, 0.03, 0.08, 0.18, 0.33, 0.5, 0.67, 0.8, 0.89, 0.94, 0.97)
CHAINS, WARM, STEPS = 80, 2000, 14_000
WORLDS = (
    World(collapse=TrueLaw(0.3), acquisition=TrueLaw(-1.4), rise=0.4, fall=0.5, spread=0.0),
    World(collapse=TrueLaw(0.0), acquisition=TrueLaw(-1.5), rise=0.6, fall=1.2, spread=0.0, facts=400),
    World(collapse=TrueLaw(0.5), acquisition=TrueLaw(-1.3), rise=0.3, fall=0.8, spread=0.0, plateau=0.7, floor=0.3),
)


@dataclass(frozen=True)
class Runs:
    """Each run on its own: log odds of its dose, recall and error; whether it is a run, not the level of guessing.

    middling: variance of a score like that of its dose, beside that of one half.
    """

    x: Array
    y: Array
    error: Array
    trained: Array
    middling: Array
    seeds: float


def runs_of(rows: list[RunRecord]) -> Runs:
    """The runs of a table, and what unseen facts say of guessing."""
    (curve,) = curves(rows, "recall")
    assert curve.zero is not None and curve.guessing is not None
    x, known = np.append(-np.inf, curve.x), np.append(curve.zero.known, curve.known)
    each = (curve.zero.each, *curve.each)
    unseen = np.array([row.unseen_recall for row in rows])
    guessing, sd = unseen.mean(), np.hypot(unseen.std() / np.sqrt(len(unseen)), OTHER_FACTS)
    at = np.concatenate([np.full(len(values), i) for i, values in enumerate(each)])
    means = np.clip([np.mean(values) for values in each], 0, 1)
    middling = LEAST_MIDDLING + (1 - LEAST_MIDDLING) * 4 * means * (1 - means)
    return Runs(
        x=np.append(x[at], -np.inf),
        y=np.append(np.concatenate(each), guessing),
        error=np.append(np.sqrt(known)[at], sd),
        trained=np.append(np.ones(len(at)), 0.0),
        middling=np.append(middling[at], 1.0),
        seeds=float(np.median([len(values) for values in each])),
    )


def noise_prior() -> tuple[Array, Array, Array]:
    """Level, spread along the fall and log prior of each noise; runs of all or nothing are one of three spreads."""
    level = np.array([noise.level for noise in pooling.NOISES])
    knots = np.array([noise.knots for noise in pooling.NOISES])
    log_p = -0.5 * (np.log(level / pooling.USUAL_NOISE) / pooling.LEVEL_SPREAD) ** 2
    for spread, p in zip(pooling.KNOTS, pooling.KNOTS_PRIOR, strict=True):
        log_p[knots == spread] += np.log(p / (knots == spread).sum())
    return level, knots, log_p - logsumexp(log_p)


def width_prior() -> tuple[Array, Array, Array]:
    """Mean, deviation and weight of the normals that make up the prior of the log width of a fall."""
    mean, sd = (values.ravel() for values in np.meshgrid(pooling.MEANS, pooling.SPREADS, indexing="ij"))
    weight = np.exp(-0.5 * ((mean - pooling.USUAL_WIDTH) / pooling.WIDTH_SPREAD) ** 2)
    weight *= (1 - pooling.STEPS_PRIOR) / weight.sum()
    weight[0] += pooling.STEPS_PRIOR  # next to a step, all alike
    low, high = np.log([NARROWEST, WIDEST])
    return mean, sd, weight / (ndtr((high - mean) / sd) - ndtr((low - mean) / sd))


class Posterior:
    """The log density of shapes (n, 7), in their natural coordinates, as the modules of `points` state it in words."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        first, self.last = runs.x[np.isfinite(runs.x)].min(), runs.x.max()
        self.low, self.extent = first - REACH, float(np.log(WIDEST / NARROWEST))
        self.level, self.knots, self.log_noise = noise_prior()
        self.steady = [noise.steady for noise in pooling.NOISES]
        self.widths = width_prior()
        self.mean = np.array([*find.RECALL.mean[:2], runs.y[-1]])  # the floor is expected at guessing
        self.sd = np.array(find.RECALL.sd)
        doses = np.array([runs.y[runs.x == dose].mean() for dose in np.unique(runs.x)])
        self.drop = float(doses.max() - doses[doses.argmax() :].min())

    def prior_draws(self, n: int, rng: np.random.Generator) -> Array:
        """Shapes and levels before their order is asked for."""
        places = rng.uniform(self.low, self.last, (n, 2))
        widths = rng.uniform(np.log(NARROWEST), np.log(WIDEST), (n, 2))
        return np.concatenate([places, widths, self.mean + self.sd * rng.standard_normal((n, 3))], axis=1)

    def room(self, fall: Array) -> Array:
        """How many dex of rises may come before each fall."""
        width = np.exp(np.log(NARROWEST) + self.extent * (np.arange(100) + 0.5) / 100)
        over, half = (np.maximum(fall[:, None] - self.low - part * width, 0.0) for part in (1.0, 0.5))
        found = (over + fitting.OVERLAP * (half - over)).mean(1)
        return np.maximum(found, fitting.COARSE.dex / fitting.COARSE.parts)

    def log_prior(self, theta: Array) -> Array:
        """Even in places and log widths, but for what is usual in falls; normal levels in their order."""
        rise, fall, log_rise, log_fall, start, plateau, floor = theta.T
        inside = (np.minimum(rise, fall) > self.low) & (np.maximum(rise, fall) < self.last)
        for width in (log_rise, log_fall):
            inside &= (width > np.log(NARROWEST)) & (width < np.log(WIDEST))
        inside &= (plateau < 1) & (start < plateau) & (floor < plateau) & (rise + np.exp(log_rise) / 2 <= fall)
        mean, sd, weight = self.widths
        normals = np.exp(-0.5 * ((log_fall[:, None] - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi)) @ weight
        usual = np.log(pooling.ANY_WIDTH + (1 - pooling.ANY_WIDTH) * normals * self.extent)
        overlap = np.where(rise + np.exp(log_rise) <= fall, 0.0, np.log(fitting.OVERLAP))
        levels = -0.5 * (((theta[:, 4:] - self.mean) / self.sd) ** 2).sum(1)
        levels += log_ndtr((floor - self.runs.y[-1]) / self.runs.error[-1])  # no fall goes below guessing
        return np.where(inside, usual + overlap - np.log(self.room(fall)) + levels, -np.inf)

    def by_noise(self, theta: Array) -> Array:
        """The log likelihood under each noise with its prior: (n, noises)."""
        runs = self.runs
        rise, fall, log_rise, log_fall, start, plateau, floor = theta.T[:, :, None]
        up = np.clip((np.maximum(runs.x, -99.0) - rise) / np.exp(log_rise), 0, 1)
        stay = np.clip(1 - (np.maximum(runs.x, -99.0) - fall) / np.exp(log_fall), 0, 1)
        high, left = start + up * (plateau - start), start + up * (floor - start)
        found = []
        for level, knots, steady in zip(self.level, self.knots, self.steady, strict=True):
            alone = runs.error**2 + runs.trained * level**2 * (1.0 if steady else runs.middling)
            if knots == 1:  # each run has collapsed whole, or not at all
                whole, gone = (np.exp(-((runs.y - value) ** 2) / (2 * alone)) for value in (high, left))
                found.append((np.log(stay * whole + (1 - stay) * gone + 1e-300) - np.log(alone) / 2).sum(1))
                continue
            variance = alone + runs.trained * (knots * self.drop) ** 2 * stay * (1 - stay)
            misses = runs.y - stay * high - (1 - stay) * left
            found.append(-0.5 * (misses**2 / variance + np.log(variance)).sum(1))
        return np.stack(found, axis=1) + self.log_noise

    def log_density(self, theta: Array) -> Array:
        """Prior times likelihood, without a constant."""
        found = self.log_prior(theta)
        possible = np.isfinite(found)
        if possible.any():
            found[possible] += logsumexp(self.by_noise(theta[possible]), axis=1)
        return found


def sampled(runs: Runs, seed: int) -> Array:
    """Draws of where the collapse begins.

    Random-walk Metropolis by many chains. Each half steps along differences between two chains of the other half, which
    fits the steps to the posterior; now and then by a whole difference, which leads from one mode to another.
    """
    posterior, rng = Posterior(runs), np.random.default_rng(seed)
    tried = posterior.prior_draws(CHAINS * 200, rng)
    density = posterior.log_density(tried).reshape(CHAINS, -1)
    theta = tried.reshape(CHAINS, 200, -1)[np.arange(CHAINS), density.argmax(1)]
    at = posterior.log_density(theta)
    halves, kept = (np.arange(CHAINS // 2), np.arange(CHAINS // 2, CHAINS)), []
    for step in range(WARM + STEPS):
        for mine, others in (halves, halves[::-1]):
            one, other = (theta[rng.permutation(others)] for _ in range(2))
            far = 1.0 if step % 8 == 0 else 2.38 / np.sqrt(2 * theta.shape[1]) * 10 ** rng.uniform(-0.7, 0.1)
            moved = theta[mine] + far * (one - other) + rng.normal(0, 1e-3, one.shape)
            density = posterior.log_density(moved)
            accepted = np.log(rng.random(len(mine))) < density - at[mine]
            theta[mine[accepted]], at[mine[accepted]] = moved[accepted], density[accepted]
        if step >= WARM and step % 10 == 0:
            kept.append(theta.copy())
    found = np.concatenate(kept)
    # The seeds' own falls differ from each other along the width, and their mean from that of all seeds.
    log_noise = posterior.by_noise(found)
    knots = posterior.knots[(log_noise + rng.gumbel(size=log_noise.shape)).argmax(1)]
    own = np.where(knots == 1, 0.0, knots * np.exp(found[:, 3]) * HALF_WAY / np.sqrt(runs.seeds))
    return found[:, 1] + np.hypot(own, SMOOTH * BIN) * rng.standard_normal(len(found))


@pytest.mark.slow
@pytest.mark.skipif("MCMC" not in os.environ, reason="three minutes: set MCMC=1")
@pytest.mark.parametrize("number", range(len(WORLDS)))
def test_collapses_lie_where_monte_carlo_puts_them(number: int) -> None:
    rows, _ = simulate(WORLDS[number], [3e4], [1.5e6], SHARES, 2, np.random.default_rng(number))
    (point,) = [p for p in find.find_points(rows, detector="hinge") if p.kind == "collapse"]
    first, second = (np.quantile(sampled(runs_of(rows), seed), [0.05, 0.5, 0.95]) for seed in (0, 1))
    assert first == pytest.approx(second, abs=0.03)  # two sets of chains that began elsewhere
    theirs, ours = (first + second) / 2, (point.x.low, point.x.value, point.x.high)
    assert ours == pytest.approx(theirs, abs=0.06)
