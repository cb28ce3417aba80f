"""Today's law on the predictions of the past: what is counted, and what is never predicted."""

from dataclasses import replace
from math import log10
from pathlib import Path

import numpy as np
import pytest

from benchmarks.real_runs import METHODS, THEN, TODAY, Bet, Laws, outcome, page, write_bets
from experiments.analysis.evidence import Trial
from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json
from infusionlaw.law.design.simulate import TrueLaw, World, simulate, true_points
from infusionlaw.law.dose import Interval
from infusionlaw.law.planning.compare import ComparedPoint
from infusionlaw.law.points.point import Status
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table, table_hash, write_table

SHARES = (0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.92, 0.97)
TRIAL = Trial("grid", "grid", "grid")
LATER = Trial("grid again", "later", "grid")
TARGET = (1.6e5, 1.5e6)
WORLD = World(collapse=TrueLaw(0.3, 0.3), retention=TrueLaw(0.1, 0.4), fall=0.5, spread=0.01, facts=400)


def ends(value: float, low: float, high: float) -> dict[str, dict[str, float | None]]:
    return {
        "share": {"value": value, "low": low, "high": high},
        "exposures": {"value": None, "low": None, "high": None},
    }


def predicted(rows: list[RunRecord], size: float) -> dict[str, object]:
    """A prediction that misses the collapse of recall, holds that of retention, and holds one score of two."""
    sure = {"value": 0.5, "low": 0.0, "high": 1.0}
    wrong = {"value": 0.01, "low": 0.0, "high": 0.02}
    at = {"name": "the advised dose", "share": 0.6, "exposures": None, "general_loss": dict.fromkeys(sure)}
    plan = {
        "target": {"size": size, "tokens": TARGET[1], "facts": None},
        "collapse": ends(0.2, 0.1, 0.3),
        "retention": ends(0.7, 0.01, 0.999),
        "outlook": [at | {"recall": sure, "retention": wrong}],
    }
    made = {"written": "", "table": "", "table_sha256": table_hash(rows), "held_out_runs_already_known": 0}
    return made | {"predictions": [plan]}


@pytest.fixture(scope="module")
def laws(tmp_path_factory) -> Laws:
    """A grid with a target four times its size, and a later trial of the same law, of which no dose has been run."""
    folder = tmp_path_factory.mktemp("results")
    rng = np.random.default_rng(4)
    rows, _ = simulate(WORLD, (1e4, 2e4, 4e4), (1.5e6, 3e6), SHARES, 2, rng)
    held = [replace(row, held_out=True) for row in simulate(WORLD, TARGET[:1], TARGET[1:], SHARES, 1, rng)[0]]
    write_table(folder / "2026-01-01-grid" / "runs.csv", [*rows, *held])
    write_json(folder / "2026-01-01-grid" / "prediction.json", predicted(rows, TARGET[0]))
    write_table(folder / "2026-01-02-later" / "runs.csv", [replace(row, size=2e5) for row in held if not row.share])
    write_json(folder / "2026-01-02-later" / "prediction.json", predicted(rows, 2e5))
    return Laws(folder)


def test_what_was_said_at_the_time_and_what_todays_law_says_are_held_against_the_same_outcomes(laws: Laws) -> None:
    found = outcome(laws, [TRIAL, LATER])
    assert [(seen.law, seen.point.kind) for seen in found.seen] == [("grid", "collapse"), ("grid", "retention")]
    recall, retention = found.seen
    assert (recall.said[THEN].inside, retention.said[THEN].inside) == (False, True)
    truth = true_points(WORLD, *TARGET)
    for seen in found.seen:
        assert {seen.said[name].observed for name in METHODS} == {seen.point.share}
        said = laws.law("grid").predict_point(seen.point.kind, *TARGET).share
        assert seen.said[TODAY].predicted == said
        for name in METHODS:
            error = seen.said[name].error_dex
            if name != THEN:
                assert error is not None and abs(error) < 0.5
        assert seen.point.x.value == pytest.approx(truth[seen.point.kind], abs=0.2)
    assert found.scores == {THEN: (True, False), TODAY: (True, True)}
    text = page(found, None)
    assert "| recall | committed prediction | 0 of 1 | 0 of 1 | 0 |" in text
    assert "| retention | committed prediction | 1 of 1 | 1 of 1 | 0 |" in text
    assert "| today's law | 2 of 2 |" in text and "| committed prediction | 1 of 2 |" in text


