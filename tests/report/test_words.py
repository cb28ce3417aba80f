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


def test_a_plan_is_told_in_short_sentences() -> None:
    plan = predict(known_law(retention=(0.5, 0.1, 0, 0), cost=known_cost(4.0)), 8e4, 1.5e6)
    text = plan_text(plan)
    lines = text.split("\n")
    assert (
        lines[0] == "Plan for 80k parameters, 1.5M tokens and 100 facts (status: outside support; intervals are 90 %)."
    )
    assert lines[1] == (
        f"Advised dose: a share of {bracket(plan.dose.share, share)}, {bracket(plan.dose.exposures, count)} exposures "
        f"of each fact, {bracket(plan.dose.tokens, number)} infused tokens."
    )
    assert lines[2].startswith("What binds is validation loss. Largest share allowed: ")
    assert f"Expected there: recall {bracket(plan.recall, '{:.2f}'.format)}; validation loss up by 0.05 [" in lines[3]
    assert "of the 100 facts should be known; with as much infused text, beyond " in lines[4]
    assert f"Recall is expected to collapse at a share of {bracket(plan.collapse.share, share)}" in text
    assert "Prior facts are expected to be lost from a share of" in text
    quarter = plan.forecast[1]
    assert quarter.share is not None
    assert (
        f"At a quarter (a share of {share(quarter.share)}): recall {bracket(quarter.recall, '{:.2f}'.format)}." in text
    )
    assert "At no dose: recall" in text and "At the advised dose" not in text and "retention -" not in text
    rests = "It rests on sizes of 10k to 40k and token counts of 750k to 3M: "
    rests += "the target's size is 2 times the largest tried."
    assert lines[-1] == rests
    assert len(lines) <= 12 and max(len(line) for line in lines) < 160


def test_a_plan_that_nothing_binds_or_that_is_not_checked_says_so() -> None:
    text = plan_text(predict(known_law(), 2e4, 1.5e6))
    assert "No constraint binds: more would not raise recall." in text
    assert f"Not checked, collapse of retention: {NEVER}." in text
    assert "Not checked, validation loss: the table has no validation loss at dose 0" in text
    assert "the target lies within them" in text


def test_a_plan_without_a_law_or_a_dose_that_works_says_why_and_what_would() -> None:
    none = plan_text(predict(known_law(None, None), 2e4, 1.5e6))
    assert "No dose can be advised: neither collapse of recall nor acquisition has a law" in none
    assert NEVER in none and "Advised" not in none
    text = plan_text(predict(known_law((0.3, 0.05, 0.0, -1.0), (0.1, 0.05, 0, 0)), 2e4, 1.5e6))
    assert "No dose works: the largest dose that collapse of recall allows lies below acquisition." in text
    assert "What would make one work: at most 76 facts; or statements of at most 11.4 tokens; or 2.88M tokens." in text
    assert "What would not, up to 1,000 times as much: a larger model." in text
    assert len(text.split("\n")) <= 12
    dear = plan_text(predict(known_law(cost=known_cost(20.0)), 2e4, 1.5e6, tolerance=0.02))
    assert "or a tolerance of 0.193 bits per byte" in dear


def test_a_plan_far_out_stays_short() -> None:
    plan = predict(known_law((-1, 0.1, -0.5, -1), (1, 0.5, 1, 1), cost=known_cost(1.0)), 7e9, 1e12, extrapolate=True)
    told = alternative_lines(plan)
    lines = [line for line in plan_text(plan).split("\n") if line not in told]
    assert len(lines) <= 12 and max(len(line) for line in lines) < 180
    assert (
        "size is 175,000 times the largest tried and its token count is 333,000 times the largest tried." in lines[-1]
    )


def test_both_answers_are_told_far_beyond_the_fitted_tokens() -> None:
    law = known_law((-2, 0.05, 0, -1))
    plan = predict(law, 2e4, 3e8, extrapolate=True)
    ours, hubble, bordt = plan.acquisition, *(alternative.point for alternative in plan.alternatives)
    lines = alternative_lines(plan)
    dose = plan.alternatives[0].dose
    assert lines == [
        f"By this study's law the facts are learned from {bracket(ours.exposures, count)} exposures.",
        f"Hubble's rule (exposures grow as tokens^0.93) gives {bracket(hubble.exposures, count)} exposures: at the "
        "advised dose the facts would not be learned.",
        "The two differ by 1.9 orders of magnitude, and no study has measured both regimes: treat the dose as "
        "uncertain to that degree.",
        f"The advised dose stays the law's; by that rule it would be a share of {bracket(dose.share, share)} "
        f"({bracket(dose.exposures, count)} exposures).",
        f"Bordt's rule (exposures grow as tokens^0.44) gives {bracket(bordt.exposures, count)} exposures.",
    ]
    assert all(line in plan_text(plan).split("\n") for line in lines)
    assert " ".join(lines) in verdict(law, NO_COMPARISON, plan)
    near = predict(law, 2e4, 1.2e7)
    assert alternative_lines(near) == [] and "rule" not in plan_text(near)
    assert all(verdict(law, NO_COMPARISON, near))


