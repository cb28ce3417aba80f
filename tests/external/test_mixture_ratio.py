"""Mixture ratios of continual pre-training: CMR (arXiv 2407.17467) and D-CPT (arXiv 2406.01375)."""

from pathlib import Path

import numpy as np
import pytest

from infusionlaw import SURFACES, Conditions, fit_surface, read_losses, tolerated_share
from infusionlaw.law.dose import log_odds
from infusionlaw.law.planning.rules import CMR
from infusionlaw.runs.tabular import read_rows

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "cpt_critical_ratio_tables"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="needs the tables of arXiv 2407.17467 and 2406.01375")
SHARES = {"460M": "29.76", "940M": "34.89", "1.6B": "41.43", "3.1B": "47.83"}
# Measured, published and predicted here: the domain loss at a share of .25 from those at 1, .75, .5 and .33.
AT_A_QUARTER = {
    "460M": (1.5561, 1.5566, 1.5561),
    "940M": (1.4538, 1.4546, 1.4537),
    "1.6B": (1.3994, 1.3999, 1.3993),
    "3.1B": (1.3305, 1.3303, 1.3306),
}


def test_the_published_curves_give_the_published_critical_shares() -> None:
    _, rows = read_rows(FOLDER / "cmr_table5_coefficients.csv")
    twenty_billion = Conditions(tokens=2e10)
    found = {}
    for row in rows.values():
        theta = {"alpha": float(row["alpha4"]), "s": float(row["s4"]), "beta": float(row["beta3"])}
        found[row["model"]] = f"{100 * SURFACES['critical share by tokens'].loss(theta, twenty_billion)[0]:.2f}"
    assert found == SHARES
    sizes, odds = np.log10([4.6e8, 9.4e8, 1.6e9, 3.1e9]), log_odds([float(share) / 100 for share in found.values()])
    assert np.polyfit(sizes, odds, 1)[0] == pytest.approx(CMR.size, abs=5e-4)


@pytest.mark.parametrize("model", AT_A_QUARTER)
def test_the_loss_at_a_quarter_follows_from_the_other_shares(model: str) -> None:
    """Within .0009 of the published predictions, whose fit the paper's tables do not fix, and nearer to the outcome."""
    conditions, loss = read_losses(FOLDER / "cmr_table2_domain_loss_vs_ratio.csv", where=[f"model = {model}"])
    quarter = conditions.column("share") == 0.25
    fit = fit_surface(SURFACES["loss by share"], conditions.take(~quarter), loss[~quarter])
    ours = float(fit.predict(conditions.take(quarter))[0])
    measured, published, expected = AT_A_QUARTER[model]
    assert loss[quarter].tolist() == [measured]
    assert f"{ours:.4f}" == f"{expected:.4f}"
    assert abs(ours - published) < 0.0009
    assert abs(ours - measured) <= abs(published - measured)


def test_three_percent_of_general_loss_tolerate_a_domain_share_of_924() -> None:
    conditions, loss = read_losses(
        FOLDER / "dcpt_table5_chemistry_qwen1.5_1.8B.csv", "general_loss", loss_share="domain_share_rd"
    )
    # The loss is of general text, so the share is turned to that of general text. One model and one token count were
    # trained: what depends on them is in E, and seven losses do not tell the term in B from the one in C.
    general = Conditions(1.8e9, 1e9, share=1 - conditions.column("share"))
    given = {"A": 0.0, "B": 0.0, "alpha": 1.0, "beta": 1.0, "eta": 1.0}
    fit = fit_surface(SURFACES["d-cpt"], general, loss, fixed=given)
    tolerated = tolerated_share(fit, 1.03 * 2.8602, size=1.8e9, tokens=1e9)
    assert tolerated.share is not None
    assert f"{1 - tolerated.share:.3f}" == "0.924"
    assert np.interp(1.03 * 2.8602, loss, conditions.column("share")) == pytest.approx(0.924, abs=0.0005)
