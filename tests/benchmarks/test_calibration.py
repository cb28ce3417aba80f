import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmarks.calibration
from benchmarks.calibration import DEFAULT, Task, calibrate, main, run
from benchmarks.claims import Claim, tally
from benchmarks.studies import DESIGNS, draw
from infusionlaw.errors import InputError
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.law import Prediction
from infusionlaw.law.points.point import KINDS, Kind, Point, Status
from infusionlaw.law.simulate import true_points
from infusionlaw.records import RunRecord

DETECTORS = ("hinge", "smooth", "both")


def claim(status: str, x: Interval, truth: float | None = 0.5, within: bool = True) -> Claim:
    return Claim("collapse", status, x, truth, within, "both")


def test_claims_are_held_missed_or_silent() -> None:
    claims = [
        claim("found", Interval(0.4, 0.2, 0.6)),  # holds it
        claim("found", Interval(0.1, 0.0, 0.3)),  # misses it
        claim("ambiguous", Interval(0.4, None, 0.6)),  # an open end reaches as far as it likes
        claim("not reached", Interval(None, 0.4, None), within=False),
        claim("before the grid", Interval(None, None, 0.4)),  # misses it
        claim("ambiguous", Interval()),  # says nothing
        claim("no effect", Interval(None, 0.4, None)),  # nor does this
    ]
    assert [c.held for c in claims] == [True, False, True, True, False, False, False]
    count = tally(claims)
    assert (count.claims, count.judged) == (7, 5)
    assert count.coverage == pytest.approx((0.6, math.sqrt(0.6 * 0.4 / 5)))
    assert count.within == pytest.approx((0.5, math.sqrt(0.5 * 0.5 / 4)))
    assert count.error == pytest.approx(0.1)  # of 0.1, 0.4, 0.1
    assert count.width == math.inf  # three of five are open
    assert dict(count.statuses) == {"found": 2, "ambiguous": 2, "not reached": 1, "before the grid": 1, "no effect": 1}


def test_what_never_happens_is_held_by_an_interval_open_upwards_only() -> None:
    claims = [
        claim("not reached", Interval(None, 1.5, None), None),
        claim("found", Interval(0.5, 0.2, None), None),
        claim("found", Interval(0.5, 0.2, 0.8), None),
        claim("not fitted", Interval(), None),
    ]
    count = tally(claims)
    assert (count.judged, count.error) == (3, None)
    assert count.coverage is not None and count.coverage[0] == pytest.approx(2 / 3)
    assert (count.false_places, count.never) == (2, 4)


def test_nothing_claimed_is_no_coverage() -> None:
    count = tally([])
    assert (count.coverage, count.within, count.error, count.width) == (None, None, None, None)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.letter)
def test_drawn_worlds_are_what_their_kind_says(design: Any) -> None:
    for number in range(20):
        study = draw(design, np.random.default_rng(number))
        world = study.world
        assert (len(study.sizes), len(study.budgets), study.shares[0]) == (design.sizes, design.budgets, 0)
        assert 64 <= world.facts <= 256 and world.shape == design.shape
        assert (world.floor is not None) == design.floor
        if world.collapse is None:
            assert design.letter == "l"
            continue
        assert design.exponents[0] <= world.collapse.size <= design.exponents[1]
        middle = world.collapse.at
        beyond = 0
        for size in study.sizes:
            for budget in study.budgets:
                x = true_points(world, size, budget)
                assert x["collapse"] is not None and x["acquisition"] is not None
                assert x["collapse"] - x["acquisition"] - world.rise >= 0.2
                beyond += not log_odds(study.shares[1]) < x["collapse"] < log_odds(study.shares[-1])
        assert log_odds(0.4) <= middle <= log_odds(0.95) or 0 < beyond < len(study.sizes)


def finder(rows: Sequence[RunRecord], *, tolerance: float = 0.05, detector: str = "both") -> list[Point]:
    """Points that depend on nothing but the size: a stand-in for the detectors, which take seconds."""
    assert detector in DETECTORS
    return [
        point(kind, size, tokens) for kind in KINDS for size, tokens in sorted({(row.size, row.tokens) for row in rows})
    ]


def point(kind: Kind, size: float, tokens: float) -> Point:
    found: Status = "found"
    x = Interval(0.3 * math.log10(size / 3e4), 0.3 * math.log10(size / 3e4) - 0.1, 0.3 * math.log10(size / 3e4) + 0.1)
    return Point(kind, size, tokens, found, "share", x, Interval(), Interval(), "")