def test_where_a_prediction_says_nothing_of_a_collapse_it_is_counted_as_not_held(laws: Laws, tmp_path: Path) -> None:
    content = read_json(laws.root / "2026-01-01-grid" / "prediction.json")
    del content["predictions"][0]["retention"]
    path = tmp_path / "2026-01-01-grid"
    write_table(path / "runs.csv", [*laws.rows("grid"), *held_of(laws)])
    write_json(path / "prediction.json", content)
    text = page(outcome(Laws(tmp_path), [TRIAL]), None)
    assert "| retention | committed prediction | 0 of 1 | 0 of 1 | 1 | – | – | – | – |" in text


def held_of(laws: Laws) -> list[RunRecord]:
    return [row for row in read_table(laws.root / "2026-01-01-grid" / "runs.csv") if row.held_out]


def test_a_prediction_from_another_table_is_refused(laws: Laws, tmp_path: Path) -> None:
    write_table(tmp_path / "2026-01-01-grid" / "runs.csv", [*laws.rows("grid")[1:], *held_of(laws)])
    write_json(tmp_path / "2026-01-01-grid" / "prediction.json", predicted(laws.rows("grid"), TARGET[0]))
    with pytest.raises(InputError, match="made from another table"):
        outcome(Laws(tmp_path), [TRIAL])


def compared(predicted: Interval, observed: Interval, status: Status = "found") -> ComparedPoint:
    return ComparedPoint("collapse", 1e5, 1e6, "exposures", predicted, observed, status, None, None)


def test_an_interval_scores_its_width_and_twenty_times_what_it_misses_by() -> None:
    said = Interval(10, 1, 100)
    assert compared(said, Interval(50, 20, 200)).interval_score == pytest.approx(2)
    assert compared(said, Interval(1000, 500, 2000)).interval_score == pytest.approx(2 + 20)
    assert compared(said, Interval(0.5, 0.2, 2)).interval_score == pytest.approx(2 + 20 * log10(2))
    assert compared(said, Interval(None, 50, None), "not reached").interval_score == pytest.approx(2)
    assert compared(said, Interval(None, 1000, None), "not reached").interval_score == pytest.approx(2 + 20)
    assert compared(Interval(10, None, 100), Interval(50, 20, 200)).interval_score is None
    wide, narrow = Interval(50, 2, 500), Interval(50, 30, 80)
    assert [compared(x, Interval(50, 20, 200)).says_little for x in (wide, narrow)] == [True, False]


def test_what_it_predicts_next_is_on_the_page_and_cannot_be_written_once_it_has_been_run(laws: Laws) -> None:
    path = laws.root / "2026-01-03-next" / "prediction.json"
    write_bets(laws, path, [Bet("simulated", "grid", 6.4e5, 3e6)])
    content = read_json(path)
    assert content["table_sha256"] == content["predictions"][0]["table_sha256"] == table_hash(laws.rows("grid"))
    text = page(outcome(laws, [TRIAL]), content)
    asked = laws.law("grid").predict_point("collapse", 6.4e5, 3e6).share.value
    assert f"| simulated | 640k | 3M | {asked:.2f}" in text and content["written"][:10] in text
    with pytest.raises(InputError, match="has been run"):
        write_bets(laws, path, [Bet("simulated", "grid", *TARGET)])
    assert read_json(path) == content
