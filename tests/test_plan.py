import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.law.collapse import find_points
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.fit import Law, fit_law
from infusionlaw.law.points import Kind, Point
from infusionlaw.law.simulate import World, simulate
from infusionlaw.plan import plan_json, predict, write_plan
from infusionlaw.records import RunRecord

SIZES = (1e4, 2e4, 4e4)


def make_law(collapse: float | None = 0.5, acquisition: float = -0.5, **row: Any) -> Law:
    """A law of points at the same x for three sizes and budgets."""
    places = [(n, d) for n in SIZES for d in (1e6, 2e6)]

    def points(kind: Kind, x: float | None) -> list[Point]:
        interval = Interval(x, x - 0.05, x + 0.05) if x is not None else Interval(None, 1.5, None)
        status = "found" if x is not None else "not reached"
        return [Point(kind, n, d, status, "share", interval, Interval(), Interval(), "") for n, d in places]  # type: ignore

    values: dict[str, Any] = {"facts": 128.0, "tokens_per_fact": 16.0, "recall": 0.5, "share": 0.5, **row}
    rows = [RunRecord(size=n, tokens=d, **values) for n, d in places]
    return fit_law(rows, [*points("collapse", collapse), *points("acquisition", acquisition)])


def test_the_dose_is_the_five_percent_quantile_of_the_collapse() -> None:
    law = make_law()
    plan = predict(law, size=2e4, tokens=1.5e6)
    assert plan.status == "ok" and plan.notes == ()
    draws = law.draws_at("collapse", 2e4, 1.5e6)
    assert plan.dose.x.value is not None
    assert np.mean(draws < plan.dose.x.value) == pytest.approx(0.05, abs=0.002)
    c05, c50, c95 = plan.collapse.x.low, plan.collapse.x.value, plan.collapse.x.high
    assert c05 is not None and c50 is not None and c95 is not None
    assert (plan.dose.x.low, plan.dose.x.high) == pytest.approx((c05 - (c50 - c05), c05 + (c95 - c50)))


def test_exposures_and_tokens_follow_from_the_share_and_the_share_carries_over() -> None:
    law = make_law()
    same, twice = predict(law, 2e4, 1.5e6), predict(law, 2e4, 1.5e6, facts=256)
    assert same.dose.share == twice.dose.share
    share, exposures = same.dose.share.value, same.dose.exposures.value
    assert share is not None and exposures is not None
    assert exposures == pytest.approx(share * 1.5e6 / (128 * 16))
    assert twice.dose.exposures.value == pytest.approx(exposures / 2)
    assert same.dose.tokens.value == pytest.approx(share * 1.5e6)
    assert any("unit that carries over" in note for note in twice.notes)


def test_beyond_the_support_is_said_with_the_factor() -> None:
    plan = predict(make_law(), size=3.2e5, tokens=5e5)
    assert plan.status == "outside support"
    assert (plan.support.size_factor, plan.support.tokens_factor) == (8, 2)
    assert "size is 8 times the largest" in plan.support.flag and "budget tried is 2 times" in plan.support.flag


def test_no_safe_dose_when_collapse_may_come_before_acquisition() -> None:
    plan = predict(make_law(collapse=0.0, acquisition=0.1), 2e4, 1.5e6)
    assert plan.status == "no safe dose"
    assert "below the acquisition point" in plan.notes[0]


def test_no_law_gives_nulls_with_a_reason(tmp_path: Path) -> None:
    plan = predict(make_law(collapse=None), 2e4, 1.5e6)
    assert plan.status == "no law"
    write_plan(tmp_path / "plan.json", plan)
    content = json.loads((tmp_path / "plan.json").read_text())
    nothing = {"value": None, "low": None, "high": None}
    assert content["dose"]["share"] == content["collapse"]["exposures"] == content["tokens"] == nothing
    assert "at least two collapse points" in content["collapse"]["reason"]


def test_unknown_facts_leave_exposures_unknown() -> None:
    plan = predict(make_law(facts=None), 2e4, 1.5e6)
    assert plan.dose.share.value is not None and plan.dose.exposures == Interval()
    assert any("facts are not given" in note for note in plan.notes)
    assert predict(make_law(facts=None), 2e4, 1.5e6, facts=10).dose.exposures.value is not None


def test_the_json_of_a_real_study() -> None:
    shares = (0, 0.1, 0.3, 0.6, 0.85, 0.92, 0.97)
    rows, truth = simulate(World(), SIZES, [1.5e6], shares, 2, np.random.default_rng(7))
    content = plan_json(predict(fit_law(rows, find_points(rows)), 8e4, 3e6))
    assert {"version", "status", "target", "collapse", "acquisition", "dose", "tokens", "support"} <= set(content)
    assert {"retention", "tolerance"} <= set(content)
    assert content["target"] == {"size": 8e4, "tokens": 3e6, "facts": 128}
    assert content["level"] == 0.9 and content["support"]["distance"] == {"size": 2.0, "tokens": 2.0}
    assert any("only one budget" in note for note in content["notes"])
    for name in ("collapse", "acquisition", "dose"):
        assert content[name]["share"]["low"] < content[name]["share"]["value"] < content[name]["share"]["high"] < 1
    true = truth[("collapse", 4e4, 1.5e6)]
    assert true is not None and log_odds(content["dose"]["share"]["value"]) < true


@pytest.mark.parametrize("target", [{"size": 0}, {"tokens": float("inf")}, {"facts": -1}])
def test_a_target_that_is_not_positive_is_refused(target: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be a number above 0"):
        predict(make_law(), **{"size": 1e5, "tokens": 1e6, **target})