class FixedLaw:
    """A law that says the same of every place, and of a budget that was not the only one that it does not know it."""

    def __init__(self, rows: Sequence[RunRecord], points: Sequence[Point]) -> None:
        self.budgets = {row.tokens for row in rows}

    def predict_point(self, kind: Kind, size: float, tokens: float) -> Prediction:
        flags = ("one size is far",) + ("unknown budget",) * (len(self.budgets) == 1 and tokens not in self.budgets)
        return Prediction(kind, size, tokens, Interval(0.4, 0.1, 0.8), Interval(), Interval(), flags)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.calibration, "find_points", finder)
    monkeypatch.setattr(benchmarks.calibration, "fit_law", FixedLaw)


def rows_of(text: str, title: str) -> list[list[str]]:
    """The body of the table under a heading, as cells."""
    table = text.split(f"### {title}")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[3:]]


@pytest.mark.usefixtures("quick")
def test_two_studies_of_each_kind_fill_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "calibration.md"
    main(["--studies", "2", "--seed", "5", "--out", str(out)])
    printed, page = capsys.readouterr().out, out.read_text(encoding="utf8")
    assert printed.strip() in page
    names = ["a to k", *(f"{design.letter}: {design.words}" for design in DESIGNS)]
    points = rows_of(printed, "1 ")
    assert [row[:2] for row in points] == [[name, kind] for kind in KINDS for name in names]
    claims = {row[0][0]: int(row[2]) for row in points if row[1] == "collapse" and row[0] != "a to k"}
    assert claims == {design.letter: 2 * design.sizes * design.budgets for design in DESIGNS}
    assert all(re.fullmatch(r"\d\.\d{3} ± \d\.\d{3}", row[3]) for row in points)
    targets = rows_of(printed, "2 ")
    assert [row[:2] for row in targets] == [[name, at] for at in ("8 N", "4 D", "8 N and 4 D") for name in names]
    assert {row[2] for row in targets if row[0] != "a to k"} == {"2"}
    flagged = {(row[0][0], row[1]): row[8] for row in targets}
    assert (flagged["b", "8 N"], flagged["b", "4 D"], flagged["h", "4 D"]) == ("0", "2", "0")
    detectors = rows_of(printed, "3 ")
    assert {(row[0], row[2]) for row in detectors} == {(name, detector) for name in names for detector in DETECTORS}
    assert next(row[-1] for row in detectors if row[0][0] == "l" and row[1] != "acquisition") == "12 of 12"
    assert "python -m benchmarks.calibration --studies 2 --seed 5" in page and "24 simulated studies" in page
    assert max(map(len, page.split("## The tables")[0].splitlines())) <= 140


@pytest.mark.usefixtures("quick")
def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = tmp_path / "results.jsonl"
    whole = calibrate(1, 3, keep=keep)
    assert whole == calibrate(1, 3) != calibrate(1, 4)
    lines = keep.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + len(DESIGNS)
    keep.write_text("".join(lines[:4]) + lines[4][:50])
    seen: list[Task] = []
    monkeypatch.setattr(benchmarks.calibration, "run", lambda task: seen.append(task) or run(task))  # type: ignore[func-returns-value]
    assert calibrate(1, 3, keep=keep) == whole
    assert len(seen) == len(DESIGNS) - 3
    assert all(json.loads(line) for line in keep.read_text().splitlines())
    with pytest.raises(InputError, match=r"results\.jsonl"):
        calibrate(1, 4, keep=keep)


def test_a_real_study_is_judged_against_its_own_truth() -> None:
    outcome = run(Task(kind=0, number=0, seed=1))
    points = [c for c in outcome.claims if c.what in KINDS]
    assert len(points) == len(DETECTORS) * len(KINDS) * 3
    assert {c.detector for c in points} == set(DETECTORS)
    truths = {detector: [c.truth for c in points if c.detector == detector] for detector in DETECTORS}
    assert truths["hinge"] == truths["smooth"] == truths["both"]
    assert [c.what for c in outcome.claims if c.what not in KINDS] == ["8 N", "4 D", "8 N and 4 D"]
    assert all(c.detector == DEFAULT for c in outcome.claims[len(points) :])
    found = [c for c in points if c.what == "tolerance" and c.x.value is not None]
    assert found and all(abs((c.x.value or 0) - (c.truth or 0)) < 0.3 for c in found)
