"""The cost of a dose: simulated surfaces are recovered, intervals cover, and a law keeps it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infusionlaw.law.dose import log_odds
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import read_law, write_law
from infusionlaw.law.scores.cost import Cost, fit_cost
from infusionlaw.runs.record import RunRecord

SHARES = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95)
SIZES, TOKEN_COUNTS = (1e4, 2e4, 4e4), (1e6, 3e6)
SCALE, BEND, BY_SIZE, BY_TOKENS = 1.5, 0.12, -0.1, -0.2


def true_rise(size: float, tokens: float, share: float, own: float = 0.0) -> float:
    at = SCALE * (size / 2e4) ** BY_SIZE * (tokens / 1.7e6) ** BY_TOKENS * np.exp(own)
    return float(at * ((1 - share) ** -BEND - 1))


def table(
    rng: np.random.Generator, token_counts: Sequence[float] = TOKEN_COUNTS, noise: float = 0.01
) -> list[RunRecord]:
    """Two seeds of each run; every place (N, D) has its own level and lies off the surface by some 5 %."""
    rows = []
    for size in SIZES:
        for tokens in token_counts:
            level, own = rng.uniform(1, 3), rng.normal(0, 0.05)
            rows += [
                RunRecord(
                    size=size,
                    tokens=tokens,
                    share=share,
                    seed=seed,
                    recall=0.5,
                    val_bpb=level + true_rise(size, tokens, share, own) + rng.normal(0, noise),
                )
                for share in SHARES
                for seed in (1, 2)
            ]
    return rows


def fitted(rows: Sequence[RunRecord]) -> Cost:
    cost = fit_cost(rows, "share")
    assert cost is not None
    return cost


def test_a_simulated_surface_is_recovered() -> None:
    cost = fitted(table(np.random.default_rng(1)))
    theta, sd = np.array(cost.theta), np.sqrt(np.diag(cost.covariance))
    assert np.all(np.abs(theta[1:] - [BY_SIZE, BY_TOKENS, np.log(BEND)]) < 3 * sd[1:])
    assert sd[1] < 0.15 and sd[2] < 0.15 and sd[3] < 0.2
    for share in (0.1, 0.5, 0.9):
        draws = cost.rise(8e4, 3e6, log_odds(share))[:, 0]
        assert draws.mean() == pytest.approx(true_rise(8e4, 3e6, share), rel=0.2)


def test_the_interval_covers_the_truth_beyond_the_sizes_tried() -> None:
    inside = []
    for seed in range(30):
        cost = fitted(table(np.random.default_rng(seed)))
        for share in (0.1, 0.6):
            low, high = np.quantile(cost.rise(1.6e5, 6e6, log_odds(share)), [0.05, 0.95])
            inside.append(low <= true_rise(1.6e5, 6e6, share) <= high)
    assert np.mean(inside) >= 0.85


def test_the_dose_of_a_rise_undoes_the_rise_of_a_dose() -> None:
    cost = fitted(table(np.random.default_rng(2)))
    x = cost.dose_of(0.05, 4e4, 1e6)
    assert np.median([cost.rise(4e4, 1e6, at)[i, 0] for i, at in enumerate(x[:50])]) == pytest.approx(0.05)
    allowed = cost.allowed(0.05, 4e4, 1e6)
    assert cost.rise(4e4, 1e6, allowed).mean() == pytest.approx(0.05, rel=1e-3)
    assert cost.rise(4e4, 1e6, [-np.inf, allowed]).mean(0)[0] == 0
    assert x.min() < allowed < x.max()


def test_an_exponent_whose_cause_did_not_vary_keeps_its_prior() -> None:
    cost = fitted(table(np.random.default_rng(3), token_counts=[1e6]))
    assert cost.theta[2] == pytest.approx(0, abs=1e-3)
    assert np.sqrt(cost.covariance[2][2]) == pytest.approx(0.3, rel=0.02)
    spread = [np.std(np.log(cost.rise(2e4, tokens, 0.0))) for tokens in (1e6, 1e7)]
    assert spread[1] == pytest.approx(0.3 * np.log(10), rel=0.1) and spread[0] < 0.2


def test_one_run_gone_wrong_hardly_moves_it() -> None:
    rows = table(np.random.default_rng(4))
    wrong = [replace(rows[7], val_bpb=(rows[7].val_bpb or 0) + 1.0), *rows[:7], *rows[8:]]
    one, other = (fitted(r).rise(2e4, 1e6, log_odds(0.3)).mean() for r in (rows, wrong))
    assert other == pytest.approx(one, rel=0.1)


def test_exposures_alone_give_a_power_of_exposures() -> None:
    rng, rows = np.random.default_rng(5), []
    for size in SIZES:
        for exposures in (0.0, 10.0, 40.0, 160.0, 640.0):
            loss = 2.0 + 0.002 * exposures**0.7 + rng.normal(0, 0.005)
            rows.append(RunRecord(size=size, tokens=1e6, exposures=exposures, recall=0.5, val_bpb=loss))
    cost = fit_cost(rows, "exposures")
    assert cost is not None
    assert cost.rise(2e4, 1e6, 2.0).mean() == pytest.approx(0.002 * 100**0.7, rel=0.15)
    assert cost.allowed(0.1, 2e4, 1e6) == pytest.approx(np.log10(50) / 0.7, abs=0.1)


def test_without_dose_0_three_doses_or_losses_there_is_none() -> None:
    rows = table(np.random.default_rng(6))
    assert fit_cost([row for row in rows if row.share], "share") is None
    assert fit_cost([row for row in rows if (row.share or 0) <= 0.2], "share") is None
    assert fit_cost([replace(row, val_bpb=None) for row in rows], "share") is None
    assert fit_cost([], "share") is None


def test_a_law_keeps_its_cost_on_disk(tmp_path: Path) -> None:
    law = fit_law(table(np.random.default_rng(7)), [], draws=50)
    write_law(tmp_path / "law.json", law)
    assert law.cost is not None and read_law(tmp_path / "law.json").cost == law.cost
