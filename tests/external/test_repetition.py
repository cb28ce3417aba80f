"""Repeated data: Muennighoff et al. (arXiv 2305.16264), the 182 runs of their published fit."""

from pathlib import Path

import numpy as np
import pytest

from infusionlaw import SURFACES, Conditions, fit_surface, read_losses
from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.fit import SurfaceFit

TABLE = Path(__file__).parents[2].parent / "shared" / "data" / "datablations_repetition" / "fit_182runs_cell25.csv"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"needs {TABLE.name} of huggingface/datablations")
BASE = {"a": 6.255414, "b": 7.3049974, "e": 0.6254804, "alpha": 0.3526596, "beta": 0.3526596}
PUBLISHED = {"rn_star": 5.309743, "rd_star": 15.387756}
NO_DECAY = {"rn_star": np.inf, "rd_star": np.inf}


def read() -> tuple[Conditions, Array]:
    conditions, loss = read_losses(TABLE)
    assert len(loss) == 182
    return conditions, loss


def fit(starts: list[dict[str, float]] | None = None, **fixed: float) -> SurfaceFit:
    return fit_surface(SURFACES["data-constrained"], *read(), fixed=BASE | fixed, starts=starts)


def test_the_published_decays_give_the_published_figures() -> None:
    given = fit(**PUBLISHED)
    assert f"{given.objective:.7f}" == "0.0158259"
    assert f"{given.r2:.7f}" == "0.7722046"
    assert f"{given.predict(Conditions(6.34e9, 242e9, 25e9))[0]:.10f}" == "2.2256440890"
    assert f"{fit(**NO_DECAY).r2:.3f}" == "0.445"
    assert f"{fit(rn_star=np.inf, rd_star=2.9157).r2:.4f}" == "0.7354"


def test_descending_from_the_published_decays_ends_beside_them() -> None:
    """Theirs lie 0.1 % from the minimum of their own valley: a descent that stops at a loose tolerance."""
    found = fit([PUBLISHED])
    assert found.status == "converged"
    assert f"{found.objective:.7f}" == "0.0158259" and found.objective < fit(**PUBLISHED).objective
    assert found.theta["rd_star"] == pytest.approx(15.3718, abs=1e-4)
    assert found.theta["rn_star"] == pytest.approx(5.3151, abs=1e-4)
    data_only = fit(rn_star=np.inf)
    assert data_only.theta["rd_star"] == pytest.approx(2.9149, abs=1e-4)
    assert f"{data_only.r2:.4f}" == "0.7354"


def test_the_valley_is_flat_and_has_a_lower_minimum_elsewhere() -> None:
    """R_D* of 15 and of 95 differ by 0.13 % of the objective: these runs hardly tell the two decays apart."""
    lowest, published = fit(), fit([PUBLISHED])
    assert f"{lowest.objective:.7f}" == "0.0158047"
    assert lowest.theta["rd_star"] == pytest.approx(95.4, abs=0.1)
    assert lowest.theta["rn_star"] == pytest.approx(1.706, abs=0.001)
    for name in ("rn_star", "rd_star"):
        found = published.interval(name)
        assert found.low is not None and found.high is not None
        assert found.high - found.low > published.theta[name]


def test_the_fit_of_surplus_parameters_alone_is_far_better_than_published() -> None:
    """The published R2 of .4488 is that of R_N* near 709, which is no minimum: the objective there is twice as high."""
    found = fit(rd_star=np.inf)
    assert found.theta["rn_star"] == pytest.approx(0.7421, abs=1e-4)
    assert f"{found.r2:.4f}" == "0.7926"
    stuck = fit(rn_star=709.0, rd_star=np.inf)
    assert f"{stuck.r2:.4f}" == "0.4488"
    assert stuck.objective > 2 * found.objective


def test_freeing_the_base_law_fits_these_runs_much_better() -> None:
    conditions, loss = read()
    free = fit_surface(SURFACES["data-constrained"], conditions, loss)
    assert free.objective == pytest.approx(0.0065899, abs=1e-6)
    assert free.r2 is not None and free.r2 > 0.93
    # Surplus parameters then keep their worth, and only repetition costs.
    assert free.status == "at a bound" and "rn_star" in free.reason
    assert free.theta["rd_star"] == pytest.approx(26.56, abs=0.05)
