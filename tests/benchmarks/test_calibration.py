import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import benchmarks.calibration
import benchmarks.claims
from benchmarks.calibration import calibrate, command, head, kinds_of, main, merge, read_kept
from benchmarks.claims import BASELINES, METHODS, OURS, Outcome, PointClaim, TargetClaim, Task, study
from benchmarks.page import REGULAR, Source, page
from benchmarks.tallies import (
    NARROWER,
    NEARER,
    NOT_FALSE,
    POINTS_HOLD,
    PREDICTIONS_HOLD,
    UNBIASED,
    interval_score,
    tally,
)
from benchmarks.worlds import KINDS, SCORES, Kind, draw, simulate
from infusionlaw.errors import InputError
from infusionlaw.law.dose import Interval, x_at

SOURCE = Source(101, "abc", "python -m benchmarks.calibration --studies 1 --seed 101", "today", ("numpy 9",))
BUMP, HALF, NEVER, PAPER = (
    next(i for i, kind in enumerate(KINDS) if kind.name.startswith(name))
    for name in ("bump", "half", "no coll", "paper")
)


def around(value: float, half: float = 0.2) -> Interval:
    return Interval(value, value - half, value + half)


def point(x: Interval, truth: float | None = 0.5, within: bool = True) -> PointClaim:
    return PointClaim("recall", "found", x, truth, within)


def target(ours: Interval, trapezoid: Interval, drop: Interval, truth: float | None = 0.5) -> TargetClaim:
    return TargetClaim("recall", truth, {OURS: ours, "trapezoid": trapezoid, "drop": drop, "argmax": drop})


def outcome(
    points: Sequence[PointClaim] = (), targets: Sequence[TargetClaim] = (), kind: int = 0, number: int = 0
) -> Outcome:
    return Outcome(KINDS[kind].name, number, tuple(points), tuple(targets))


def test_points_are_held_missed_or_silent() -> None:
    first = outcome(
        [
            point(Interval(0.4, 0.2, 0.6)),  # holds it
            point(Interval(0.1, 0.0, 0.3)),  # misses it
            point(Interval(0.6, None, 0.9)),  # an open end reaches as far as it likes
            point(Interval(None, 0.4, None), within=False),  # holds it, and names no place
            point(Interval(None, None, 0.4)),  # misses it
        ]
    )
    second = outcome([point(Interval()), point(Interval(0.7, 0.6, 0.8))], number=1)
    count = tally([first, second])
    assert (count.studies, count.points.intervals, count.points.within) == (2, 6, 6)
    # 3 of 5 in one study and 0 of 1 in the other: off by 0.5 and by -0.5 of what half of them would be
    assert count.points.coverage == pytest.approx((0.5, math.sqrt(2 * (0.5**2 + 0.5**2)) / 6))
    assert count.points.found == pytest.approx(4 / 6)
    assert count.points.signed == pytest.approx(0.0)  # of -0.4, -0.1, 0.1, 0.2
    assert count.points.error == pytest.approx(0.15)
    assert count.points.late == pytest.approx(0.5)
    assert count.points.width == math.inf  # half of them are open
    assert (count.targets.asked, count.never.curves) == (0, 0)


def test_curves_that_never_collapse_are_counted_apart() -> None:
    points = [
        point(Interval(None, 1.5, None), None, False),
        point(around(0.5), None, False),
        point(Interval(), None, False),
    ]
    refused = target(Interval(), Interval(), Interval(), None)
    count = tally(
        [outcome(points, [refused, refused]), outcome([], [refused, target(around(1), Interval(), Interval(), None)])]
    )
    assert (count.never.curves, count.never.found, count.never.studies, count.never.predicted) == (3, 1, 2, 1)
    assert (count.points.intervals, count.points.coverage, count.targets.asked) == (0, None, 0)
    assert NOT_FALSE.met(count) is False
    assert [bar.met(count) for bar in (POINTS_HOLD, UNBIASED, PREDICTIONS_HOLD, NEARER, NARROWER)] == [None] * 5


def test_predictions_are_compared_where_every_method_gives_an_interval() -> None:
    claims = [
        target(around(0.6), around(0.3), around(0.9)),  # only the last misses
        target(around(0.4), around(1.0), around(0.5)),
        target(Interval(), around(0.5), around(0.5)),  # we refuse
        target(Interval(0.5, 0.1, None), around(0.5), around(0.5)),  # an open end is no interval
        target(around(0.5), Interval(), around(0.5)),  # a baseline refuses
    ]
    count = tally([outcome(targets=[claim], number=i) for i, claim in enumerate(claims)]).targets
    assert (count.asked, count.refused, count.alone, count.compared) == (5, 2, 1, 2)
    ours, trapezoid, drop, _ = (count.by[name] for name in METHODS)
    assert (ours.error, ours.signed, ours.width) == pytest.approx((0.1, 0.0, 0.4))
    assert (trapezoid.error, trapezoid.signed) == pytest.approx((0.35, 0.15))
    assert [method.coverage[0] for method in (ours, trapezoid, drop)] == [1.0, 0.5, 0.5]
    assert [method.score for method in (ours, trapezoid, drop)] == pytest.approx(
        [0.4, 0.4 + 20 * 0.3 / 2, 0.4 + 20 * 0.2 / 2]
    )
    for truth in (-1.5, 1.5):
        assert interval_score(Interval(0, -1, 1), truth) == pytest.approx(2 + 20 * 0.5)


