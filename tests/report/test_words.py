"""Words: numbers for people, points, plans, the verdict, and the state of a study."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from planlaws import NEVER, known_cost, known_law

from infusionlaw.errors import InputError
from infusionlaw.files import write_json
from infusionlaw.law.dose import Interval, Scale, log_odds
from infusionlaw.law.numbers import bracket, count, number, share
from infusionlaw.law.planning.compare import ComparedPoint, Comparison
from infusionlaw.law.planning.plan import predict
from infusionlaw.law.planning.predictions import WrittenPlan, WrittenPredictions, write_predictions
from infusionlaw.law.planning.rules import HUBBLE
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law
from infusionlaw.report.status import status_text
from infusionlaw.report.verdict import contrast, verdict
from infusionlaw.report.words import alternative_lines, plan_text, points_text
from infusionlaw.runs.record import RunRecord
from infusionlaw.settings import StudyFile
from infusionlaw.study.study import Study, locked

SIZES = (14_000, 28_000, 55_000)
NO_COMPARISON = Comparison(written="2025-01-02T03:04:05+00:00", table_sha256="", already_known=0)


def point(kind: Kind, size: float, value: float | None, note: str = "") -> Point:
    """A point found within 0.05 dex at a share, or one not reached up to 0.98."""
    x = Interval(low=float(log_odds(0.98)))
    if value is not None:
        at = float(log_odds(value))
        x = Interval(at, at - 0.05, at + 0.05)
    scale = Scale("share", 1000.0)
    status = "not reached" if value is None else "found"
    return Point(kind, size, 1.5e6, status, "share", x, scale.share(x), scale.exposures(x), note)


def law_of(*collapses: float | None, acquisition: float = 0.1) -> Law:
    rows = [
        RunRecord(size=size, tokens=1.5e6, share=dose, recall=0.5, facts=100, tokens_per_fact=15)
        for size in SIZES
        for dose in (0.1, 0.98)
    ]
    points = [point("collapse", size, at, "no fall") for size, at in zip(SIZES, collapses, strict=True)]
    return fit_law(rows, points + [point("acquisition", size, acquisition) for size in SIZES])


@pytest.mark.parametrize(
    ("value", "text"),
    [(55_000, "55k"), (1_500_000, "1.5M"), (7e9, "7B"), (340, "340"), (999_600, "1M"), (2.5, "2.5")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.874, "0.87"),
        (0.9, "0.90"),
        (0.975, "0.975"),
        (0.97, "0.97"),
        (0.9964, "0.9964"),
        (0.0034, "0.0034"),
        (2e-8, "2e-08"),
        (1 - 2e-8, "1 - 2e-08"),
    ],
)
def test_shares_get_more_digits_near_their_ends(value: float, text: str) -> None:
    assert share(value) == text


def test_exposures_are_written_out() -> None:
    assert [count(value) for value in (0, 4.23, 340.4, 2168)] == ["0", "4.23", "340", "2,170"]


def test_brackets_say_what_the_data_do_not_set() -> None:
    assert bracket(Interval(0.8, 0.7, 0.9), share) == "0.80 [0.70, 0.90]"
    assert bracket(Interval(0.8, None, 0.9), share) == "0.80 [open, 0.90]"
    assert bracket(Interval(low=0.98), share) == "above 0.98"
    assert bracket(Interval(high=0.1), share) == "below 0.10"
    assert bracket(Interval(), share) == "-"


def test_points_make_an_aligned_table() -> None:
    lines = points_text([point("acquisition", 14_000, 0.5), point("collapse", 110_000, None)]).split("\n")
    assert lines[0].split() == ["kind", "size", "tokens", "status", "share", "exposures"]
    assert " ".join(lines[1].split()) == "acquisition 14k 1.5M found 0.50 [0.47, 0.53] 500 [471, 529]"
    assert " ".join(lines[2].split()) == "collapse 110k 1.5M not reached above 0.98 above 980"
    assert lines[2].index("not reached") == lines[1].index("found") == lines[0].index("status")
    assert points_text([]) == "no points"


def test_a_plan_tells_its_numbers_in_a_few_short_lines() -> None:
    plan = predict(known_law(retention=(0.5, 0.1, 0, 0), cost=known_cost(4.0)), 8e4, 1.5e6)
    text = plan_text(plan)
    lines = text.split("\n")
    assert "80k parameters" in lines[0] and "100 facts" in lines[0] and plan.status in lines[0]
    shown = (bracket(plan.dose.share, share), bracket(plan.dose.exposures, count), bracket(plan.dose.tokens, number))
    assert all(dose in lines[1] for dose in shown)
    assert "validation loss" in lines[2] and all(share(c.share) in lines[2] for c in plan.constraints if c.share)
    assert f"recall {bracket(plan.recall, '{:.2f}'.format)}" in lines[3]
    assert bracket(plan.rise, "{:.2g}".format) in lines[3]
    assert all(f"{part.value:,.0f}" in lines[4] for part in (plan.known, plan.room) if part.value is not None)
    for kind in ("acquisition", "collapse", "retention"):
        assert bracket(plan.points[kind].share, share) in text
    none, quarter, advised, _ = plan.forecast
    assert quarter.share is not None and advised.share is not None
    recall = quarter.scores["recall"]
    assert any(share(quarter.share) in line and bracket(recall, "{:.2f}".format) in line for line in lines)
    assert any(bracket(none.scores["recall"], "{:.2f}".format) in line for line in lines if "no dose" in line)
    assert "None" not in text and "nan" not in text
    assert plan.support.flag in lines[-1] and "10k to 40k" in lines[-1] and "750k to 3M" in lines[-1]
    assert len(lines) <= 19 and max(len(line) for line in lines) < 200


def test_a_plan_that_nothing_binds_or_that_is_not_checked_says_so() -> None:
    plan = predict(known_law(), 2e4, 1.5e6)
    text = plan_text(plan)
    assert "No limit" in text and "Limit:" not in text
    for constraint in plan.constraints:
        assert not constraint.reason or any(
            constraint.name in line and constraint.reason in line for line in text.split("\n")
        )
    assert "times the largest" not in text


def test_a_plan_without_a_law_or_a_dose_that_works_says_why_and_what_would() -> None:
    nothing = predict(known_law(None, None), 2e4, 1.5e6)
    none = plan_text(nothing)
    assert nothing.dose.reason in none and NEVER in none and "Advised" not in none
    plan = predict(known_law((0.3, 0.05, 0.0, -1.0), (0.1, 0.05, 0, 0)), 2e4, 1.5e6)
    text = plan_text(plan)
    assert plan.dose.reason in text and "Advised" not in text
    (would,) = (line for line in text.split("\n") if "76 facts" in line)
    assert "11.4 tokens" in would and "2.88M tokens" in would
    (never,) = (line for line in text.split("\n") if "larger model" in line)
    assert never != would and "1,000 times" in never
    assert len(text.split("\n")) <= 18
    dear = plan_text(predict(known_law(cost=known_cost(20.0)), 2e4, 1.5e6, tolerance=0.02))
    assert "0.193 bits per byte" in dear


def test_a_plan_far_out_stays_short() -> None:
    plan = predict(known_law((-1, 0.1, -0.5, -1), (1, 0.5, 1, 1), cost=known_cost(1.0)), 7e9, 1e12, extrapolate=True)
    told = alternative_lines(plan)
    lines = [line for line in plan_text(plan).split("\n") if line not in told]
    assert len(lines) <= 19 and max(len(line) for line in lines) < 180
    rests = next(line for line in lines if line.startswith("It rests on"))
    assert "175,000 times" in rests and "333,000 times" in rests


def test_both_answers_are_told_far_beyond_the_fitted_tokens() -> None:
    law = known_law((-2, 0.05, 0, -1))
    plan = predict(law, 2e4, 3e8, extrapolate=True)
    ours, hubble, bordt = plan.points["acquisition"], *(alternative.point for alternative in plan.alternatives)
    lines = alternative_lines(plan)
    dose = plan.alternatives[0].dose
    assert bracket(ours.exposures, count) in lines[0]
    assert "Hubble's rule" in lines[1] and "tokens^0.93" in lines[1] and bracket(hubble.exposures, count) in lines[1]
    assert plan.alternatives[0].meaning == "recall would stay at guessing" and plan.alternatives[0].meaning in lines[1]
    assert "1.9 orders of magnitude" in lines[2]
    assert bracket(dose.share, share) in lines[3] and bracket(dose.exposures, count) in lines[3]
    assert "Bordt's rule" in lines[4] and "tokens^0.44" in lines[4] and bracket(bordt.exposures, count) in lines[4]
    assert len(lines) == 5
    assert all(line in plan_text(plan).split("\n") for line in lines)
    assert " ".join(lines) in verdict(law, NO_COMPARISON, plan)
    near = predict(law, 2e4, 1.2e7)
    assert alternative_lines(near) == [] and "rule" not in plan_text(near)
    assert all(verdict(law, NO_COMPARISON, near))


@pytest.mark.parametrize(("acquisition", "apart"), [((-2, 2.0, 0, -1), True), ((-2, 0.1, 0, -0.07), False)])
def test_where_the_laws_interval_holds_both_answers_they_are_told_and_no_doubt_is_cast(acquisition, apart) -> None:
    law = known_law(acquisition)
    plan = predict(law, 2e4, 3e8, extrapolate=True, rules=[HUBBLE])
    lines = alternative_lines(plan)
    assert len(lines) == 4 and "Hubble's rule" in lines[1] and "uncertain" not in " ".join(lines)
    assert ("hardly differ" in lines[2]) != apart
    assert all(line in plan_text(plan).split("\n") for line in lines)
    assert " ".join(lines) in verdict(law, NO_COMPARISON, plan)


def test_a_rule_of_another_point_is_told_beside_the_laws_answer_there() -> None:
    law = known_law((-2, 0.05, 0, -1), tolerance=(-0.4, 0.03, 0, 0), cost=known_cost(4.0))
    plan = predict(law, 4e6, 3e8, extrapolate=True)
    lines = alternative_lines(plan)
    tolerance = plan.alternatives[-1].point
    assert "validation loss" in lines[-2] and bracket(plan.points["tolerance"].share, share) in lines[-2]
    assert "CMR rule" in lines[-1] and "size^0.413" in lines[-1] and bracket(tolerance.share, share) in lines[-1]


def test_where_exposures_are_unknown_both_answers_are_shares() -> None:
    plan = predict(known_law((-2, 0.05, 0, -1), facts=None), 2e4, 3e8, extrapolate=True, rules=[HUBBLE])
    point = plan.alternatives[0].point
    assert f"gives a share of {bracket(point.share, share)}: at" in alternative_lines(plan)[1]


def test_a_rule_measured_where_the_law_was_fitted_is_no_other_regime() -> None:
    there, here = (
        alternative_lines(predict(known_law((-2, 0.05, 0, -1)), 2e4, 3e8, extrapolate=True, rules=[rule]))[2]
        for rule in (HUBBLE, replace(HUBBLE, trained=(1e6, 1e7)))
    )
    assert "regime" in there and "regime" not in here
    assert "1.9 orders of magnitude" in there and "1.9 orders of magnitude" in here


@pytest.mark.parametrize(
    ("collapses", "words"),
    [
        ((0.5, 0.8, 0.94), "Larger models collapse at larger doses"),
        ((0.94, 0.8, 0.5), "Larger models collapse at smaller doses"),
        ((0.8, 0.8, 0.8), "not settled by these runs"),
        ((None, None, None), "No law of the collapse point was fitted"),
    ],
)
def test_the_verdict_names_the_direction_or_says_that_it_is_open(
    collapses: tuple[float | None, ...], words: str
) -> None:
    law = law_of(*collapses)
    text = " ".join(verdict(law, NO_COMPARISON, predict(law, 110_000, 1.5e6)))
    assert words in text
    everywhere = "for 14k parameters, 28k parameters and 55k parameters (not reached: no fall)"
    assert (everywhere in text) == (collapses[0] is None)
    assert "No held-out model was compared with a prediction." in text


def compared(status: str, value: float | None, low: float | None, error: float | None, inside: bool | None) -> str:
    expected, seen = Interval(0.9, 0.8, 0.95), Interval(value, low, None)
    row = ComparedPoint("collapse", 110_000, 1.5e6, "share", expected, seen, status, error, inside)
    law = law_of(0.7, 0.8, 0.87)
    return " ".join(verdict(law, replace(NO_COMPARISON, points=(row,)), predict(law, 110_000, 1.5e6)))


def test_the_verdict_says_whether_the_interval_held_what_came_out() -> None:
    close, off = compared("found", 0.88, 0.85, -0.1, True), compared("found", 0.99, 0.97, 1.04, False)
    assert "Inside the 90 % interval" in close and "0.10 dex lower" in close
    assert "Outside the 90 % interval" in off and "1.04 dex higher" in off and "could account" not in off
    rough = compared("found", 0.955, 0.88, 0.37, False)
    assert "Outside the 90 % interval" in rough and "0.37 dex higher" in rough and "could account" in rough
    assert "2025-01-02 03:04:05 UTC" in off
    bound = compared("not reached", None, 0.98, None, False)
    assert "not reached: a share above 0.98" in bound and "excludes" in bound
    assert "excludes" not in compared("not reached", None, 0.92, None, True)
    neither = compared("ambiguous", None, None, None, None)
    assert "side the 90 % interval" not in neither and "excludes" not in neither


def test_the_contrast_is_taken_at_the_largest_dose_of_the_fitted_runs() -> None:
    def run(dose: float, recall: float, held: bool = False) -> RunRecord:
        return RunRecord(
            size=1e4, tokens=1e6, share=dose, recall=recall, verbatim_recall=1.0, unseen_recall=0.2, held_out=held
        )

    text = contrast([run(0.5, 0.9), run(0.95, 0.3), run(0.95, 0.4), run(0.99, 0.8, held=True)])
    assert text.endswith("the mean verbatim recall is 1.00 and the mean recall 0.35; guessing gives 0.20.")
    assert contrast([RunRecord(size=1e4, tokens=1e6, share=0.5, recall=0.5)]) == ""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study of two sizes, two doses and two seeds, and one held-out size, with no run done."""
    file = StudyFile.model_validate(
        {
            "name": "small",
            "design": {"sizes": [14_000, 28_000], "tokens": [1_500_000], "shares": [0.9]},
            "held_out": {"sizes": [55_000], "seeds": [1]},
        }
    )
    write_json(tmp_path / "study.json", {"data": "abc", "base": "", "file": file.model_dump(mode="json")})
    return Study(file, tmp_path, "abc")


