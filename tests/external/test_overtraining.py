"""Over-training: Gadre et al. (arXiv 2403.08540), two large runs predicted from five small ones."""

from pathlib import Path

import numpy as np
import pytest

from infusionlaw import SURFACES, Conditions, fit_surface, read_losses, score_through_loss
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
    conditions, losses = read_losses(TABLE, loss, where=[f"train_set = {train_set}"])
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


def test_an_accuracy_follows_in_two_steps() -> None:
    """HellaSwag of the three runs above 1B, from the loss that the 32 smaller runs predict."""
    columns, where = {"hellaswag": "acc_hellaswag_zeroshot", "c4": "loss_c4_val"}, ["train_set = rpj"]
    (conditions, accuracy), (_, loss) = (read_losses(TABLE, column, where=where) for column in columns.values())
    small = conditions.column("size") < 1e9
    by_loss, told = SURFACES["score by loss"], Conditions(loss=loss[small])
    first = fit_surface(SURFACES["over-training"], conditions.take(small), loss[small], delta=np.inf, on="linear")
    second = fit_surface(by_loss, told, accuracy[small], fixed={"floor": 0.25}, delta=np.inf, on="linear")
    found = score_through_loss(first, second, conditions.take(~small))
    assert [each.value for each in found] == pytest.approx(accuracy[~small].tolist(), abs=0.02)
    held = [(each.low or 0) <= seen <= (each.high or 0) for each, seen in zip(found, accuracy[~small], strict=True)]
    assert held == [False, True, True]  # the first by .002


def test_an_accuracy_follows_from_the_size_alone() -> None:
    """HellaSwag at 20 tokens a parameter: 6.9B from the five sizes below it."""
    conditions, accuracy = read_losses(TABLE, "acc_hellaswag_zeroshot", where=["train_set = rpj"])
    ladder = np.round(conditions.column("tokens") / conditions.column("size")) == 20
    large = conditions.column("size") > 2e9
    small, by_size = ladder & ~large, SURFACES["score by size"]
    sizes = conditions.take(small)
    fit = fit_surface(by_size, sizes, accuracy[small], fixed={"floor": 0.25}, delta=np.inf, on="linear")
    (found,) = fit.interval_at(conditions.take(large))
    assert found.value == pytest.approx(float(accuracy[large][0]), abs=0.02)
    assert found.low is not None and found.high is not None
    assert found.high - found.low > 0.3  # five runs for three parameters