def met_by_all(kind: int, late: float = 0.0, ours: float = 0.1) -> list[Outcome]:
    """Ten studies that meet every bar: nine of ten intervals hold. late: added to points; ours: our distance."""
    misses = [1 if i == 9 else 0 for i in range(10)]
    return [
        outcome(
            [point(around(0.5 + late + miss))],
            [target(around(0.5 + ours + miss), around(0.7 + miss, 0.4), around(0.8 + miss, 0.5))],
            kind,
            number,
        )
        for number, miss in enumerate(misses)
    ]


def row(text: str, heading: str, name: str) -> list[str]:
    """The cells of a kind's row of the table under a heading."""
    part = text.split(f"## {heading}")[1].split("\n## ")[0]
    (line,) = (line for line in part.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_page_marks_bars_as_met_or_not() -> None:
    false = [outcome([point(around(0.5), None, False), point(Interval(), None, False)], kind=NEVER)]
    text = page([*met_by_all(0), *met_by_all(1, late=0.05, ours=0.25), *false], SOURCE)
    points, errors, intervals = "How good are the points?", "How far off are predictions?", "Are their intervals honest"
    good, bad = "0 · trapezoid", "1 · logistic"
    assert row(text, points, good)[:5] == ["10", "10", "0.900 ± 0.100 ✓", "1.00", "+0.000 ✓"]
    assert row(text, points, bad)[4] == "+0.050 ✗"
    assert row(text, errors, good)[4:7] == ["0.10 ✓", "0.20", "0.30"]
    assert row(text, errors, bad)[4] == "0.25 ✗"
    assert row(text, intervals, good)[1] == "0.900 ± 0.100 ✓"
    assert row(text, intervals, bad)[1] == "0.000 ± 0.000 ✗"
    assert row(text, intervals, good)[5].endswith(" ✓") and row(text, intervals, bad)[5].endswith(" ✗")
    assert row(text, "Is a collapse found", f"{NEVER} · {KINDS[NEVER].name}")[:2] == ["2", "1 (50.0 %) ✗"]
    assert row(text, points, REGULAR)[0] == "20"
    first = text.split("\n## ")[1]
    met = [line.split("|")[2:4] for line in first.splitlines() if line.startswith(("| Points", "| Pred", "| Curves"))]
    assert [[cell.strip() for cell in cells] for cells in met] == [
        ["2 of 2", "–"],
        ["1 of 2", "–"],
        ["1 of 2", "–"],
        ["1 of 2", "–"],
        ["1 of 2", "–"],
        ["–", "0 of 1"],
    ]
    assert "**Points: yes.**" in first and "**Predictions: no" in first  # 18 and 9 of 20 hold
    for words in (SOURCE.command, "numpy 9", "seed is 101", "abc", "were chosen on seeds below 100"):
        assert words in first
    assert all(f"{i} · **{kind.name}**" in text for i, kind in enumerate(KINDS))


@pytest.mark.parametrize("kind", [BUMP, HALF, PAPER])
def test_a_study_is_judged_against_its_own_truth(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [replace(each, token_counts=1) for each in KINDS]  # a third of the curves, in a third of the time
    monkeypatch.setattr(benchmarks.claims, "KINDS", kinds)
    task = Task(kind, 0, 1)
    found = study(task)
    rng = np.random.default_rng([1, kind, 0])
    world = draw(kinds[kind], rng)
    _, truths = simulate(world, rng)
    assert found.kind == KINDS[kind].name and len(found.points) == len(truths)
    assert sorted(str(p.truth) for p in found.points) == sorted(str(truth) for truth in truths.values())
    doses = {size: x_at([own[0], own[-1]], world.unit) for size, own in world.doses.items()}
    within = [x is not None and bool(doses[n][0] < x < doses[n][1]) for (_, n, _), x in truths.items()]
    assert sum(p.within for p in found.points) == sum(within)
    assert [t.score for t in found.targets] == list(SCORES)
    for t in found.targets:
        assert set(t.by) == set(METHODS) and (t.truth is None) == (kind == HALF)
    # What was found has to do with the truth: a median distance of half a dex would be guessing.
    assert (tally([found]).points.error or 0) < 0.5


def test_a_bump_falls_from_where_its_tangent_at_half_height_meets_its_top() -> None:
    world = draw(KINDS[BUMP], np.random.default_rng(0))
    knot, sd = 0.3, world.fall / 2.5
    collapse = world.collapse("recall", knot)
    half, slope = knot + sd * math.sqrt(2 * math.log(2)), math.sqrt(2 * math.log(2)) / 2 / sd
    assert collapse == pytest.approx(half - 0.5 / slope)
    assert world.collapse("retention", knot) == knot and world.collapse("recall", None) is None


def test_baselines_find_a_fall_and_carry_it_along_a_line() -> None:
    x = np.linspace(-2, 2, 30)
    y = np.clip((x + 1.8) / 0.8, 0, 1) * 0.8 - 0.6 * np.clip((x - 0.5) / 0.8, 0, 1)
    assert BASELINES["trapezoid"](x, y) == pytest.approx(0.5, abs=0.02)
    assert BASELINES["drop"](x, y) == pytest.approx(0.5 + 0.08 / 0.6 * 0.8, abs=0.03)
    assert -1.1 < (BASELINES["argmax"](x, y) or 0) < 0.6
    assert all(find(x, np.full(30, 0.6)) is None for find in BASELINES.values())


def quick(task: Task) -> Outcome:
    """A study in no time: a stand-in for simulating and fitting, which take seconds."""
    x = float(np.random.default_rng([task.seed, task.kind, task.number]).normal())
    return outcome([point(around(x))], [target(around(x), around(x), around(x))], task.kind, task.number)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    seen: list[Task] = []

    def counted(task: Task) -> Outcome:
        seen.append(task)
        return quick(task)

    monkeypatch.setattr(benchmarks.calibration, "study", counted)
    return seen


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path: Path, no_wait: list[Task]) -> None:
    keep = tmp_path / "results.jsonl"
    whole = calibrate(range(2), 3, keep=keep)
    assert whole == calibrate(range(2), 3) != calibrate(range(2), 4)
    lines = keep.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + 2 * len(KINDS)
    keep.write_text("".join(lines[:4]) + lines[4][:50])
    no_wait.clear()
    assert calibrate(range(2), 3, keep=keep) == whole
    assert len(no_wait) == 2 * len(KINDS) - 3
    then, kept = read_kept(keep)
    assert then == head(3) and len(kept) == 2 * len(KINDS)
    with pytest.raises(InputError, match=r"results\.jsonl"):
        calibrate(range(2), 4, keep=keep)


@pytest.mark.usefixtures("no_wait")
def test_a_run_split_over_machines_is_the_run_in_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = (tmp_path / f"{name}.jsonl" for name in "abc")
    main(["--studies", "2", "--seed", "101", "--kinds", "0,2-4", "--keep", str(a)])
    main(["--studies", "2", "--first", "1", "--seed", "101", "--kinds", "0,2-4", "--keep", str(b)])  # one in both
    out = tmp_path / "page.md"
    capsys.readouterr()
    main(["--merge", str(a), str(b), "--out", str(out)])
    merged = merge([a, b])[1]
    assert merged == calibrate(range(3), 101, [0, 2, 3, 4])
    assert command(merged, 101) == "python -m benchmarks.calibration --studies 3 --seed 101 --kinds 0,2,3,4"
    text = out.read_text()
    assert capsys.readouterr().out.strip() in text and command(merged, 101) in text and "12 simulated studies" in text
    calibrate(range(1), 102, keep=c)
    with pytest.raises(InputError, match=r"c\.jsonl"):
        merge([a, c])


def test_kinds_that_are_none_are_refused() -> None:
    assert kinds_of("0,5-7") == [0, 5, 6, 7]
    for text in ("", "x", "99", "-1"):
        with pytest.raises(argparse.ArgumentTypeError):
            kinds_of(text)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_worlds_collapse_where_their_kind_says(kind: Kind) -> None:
    for number in range(3):
        rng = np.random.default_rng(number)
        world = draw(kind, rng)
        rows, truth = simulate(world, rng)
        assert len({row.seed for row in rows}) == kind.seeds and len(world.sizes) == kind.sizes
        inside = []
        for score, size, tokens in truth:
            first, last = x_at([world.doses[size][0], world.doses[size][-1]], world.unit)
            x = world.x(score, size, tokens)
            assert (x is None) == (truth[score, size, tokens] is None)
            inside.append(x is not None and bool(first < x < last))
        assert all(inside) == (not kind.late and kind.law not in ("none", "half"))
        assert any(inside) == (kind.law != "none")
