"""Over-training: Gadre et al. (arXiv 2403.08540), two large runs predicted from five small ones."""

from pathlib import Path

import numpy as np
import pytest

from infusionlaw import SURFACES, fit_surface, read_losses
from infusionlaw.law.surfaces.fit import SurfaceFit

TABLE = Path(__file__).parents[2].parent / "shared" / "data" / "overtraining_scaling" / "models104.csv"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"needs {TABLE.name} of mlfoundations/scaling")
# Runs by nearest million parameters and tokens per parameter, as the paper names them.
SMALL = [(11, 20), (79, 20), (154, 20), (412, 20), (11, 320)]
LARGE = [(1440, 640), (6889, 20)]


def predicted(
    delta: float = np.inf, train_set: str = "rpj", loss: str = "loss_c4_val"
) -> tuple[SurfaceFit, list[float]]:
    """The fit to the five small runs, and its relative error in percent on the two large ones."""
    conditions, losses = read_losses(TABLE, loss, where={"train_set": train_set})
    millions = np.round(conditions.column("size") / 1e6)
    multiplier = np.round(conditions.column("tokens") / conditions.column("size"))
    runs = list(zip(millions, multiplier, strict=True))
    small, large = ([runs.index(run) for run in chosen] for chosen in (SMALL, LARGE))
    fit = fit_surface(SURFACES["over-training"], conditions.take(small), losses[small], delta=delta, on="linear")
    return fit, (100 * (fit.predict(conditions.take(large)) / losses[large] - 1)).tolist()


def test_the_two_held_out_runs_are_predicted_as_published() -> None:
    fit, errors = predicted()
    assert fit.status == "converged"
    assert [f"{abs(error):.4f}" for error in errors] == ["0.7103", "0.7320"]
    assert fit.theta["eta"] == pytest.approx(0.1364, abs=1e-4)


def test_a_robust_fit_predicts_them_as_well() -> None:
    _, errors = predicted(delta=1e-3)
    assert max(map(abs, errors)) < 1.0
