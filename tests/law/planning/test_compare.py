"""Predictions beside outcomes: which runs count, what a hit is, what the advice cost."""

from dataclasses import replace

import pytest

from experiments.analysis.evidence import bare_plan
from infusionlaw.law.dose import Interval
from infusionlaw.law.planning.at_target import Target
from infusionlaw.law.planning.compare import ComparedPoint, compare, read_comparison, write_comparison
from infusionlaw.law.planning.forecast import Forecast
from infusionlaw.law.planning.predictions import WrittenPlan, WrittenPredictions
from infusionlaw.runs.record import RunRecord

KEPT = Interval(0.8, 0.7, 0.9)


def looked_at(name: str, share: float, recall: Interval, retention: Interval = KEPT) -> Forecast:
    scores = {"recall": recall, "retention": retention, "val_bpb": Interval()}
    return Forecast(name, share, 1000 * share, scores)


def near(recall: float) -> Interval:
    return Interval(recall, recall - 0.1, recall + 0.1)


def predicted(*forecasts: Forecast) -> WrittenPredictions:
    """A prediction written for one target, of which only what a comparison reads is filled in."""
    plan = bare_plan(Target(1000, 5000, 10, None, 0.05, 0.05), {}, forecasts)
    written = WrittenPlan((1000, 5000), "2026-01-01T00:00:00+00:00", 0, plan)
    return WrittenPredictions("fitted.csv", "0" * 64, (written,))


PREDICTION = predicted(
    looked_at("no dose", 0.0, near(0.1)),
    looked_at("a quarter", 0.1, near(0.5)),
    looked_at("the advised dose", 0.4, near(0.9)),
    looked_at("four times", 0.97, near(0.3)),
)


def run(share: float, recall: float, seed: int = 1, *, size: float = 1000, error: float = 0.02) -> RunRecord:
    scores = {"recall": recall, "recall_se": error, "retention": 0.75, "retention_se": 0.01, "val_bpb": 2.0}
    return RunRecord(size=size, tokens=5000, share=share, exposures=1000 * share, seed=seed, held_out=True, **scores)


ROWS = [run(0.0, 0.12), run(0.4003, 0.7), run(0.4003, 0.72, 2), run(0.6, 0.95), run(0.7, 0.9), run(0.1, 0.9, size=999)]


def test_scores_are_those_of_the_target_at_the_doses_looked_at() -> None:
    rows = compare(PREDICTION, [], ROWS).scores
    assert [(row.name, row.score) for row in rows] == [
        (name, score) for name in ("no dose", "the advised dose") for score in ("recall", "retention")
    ]
    advised = rows[2]
    assert (advised.observed, advised.se, advised.runs) == (pytest.approx(0.71), pytest.approx(0.02), 2)
    assert advised.error == pytest.approx(-0.19)
    assert [row.inside for row in rows] == [True, True, False, True]


def test_an_interval_is_widened_by_the_error_of_what_was_seen() -> None:
    def inside(error: float) -> bool:
        rows = compare(PREDICTION, [], [run(0.4, 0.78, error=error)]).scores
        return next(row.inside for row in rows if row.score == "recall")

    assert not inside(0.02)
    assert inside(0.05)


def test_where_all_facts_are_right_the_predicted_level_says_how_sure_that_is() -> None:
    prediction = predicted(looked_at("no dose", 0.0, Interval(), Interval(0.995, 0.994, 0.996)))

    def inside(others: RunRecord) -> bool:
        rows = [replace(run(0.0, 0.1), retention=1.0, retention_se=0.0), others]
        return compare(prediction, [], rows).scores[0].inside

    assert inside(replace(run(0.7, 0.1), retention=0.75, retention_se=0.0625))  # 48 facts
    assert not inside(replace(run(0.7, 0.1), retention=0.75, retention_se=0.00625))  # 4,800


def test_regret_is_recall_given_away_by_the_advised_dose() -> None:
    (regret,) = compare(PREDICTION, [], ROWS).regrets
    assert (regret.recall, regret.best_recall, regret.best_share) == (pytest.approx(0.71), 0.95, 0.6)
    assert regret.regret == pytest.approx(0.24)
    assert compare(PREDICTION, [], ROWS[:1]).regrets == ()


def test_a_prediction_that_looks_at_no_doses_is_compared_by_its_points_alone() -> None:
    assert compare(predicted(), [], ROWS).scores == compare(predicted(), [], ROWS).regrets == ()


def test_a_comparison_reads_back_as_it_was_written(tmp_path) -> None:
    nowhere = Interval()
    point = ComparedPoint("collapse", 1000, 5000, "share", Interval(0.8, 0.7, 0.9), nowhere, "not reached", None, True)
    comparison = replace(compare(PREDICTION, [], ROWS), points=(point,))
    write_comparison(tmp_path / "comparison.json", comparison)
    assert read_comparison(tmp_path / "comparison.json") == comparison


def beside(error: float | None, seen: Interval, *, inside: bool | None = False) -> bool | None:
    """Whether what was seen agrees with a share of 10 / 11 (5 / 6 to 20 / 21), .3 dex of odds either way."""
    expected = Interval(10 / 11, 5 / 6, 20 / 21)
    return ComparedPoint("collapse", 1000, 5000, "share", expected, seen, "found", error, inside).agrees


def test_points_agree_where_the_errors_of_both_together_account_for_the_difference() -> None:
    exact, rough = Interval(30 / 31, 29 / 30, 31 / 32), Interval(30 / 31, 10 / 11, 60 / 61)
    assert beside(0.48, exact) is False
    assert beside(0.48, rough) is True  # .48 dex below its .48 and .3 of the prediction, together .57
    assert beside(0.6, rough) is False
    assert beside(-0.48, Interval(10 / 13, 1 / 2, 10 / 11)) is True  # the other way its upper end counts
    assert beside(-0.48, Interval(10 / 13, 1 / 2, 3.6 / 4.6)) is False
    assert beside(0.48, Interval(30 / 31, None, 31 / 32)) is True  # nobody knows how far below it may lie
    assert beside(None, Interval(None, 0.9, None), inside=True) is True
    assert beside(None, Interval(), inside=None) is None


def test_exposures_agree_by_their_ratio() -> None:
    expected, seen = Interval(100.0, 80.0, 120.0), Interval(150.0, 110.0, 200.0)
    point = ComparedPoint("collapse", 1000, 5000, "exposures", expected, seen, "found", 0.1761, False)
    assert point.agrees is False  # .079 and .135 dex, together .156
    assert replace(point, observed=Interval(150.0, 100.0, 200.0)).agrees is True