@pytest.mark.parametrize(
    ("acquisition", "said"),
    [
        ((-2, 2.0, 0, -1), "The law's interval holds both; more token counts would tell them apart."),
        ((-2, 0.1, 0, -0.07), "The two hardly differ."),
    ],
)
def test_where_the_laws_interval_holds_both_answers_they_are_told_and_it_says_so(acquisition, said) -> None:
    law = known_law(acquisition)
    plan = predict(law, 2e4, 3e8, extrapolate=True, rules=[HUBBLE])
    lines = alternative_lines(plan)
    assert len(lines) == 4 and lines[0].startswith("By this study's law") and lines[1].startswith("Hubble's rule")
    assert lines[2] == said and "uncertain" not in " ".join(lines)
    assert all(line in plan_text(plan).split("\n") for line in lines)
    assert " ".join(lines) in verdict(law, NO_COMPARISON, plan)


def test_a_rule_of_another_point_is_told_beside_the_laws_answer_there() -> None:
    law = known_law((-2, 0.05, 0, -1), tolerance=(-0.4, 0.03, 0, 0), cost=known_cost(4.0))
    plan = predict(law, 4e6, 3e8, extrapolate=True)
    lines = alternative_lines(plan)
    tolerance = plan.alternatives[-1].point
    assert lines[-2:] == [
        "By this study's law validation loss has risen by the tolerance at a share of "
        f"{bracket(plan.tolerance.share, share)}.",
        f"The CMR rule (the odds of the share grow as size^0.413) gives a share of {bracket(tolerance.share, share)}.",
    ]


def test_where_exposures_are_unknown_both_answers_are_shares() -> None:
    plan = predict(known_law((-2, 0.05, 0, -1), facts=None), 2e4, 3e8, extrapolate=True, rules=[HUBBLE])
    point = plan.alternatives[0].point
    assert f"gives a share of {bracket(point.share, share)}: at" in alternative_lines(plan)[1]


def test_a_rule_measured_where_the_law_was_fitted_is_no_other_regime() -> None:
    here = replace(HUBBLE, trained=(1e6, 1e7))
    lines = alternative_lines(predict(known_law((-2, 0.05, 0, -1)), 2e4, 3e8, extrapolate=True, rules=[here]))
    assert lines[2] == "The two differ by 1.9 orders of magnitude: treat the dose as uncertain to that degree."


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


def test_the_verdict_calls_hits_misses_and_neither() -> None:
    assert "A hit, 0.10 dex below the prediction." in compared("found", 0.88, 0.85, -0.1, True)
    miss = compared("found", 0.99, 0.97, 1.04, False)
    assert "A miss, 1.04 dex above the prediction and outside its interval." in miss
    rough = (
        "A miss, 0.37 dex above the prediction and outside its interval, though the error of what was observed could"
    )
    assert rough in compared("found", 0.955, 0.88, 0.37, False)
    assert "written 2025-01-02 03:04:05 UTC, before any of its runs was trained" in miss
    bound = compared("not reached", None, 0.98, None, False)
    assert "not reached: a share above 0.98" in bound and "A miss: the bound excludes it." in bound
    assert "Neither hit nor miss" in compared("ambiguous", None, None, None, None)


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
    write_json(tmp_path / "study.json", {"data": "abc", "file": file.model_dump(mode="json")})
    return Study(file, tmp_path, "abc")


def finish(study: Study, number: int, status: str = "ok") -> None:
    spec = study.fitted[number]
    record = RunRecord(size=spec.size, tokens=spec.tokens, share=spec.dose, status=status, run=spec.id)
    write_json(study.folder / "runs" / spec.id / "record.json", asdict(record))


def test_status_counts_runs_and_says_how_far_they_are(study: Study) -> None:
    finish(study, 0)
    finish(study, 1, "diverged")
    begun, fresh = (study.folder / "runs" / study.fitted[number].id for number in (2, 3))
    write_json(begun / "checkpoint.json", {"step": 500, "file": "checkpoint-500.safetensors"})
    lines = [f'{{"step": {step}, "tokens": {step * 1024}}}' for step in (25, 500, 525)]
    (begun / "metrics.jsonl").write_text("\n".join(lines))
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
    write_json(study.folder / "predictions" / "abc.json", {"written": "2025-01-02T03:04:05+00:00"})
    text = status_text(study.folder)
    assert "prediction: written 2025-01-02 03:04:05 UTC\nlaw: there\ntable: not yet\nreport: not yet" in text


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no study.json here; name the folder of a study"):
        status_text(tmp_path)
    write_json(tmp_path / "study.json", {"data": "x"})
    with pytest.raises(InputError, match=r"not a study's settings; run the study file again"):
        status_text(tmp_path)


def test_a_dose_that_is_only_known_to_be_clear_has_no_interval() -> None:
    plan = predict(known_law(collapse=None, largest=0.15), 2e4, 1.5e6, tolerance=None)
    assert "Advised dose: a share of 0.15, " in plan_text(plan) and "open" not in plan_text(plan).split("\n")[1]
