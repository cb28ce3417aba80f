"""Draws of a form: whether they can be relied on, and how much a good sampler gets right."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import genpareto, t

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import Assumed, normal
from infusionlaw.law.scaling import fit
from infusionlaw.law.scaling.forms import PowerLaw, places
from infusionlaw.law.scaling.posterior import BAD, Evidence, posterior, smoothed
from tests.law.scaling.test_fit import SIZES, at, law_of


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_the_shape_of_heavy_weights_is_recovered(shape: float) -> None:
    weights = genpareto(shape).rvs(4000, random_state=np.random.default_rng(0))
    assert smoothed(np.log(weights))[1] == pytest.approx(shape, abs=0.2)


def test_weights_of_a_sampler_that_is_too_narrow_are_told_from_good_ones() -> None:
    rng = np.random.default_rng(1)
    narrow, wide = 0.4 * rng.standard_normal(4000), rng.standard_t(4, 4000)
    bad = -(narrow**2) / 2 + (narrow / 0.4) ** 2 / 2
    assert smoothed(bad)[1] > BAD
    assert smoothed(-(wide**2) / 2 - t(4).logpdf(wide))[1] < 0.5


def test_smoothing_leaves_equal_weights_and_small_ones_alone() -> None:
    assert smoothed(np.zeros(100))[1] == 0
    log_w = np.log(np.random.default_rng(2).exponential(size=4000))
    order, out = np.argsort(log_w), smoothed(log_w)[0]
    assert np.array_equal(out[order[:3000]], log_w[order[:3000]])
    assert logsumexp(out) == pytest.approx(logsumexp(log_w), abs=0.02)


def test_smoothed_weights_let_no_draw_carry_the_rest() -> None:
    shares, errors = [], []
    for seed in range(60):
        log_w = np.log(genpareto(0.7).rvs(1000, random_state=np.random.default_rng(seed)))
        found = [np.exp(w - logsumexp(log_w)) for w in (log_w, smoothed(log_w)[0])]
        shares.append([w.max() / w.sum() for w in found])
        errors.append([np.log(np.exp(w).mean() * 0.3) for w in (log_w, smoothed(log_w)[0])])  # the mean is 1 / .3
    raw, smooth = np.max(shares, axis=0)
    assert smooth < 0.8 * raw
    assert np.std(errors, axis=0)[1] < 0.9 * np.std(errors, axis=0)[0]


def test_draws_are_found_where_a_point_lies_far_off_the_line_that_they_start_from() -> None:
    """Least squares says that the line is known well; one point says otherwise, and few first draws lie near enough."""
    where = places("share", np.repeat(SIZES, 3), np.tile([1e6, 2e6, 4e6], 4))
    data = Evidence.of(where, [normal(0.1 * i + 0.6 * (i == 5), 0.02) for i in range(12)])
    found = [posterior(PowerLaw.around(where), data, np.random.default_rng(seed)) for seed in range(8)]
    assert np.ptp([each.log_evidence for each in found]) < 0.6
    assert min(1 / (each.weight**2).sum() for each in found) > 60
    for each in found:  # the largest weights are quantiles of a Pareto tail of that shape, cut at the largest
        third, second, first = np.sort(each.weight)[-3:]
        tail = np.array([0.5, 1.5, 2.5]) ** -each.k
        assert first - second <= 1.001 * (second - third) * (tail[0] - tail[1]) / (tail[1] - tail[2]) + 1e-9


def test_the_marginal_likelihood_does_not_hang_on_the_seed() -> None:
    where = places("share", np.repeat(SIZES, 3), np.tile([1e6, 2e6, 4e6], 4))
    data = Evidence.of(where, [normal(0.1 * i, 0.1) for i in range(12)])
    found = [posterior(PowerLaw.around(where), data, np.random.default_rng(seed)) for seed in range(5)]
    assert np.ptp([each.log_evidence for each in found]) < 0.1
    assert max(each.k for each in found) < BAD


def test_what_all_points_may_be_wrong_in_makes_the_level_unsure_and_not_the_slope() -> None:
    where = places("share", np.repeat(SIZES, 3), np.tile([1e6, 2e6, 4e6], 4))
    shifts = (-0.2, 0.0, 0.2)
    shared = [tuple(Assumed(1 / 3, normal(shift + 0.1 * i, 0.02)) for shift in shifts) for i in range(12)]
    own = [normal(0.1 * i, float(np.hypot(0.02, np.std(shifts)))) for i in range(12)]
    form = PowerLaw.around(where)

    def deviations(points: list[Any]) -> Array:
        found = posterior(form, Evidence.of(where, points), np.random.default_rng(0))
        assert found.k < BAD
        return found.draws(4000, np.random.default_rng(1)).std(0)

    (level, size, *_), (own_level, own_size, *_) = deviations(shared), deviations(own)
    assert level == pytest.approx(np.std(shifts), rel=0.1)
    assert own_level < level / 2 and size < own_size / 2


def test_a_law_whose_draws_are_unreliable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [at(n, 0.3) for n in SIZES]
    assert law_of(points).of("collapse").notes == ()
    monkeypatch.setattr("infusionlaw.law.scaling.posterior.INFLATE", 0.15)
    monkeypatch.setattr("infusionlaw.law.scaling.posterior.PROPOSAL_DOF", 200.0)
    notes = law_of(points).of("collapse").notes
    assert any("draws of the power law in size and token count are unreliable (Pareto k" in note for note in notes)
    assert fit.BAD == BAD
