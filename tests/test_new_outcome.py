"""A new outcome is one entry: an accuracy that falls with the dose gets its column, points, law, limit and report."""

from dataclasses import replace

import numpy as np
import pytest

import infusionlaw.runs.outcomes
from infusionlaw.errors import InputError
from infusionlaw.law.planning.plan import predict, read_plan, write_plan
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import read_points, write_points
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import read_law, write_law
from infusionlaw.report.words import law_text, plan_text, points_text
from infusionlaw.runs.outcomes import OUTCOMES, Outcome, PointKind, _from_packages, outcomes
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table, write_table

SIZES, TOKENS = (20_000, 40_000, 80_000, 160_000), 2_000_000
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95)
FALLS = 0.25  # share at which the accuracy of the smallest model begins to fall; odds grow as size^0.3
MEDQA = Outcome(
    "medqa",
    "MedQA accuracy",
    guessing=0.25,
    points=(PointKind("medqa_collapse", "lost", "collapse of MedQA", "answers to MedQA are lost beyond"),),
)


@pytest.fixture(autouse=True)
def medqa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OUTCOMES, "medqa", MEDQA)


@pytest.fixture(scope="module")
def rows() -> list[RunRecord]:
    """Runs that learn the facts at a share of some .05 and lose MedQA far below where recall collapses."""
    rng = np.random.default_rng(0)
    found = []
    for size in SIZES:
        knot = np.log10(FALLS / (1 - FALLS)) + 0.3 * np.log10(size / SIZES[0])
        for share in SHARES:
            for seed in (0, 1):
                x = np.log10(share / (1 - share)) if share else -9.0
                learned, lost = np.clip((x + 1.5) / 0.5, 0, 1), np.clip((x - knot) / 0.5, 0, 1)
                gone = np.clip((x - 1.0) / 0.3, 0, 1)
                noise = rng.normal(0, 0.01, 2)
                recall = 0.1 + 0.7 * learned * (1 - gone) + noise[0]
                record = RunRecord(size, TOKENS, share, seed=seed, recall=recall, recall_se=0.02, chance=0.1)
                medqa = ("medqa", float(0.6 - 0.3 * lost + noise[1])), ("medqa_se", 0.02)
                found.append(replace(record, more=medqa))
    return found


def test_its_column_is_read_checked_and_written(tmp_path, rows) -> None:
    write_table(tmp_path / "runs.csv", rows)
    assert read_table(tmp_path / "runs.csv") == rows
    text = (tmp_path / "runs.csv").read_text().splitlines()
    assert text[0].endswith(",medqa,medqa_se")
    (tmp_path / "bad.csv").write_text("\n".join([text[0], text[1].rpartition(",")[0].rpartition(",")[0] + ",1.6,0.02"]))
    with pytest.raises(Exception, match="medqa"):
        read_table(tmp_path / "bad.csv")


def test_it_has_points_a_law_a_limit_and_its_lines(tmp_path, rows) -> None:
    points = find_points(rows)
    mine = [point for point in points if point.kind == "medqa_collapse"]
    assert [point.status for point in mine] == ["found"] * len(SIZES)
    truth = [np.log10(FALLS / (1 - FALLS)) + 0.3 * np.log10(point.size / SIZES[0]) for point in mine]
    assert [point.x.value for point in mine] == pytest.approx(truth, abs=0.15)
    write_points(tmp_path / "points.json", points)
    assert read_points(tmp_path / "points.json") == points

    law = fit_law(rows, points)
    exponent = law.of("medqa_collapse").coefficients["size"]
    assert exponent.low is not None and exponent.high is not None and exponent.low < 0.3 < exponent.high
    write_law(tmp_path / "law.json", law)
    again = read_law(tmp_path / "law.json")

    plan = predict(again, 320_000, TOKENS)
    assert plan == predict(law, 320_000, TOKENS)
    limit = next(c for c in plan.constraints if c.name == "collapse of MedQA")
    others = [c.share for c in plan.constraints if c.name != "collapse of MedQA" and c.share is not None]
    assert limit.share is not None and limit.share < min(others)
    assert plan.dose.share.value is not None and plan.dose.share.value <= limit.share + 1e-6
    assert plan.points["medqa_collapse"].x.value is not None
    at_dose = next(f for f in plan.forecast if f.name == "the advised dose")
    assert at_dose.scores["medqa"].value == pytest.approx(0.6, abs=0.05)
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan

    assert "medqa_collapse" in points_text(points) and "law of medqa_collapse" in law_text(law)
    text = plan_text(plan)
    assert "MedQA accuracy" in text and "answers to MedQA are lost beyond" in text and "collapse of MedQA" in text


@pytest.mark.parametrize(
    ("name", "kind"), [("recall", "mine"), ("mine", "collapse")], ids=["the outcome", "one of its points"]
)
def test_an_outcome_of_a_package_that_takes_a_built_in_name_is_refused(monkeypatch, name, kind) -> None:
    class Entry:
        value = "package:OUTCOME"

        def load(self) -> Outcome:
            return Outcome(name, "mine", points=(PointKind(kind, "lost", "collapse of mine"),))

    monkeypatch.setattr(infusionlaw.runs.outcomes, "entry_points", lambda group: [Entry()])
    _from_packages.cache_clear()
    try:
        with pytest.raises(InputError, match=rf'the outcome "{name}" of package:OUTCOME has the name of another'):
            list(outcomes())
    finally:
        _from_packages.cache_clear()
