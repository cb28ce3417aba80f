"""Answers that were false once: what a table may not be told, whatever its noise and its grid."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.worlds import KINDS, World, draw, simulate
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.runs.record import RunRecord

EXPOSURES = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
NAMES = {kind.name: kind for kind in KINDS}


def rows(
    doses: Sequence[float], recall: Sequence[float], size: float = 1e9, **more: Sequence[float]
) -> list[RunRecord]:
    """One seed of one model of 100B tokens; scores by exposures, each with a standard error of .01."""
    errors = {f"{name}_se": 0.01 for name in ("recall", *more) if name != "chance"}
    return [
        RunRecord(
            size=size,
            tokens=1e11,
            exposures=float(dose),
            seed=0,
            recall=score,
            **errors,
            **dict(zip(more, own, strict=True)),
        )
        for dose, score, *own in zip(doses, recall, *more.values(), strict=True)
    ]


def point(table: Sequence[RunRecord], kind: Kind) -> Point:
    (found,) = [p for p in find_points(table) if p.kind == kind]
    return found


def fallen(high: float, low: float, at: float) -> list[float]:
    """A score that falls from `at` exposures on, over one order of magnitude."""
    part = np.clip(np.log10(np.maximum(EXPOSURES, 0.1) / at), 0, 1)
    return [float(high - (high - low) * p) for p in part]


def test_a_retention_that_falls_by_many_errors_is_not_at_guessing() -> None:
    """.95 to .35 with an error of .01, nothing said of chance: there was something to lose."""
    for at in (30, 100, 300, 700):
        p = point(rows(EXPOSURES, [0.5] * 10, retention=fallen(0.95, 0.35, at)), "retention")
        assert p.status == "found" and p.exposures.low is not None and p.exposures.high is not None
        assert p.exposures.low <= 1.1 * at and at <= p.exposures.high  # a fall may begin right at a dose


def test_the_same_scores_give_the_same_answer_at_every_size() -> None:
    table = [
        row for size in (137e6, 1e9, 3e9) for row in rows(EXPOSURES, [0.5] * 10, size, retention=fallen(0.9, 0.4, 100))
    ]
    answers = {(p.status, p.x) for p in find_points(table) if p.kind == "retention"}
    assert len(answers) == 1


def test_recall_at_its_ceiling_from_the_smallest_dose_was_learned_before_it() -> None:
    doses = [2.0**i for i in range(1, 15)]
    table = rows(doses, [*[1.0] * 12, 0.98, 0.31])
    assert point(table, "acquisition").status == "before the grid"
    collapse = point(table, "collapse")
    assert collapse.status == "found" and collapse.exposures.low is not None and collapse.exposures.low > 4096


def test_recall_of_one_everywhere_was_learned_and_never_fell() -> None:
    table = rows([2.0**i for i in range(1, 15)], [1.0] * 14)
    assert point(table, "acquisition").status == "before the grid"
    assert point(table, "collapse").status == "not reached"


def test_a_low_recall_cannot_be_told_from_a_guessing_that_nobody_stated() -> None:
    doses = [2.0**i for i in range(1, 15)]
    assert "nothing was ever learned" not in point(rows(doses, [0.3] * 14), "collapse").note
    assert "add one" in point(rows(doses, [0.3] * 14), "collapse").note
    assert "nothing was ever learned" in point(rows(doses, [0.25] * 14, chance=[0.25] * 14), "collapse").note


def test_a_low_retention_has_nothing_to_lose_only_where_guessing_is_stated() -> None:
    doses = [2.0**i for i in range(1, 15)]
    stated = rows(doses, [0.6] * 14, retention=[0.25] * 14, chance=[0.25] * 14)
    assert point(stated, "retention").status == "no effect"
    assert point(rows(doses, [0.6] * 14, retention=[0.25] * 14), "retention").status == "not reached"
    assert point(rows(doses, [0.6] * 14, retention=[0.9] * 14), "retention").status == "not reached"


def test_places_that_rounding_sets_apart_are_one() -> None:
    """Tokens and sizes within .1 % made every run a curve of its own; a copied run counted twice."""
    plain = [row for n in (137e6, 1e9) for row in rows(EXPOSURES, [0.5] * 10, n, retention=fallen(0.9, 0.4, 100))]
    moved = [
        replace(row, size=row.size * (1 + 1e-4 * (i % 3)), tokens=row.tokens * (1 + 1e-4 * (i % 7)))
        for i, row in enumerate(plain)
    ]
    assert len([p for p in find_points(moved) if p.kind == "retention"]) == 2
    expected = [p.x for p in find_points(plain) if p.kind == "retention"]
    assert [p.x for p in find_points(moved) if p.kind == "retention"] == expected
    named = [replace(row, run=str(i)) for i, row in enumerate(plain)]
    copies = [replace(row, seed=1) for row in named]
    assert [p.x for p in find_points(named + copies) if p.kind == "retention"] == expected


@cache
def studies(
    name: str, count: int
) -> list[tuple[World, list[RunRecord], list[Point], dict[tuple[str, float, float], float | None]]]:
    """Simulated studies of a kind with their points and the truth; of two sizes and token counts where a kind has more.

    What a point costs does not depend on how many a study has, and points of several worlds say more than those of one.
    """
    kind, found = NAMES[name], []
    kind = replace(kind, sizes=2, token_counts=min(kind.token_counts, 2))
    for number in range(count):
        rng = np.random.default_rng([11, number])
        world = draw(kind, rng)
        table, truth = simulate(world, rng)
        found.append((world, table, find_points(table), truth))
    return found


def held(name: str, count: int, scores: Sequence[str] = ("recall", "retention")) -> float:
    """How often the 90 % intervals of collapses hold the truth."""
    hits = []
    for _, _, points, truth in studies(name, count):
        for p in points:
            score = {"collapse": "recall"}.get(p.kind, p.kind)
            true = truth.get((score, p.size, p.tokens))
            if score in scores and true is not None and (p.x.low is not None or p.x.high is not None):
                hits.append((p.x.low is None or p.x.low <= true) and (p.x.high is None or true <= p.x.high))
    return float(np.mean(hits))


@pytest.mark.slow
def test_one_seed_retention_in_the_papers_setting_is_found() -> None:
    points = [
        p for _, _, found, _ in studies("paper: 137M to 3B in exposures", 4) for p in found if p.kind == "retention"
    ]
    assert np.mean([p.status == "found" for p in points]) >= 0.95
    assert held("paper: 137M to 3B in exposures", 4, ("retention",)) >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"), [("step", 0.8), ("bimodal seeds", 0.8), ("no plateau", 0.85), ("bump", 0.75)]
)
def test_points_hold_in_worlds_that_no_form_describes(name: str, least: float) -> None:
    """Before: .62 of sharp falls, .57 of bimodal seeds. Few studies leave room for chance (docs/calibration.md)."""
    assert held(name, 3) >= least


@pytest.mark.slow
def test_noisy_curves_of_one_seed_that_never_fall_are_not_said_to() -> None:
    made = studies("no collapse, one noisy seed", 3)
    points = [p for _, _, found, _ in made for p in found if p.kind in ("collapse", "retention")]
    assert np.mean([p.x.value is not None for p in points]) <= 0.05
    assert not any(
        law.forms
        for _, table, found, _ in made
        for law in fit_law(table, found).kinds
        if law.kind in ("collapse", "retention")
    )
