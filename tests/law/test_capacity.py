"""Tables of capacity: the number of facts is the dose."""

from pathlib import Path

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.fitting import fit
from infusionlaw.law.design.next_runs import next_runs
from infusionlaw.law.planning.plan import Plan, predict
from infusionlaw.law.points.points import Points
from infusionlaw.law.scaling.law import Law
from infusionlaw.pipeline import write_report
from infusionlaw.runs.record import UNSTATED, RunRecord
from infusionlaw.runs.table import read_runs, read_table, write_table

EXPONENT, AT_16M, FALL = 0.8, 5.3, 0.8  # of the true collapse: x = 5.3 at 16 M parameters, and how wide the fall is
SIZES = (1e6, 4e6, 16e6, 64e6)
FACTS = 10 ** np.arange(3.5, 7.01, 0.25)


def truth(size: float) -> float:
    return float(AT_16M + EXPONENT * np.log10(size / 16e6))


def capacity(exposures: float = 1000.0) -> list[RunRecord]:
    """Runs that state every fact equally often, so that the tokens rise with the facts."""
    rng = np.random.default_rng(3)
    return [
        RunRecord(
            size,
            facts * 20 * exposures,
            exposures=exposures,
            facts=facts,
            recall=0.05
            + 0.9 / (1 + float(np.exp(4 * (np.log10(facts) - truth(size)) / FALL - 2)))
            + rng.normal(0, 0.02),
            seed=seed,
        )
        for size in SIZES
        for facts in np.round(FACTS)
        for seed in (1, 2)
    ]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capacity") / "capacity.csv"
    write_table(path, capacity())
    return path


@pytest.fixture(scope="module")
def fitted(table: Path) -> tuple[list, Law]:
    return fit(read_table(table), 0.05, 500)


def test_the_points_lie_where_they_were_put(fitted: tuple[list, Law]) -> None:
    points, _ = fitted
    assert [(point.kind, point.size, point.status) for point in points] == [("collapse", n, "found") for n in SIZES]
    for point in points:
        assert point.x.low <= truth(point.size) <= point.x.high
        assert point.dose.value == pytest.approx(10**point.x.value)
        assert "facts" in repr(point) and "tokens" not in repr(point)
    frame = Points(points).to_frame()
    assert frame["facts"].tolist() == [point.dose.value for point in points] and frame["share"].isna().all()


def test_the_law_goes_over_size_and_says_how_many_facts_a_larger_model_holds(fitted: tuple[list, Law]) -> None:
    _, law = fitted
    exponent = law.of("collapse").coefficients["size"]
    assert exponent.low < EXPONENT < exponent.high < 1
    plan = predict(law, 256e6)
    point = plan.points["collapse"].facts
    assert point.low < 10 ** truth(256e6) < point.high
    assert plan.dose.facts.value < point.value and plan.dose.share.value is plan.dose.exposures.value is None
    assert 0.8 < plan.recall.value < 1 and plan.known.value == pytest.approx(
        plan.dose.facts.value
        * (plan.recall.value - law.plateaus["collapse"].guessing)
        / (1 - law.plateaus["collapse"].guessing)
    )
    assert {forecast.name for forecast in plan.forecast} == {"a quarter", "the advised dose", "four times"}
    with pytest.raises(InputError, match="leave --facts out"):
        predict(law, 256e6, facts=1000)
    with pytest.raises(InputError, match="leave --tokens out"):
        predict(law, 256e6, 1e9)


def test_law_plan_and_page_are_kept_and_shown_in_facts(fitted: tuple[list, Law], table: Path, tmp_path: Path) -> None:
    _, law = fitted
    law.save(tmp_path / "law.json")
    plan = predict(Law.load(tmp_path / "law.json"), 64e6)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan == predict(law, 64e6)
    assert "facts" in repr(plan) and plan.plot() and law.plot()
    assert plan.to_frame()["quantity"].tolist().count("advised facts") == 1
    page = write_report(table, tmp_path / "page.html").read_text(encoding="utf8")
    assert "Advised dose: at most" in page


def test_the_next_run_is_a_number_of_facts(table: Path) -> None:
    runs = next_runs(read_table(table))
    assert {run.unit for run in runs} == {"facts"} and all(1e3 < run.dose < 1e8 for run in runs)


def test_share_and_exposures_stay_the_dose_where_they_vary(tmp_path: Path) -> None:
    one, two = capacity(1000.0), capacity(100.0)
    path = tmp_path / "both.csv"
    write_table(path, [*one, *two])
    read = read_runs(path)
    assert {row.exposures for row in read.rows} == {100.0, 1000.0}
    assert any(remark.endswith(": --column exposures=") for remark in read.remarks)
    chosen = read_table(path, where="exposures = 1000")
    assert {(row.share, row.exposures, row.tokens) for row in chosen} == {(None, None, UNSTATED)}
    assert all(row.exposures is None for row in read_table(path, columns={"exposures": "", "share": ""}))


def test_tokens_that_do_not_go_with_the_facts_stay(tmp_path: Path) -> None:
    text = "size,tokens,n_facts,recall\n" + "".join(f"1M,{d},{s},.5\n" for d in ("1B", "2B") for s in (100, 200))
    (tmp_path / "t.csv").write_text(text)
    rows = read_table(tmp_path / "t.csv")
    assert {row.tokens for row in rows} == {1e9, 2e9} and {row.facts for row in rows} == {100, 200}