def finish(study: Study, number: int, status: str = "ok") -> None:
    spec = study.fitted[number]
    record = RunRecord(size=spec.size, tokens=spec.tokens, share=spec.dose, status=status, run=spec.id)
    write_json(study.folder / "runs" / spec.id / "record.json", asdict(record))


def test_status_counts_runs_and_says_how_far_they_are(study: Study) -> None:
    finish(study, 0)
    finish(study, 1, "diverged")
    begun, fresh = (study.folder / "runs" / study.fitted[number].id for number in (2, 3))
    write_json(begun / "checkpoint.json", {"run": begun.name, "step": 500, "sha256": "0"})
    lines = [f'{{"step": {step}, "tokens": {step * 1024}}}' for step in (25, 500, 525)]
    (begun / "metrics.jsonl").write_text("\n".join([*lines, "garbled"]))
    write_json(fresh / "spec.json", {})
    text = status_text(study.folder)
    assert "fitted: 8 runs, 1 done, 2 begun, 4 missing, 1 diverged" in text
    assert "14k   1.5M    +x       ~~" in text and "28k   1.5M    ..       .." in text
    assert "held out: 2 runs, 2 missing" in text
    assert "seed 1: begun, 500 steps done (34%)" in text
    assert "seed 2: begun, no checkpoint yet" in text
    assert "seed 2: diverged" in text
    assert "prediction: not yet\nlaw: not yet" in text


