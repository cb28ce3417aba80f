"""Chinchilla: the points of Hoffmann et al. as Besiroglu et al. (arXiv 2404.10102) read them off a figure."""

from pathlib import Path

import numpy as np
import pytest

from infusionlaw import SURFACES, Conditions, fit_surface
from infusionlaw.law.dose import Array
from infusionlaw.runs.tabular import read_rows

TABLE = Path(__file__).parents[2].parent / "shared" / "data" / "chinchilla_refit" / "svg_extracted_data.csv"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"needs {TABLE.name} of arXiv 2404.10102")
PUBLISHED = {"alpha": (0.317, 0.373), "beta": (0.331, 0.415)}  # 95 % intervals


def points() -> tuple[Conditions, Array]:
    """The points without the five of fewest tokens per parameter, as in the paper."""
    rows = read_rows(TABLE)[1].values()
    size, flop, loss = (
        np.array([float(row[name]) for row in rows]) for name in ("Model Size", "Training FLOP", "loss")
    )
    tokens = flop / 6 / size
    kept = np.sort(np.argsort(tokens / size)[5:])
    return Conditions(size[kept], tokens[kept]), loss[kept]


def test_the_published_values_come_out_as_delta_goes_to_0() -> None:
    start = {"e": 0.597, "a": 6.18, "b": 7.64, "alpha": 0.348, "beta": 0.366}
    theta = fit_surface(SURFACES["chinchilla"], *points(), delta=1e-8, starts=[start], draws=0).theta
    assert [f"{np.exp(theta[name]):.4g}" for name in "ea"] == ["1.817", "482"]
    assert [f"{np.exp(theta[name]):.2f}" for name in "ab"] == ["482.01", "2085.43"]
    assert (theta["alpha"], theta["beta"]) == pytest.approx((0.3478, 0.3658), abs=1e-4)


def test_intervals_are_as_wide_as_the_published_ones() -> None:
    fit = fit_surface(SURFACES["chinchilla"], *points(), draws=500)
    for name, (low, high) in PUBLISHED.items():
        found = fit.interval(name, 0.95)
        assert found.low is not None and found.high is not None
        assert found.high - found.low == pytest.approx(high - low, rel=0.1)
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.005)
