"""OLMo-ladder: bits per byte of answers at 13B from runs of 190M to 1.3B (arXiv 2412.04403)."""

from pathlib import Path

import numpy as np
import pytest

from infusionlaw import SURFACES, Conditions, fit_surface, read_losses
from infusionlaw.runs.tabular import read_rows

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "olmo_ladder"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="needs the tables of allenai/OLMo-ladder")
TASKS = ["hellaswag", "arc_challenge", "arc_easy", "piqa", "csqa", "socialiqa", "openbookqa", "c4"]
LARGE = Conditions(13_202_396_160, 596_057 * 8_388_608)


@pytest.mark.parametrize("task", TASKS)
def test_the_first_step_errs_as_published(task: str) -> None:
    rows = read_rows(FOLDER / "published_step1.csv")[1].values()
    published = next(row for row in rows if row["Task"].startswith(task))
    conditions, loss = read_losses(FOLDER / f"table_{task}.csv", "bpb", size="non_embedding_params")
    fit = fit_surface(SURFACES["chinchilla"], conditions, loss, draws=0)
    relative = fit.predict(LARGE)[0] / float(published["Actual"]) - 1
    missed = np.abs(fit.predict(conditions) / loss - 1).mean()
    assert f"{relative:.3g}" == f"{float(published['Rel Error']):.3g}"
    assert f"{missed:.3g}" == f"{float(published['Fit Error']):.3g}"