def test_status_says_whether_the_study_is_running(study: Study) -> None:
    running = "A process is running this study now."
    assert running not in status_text(study.folder)
    with locked(study.folder):
        assert running in status_text(study.folder)
    assert running not in status_text(study.folder)


def test_status_shows_what_results_are_there(study: Study) -> None:
    write_json(study.folder / "law.json", {})
    plan = WrittenPlan((2e4, 1.5e6), "2025-01-02T03:04:05+00:00", 0, predict(known_law(), 2e4, 1.5e6))
    write_predictions(study.folder / "predictions" / "abc.json", WrittenPredictions("fitted.csv", "abc", (plan,)))
    text = status_text(study.folder)
    assert "prediction: written 2025-01-02 03:04:05 UTC\nlaw: there\ntable: not yet\nreport: not yet" in text


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no study.json here, .*; name the folder of a study"):
        status_text(tmp_path)
    write_json(tmp_path / "study.json", {"data": "x", "base": ""})
    with pytest.raises(InputError, match=r"not a study's settings: .file.: Field required; run the study file again"):
        status_text(tmp_path)


def test_a_dose_that_is_only_known_to_be_clear_has_no_interval() -> None:
    plan = predict(known_law(collapse=None, largest=0.15), 2e4, 1.5e6, tolerance=None)
    assert "Advised dose: a share of 0.15, " in plan_text(plan) and "open" not in plan_text(plan).split("\n")[1]
