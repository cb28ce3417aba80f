"""Memorisation by insertions: Hubble (arXiv 2510.19811), its facts in full context, found with our own detector."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from infusionlaw import Point, RunRecord, find_points, fit_law
from infusionlaw.law.dose import Interval
from infusionlaw.law.planning.rules import HUBBLE, other_answers
from infusionlaw.law.scaling.law import KindLaw
from infusionlaw.runs.tabular import read_rows

TABLE = Path(__file__).parents[2].parent / "shared" / "data" / "hubble" / "hubble_dose_response.csv"
pytestmark = pytest.mark.skipif(not TABLE.exists(), reason=f"needs {TABLE.name} of allegro-lab/hubble")
MODELS = {
    "1B-100B-perturbed": (1e9, 1e11),
    "1B-500B-perturbed": (1e9, 5e11),
    "8B-100B-perturbed": (8e9, 1e11),
    "8B-500B-perturbed": (8e9, 5e11),
}
# Documents by insertions: the smallest number of which every printed value is a whole part.
DOCUMENTS = {0: 2500, 1: 893, 4: 893, 16: 446, 64: 179, 256: 89}
CENSORED = {"gen birthdate", "gen occupation", "gen uuid"}


@cache
def tasks() -> dict[str, list[RunRecord]]:
    """The runs of the 14 tasks with the full prefix, as rows of a table; guessing is the never-inserted control."""
    _, rows = read_rows(TABLE)
    found: dict[str, list[RunRecord]] = {}
    prefix = "yago_hubble_full_prefix_"
    mine = [row for row in rows.values() if row["notebook_cell"] == "77" and row["task"].startswith(prefix)]
    control = {
        (row["task"], row["model_tokens_variant"]): float(row["value"]) for row in mine if row["duplicates"] == "0"
    }
    for row in mine:
        documents, recall = DOCUMENTS[int(row["duplicates"])], float(row["value"])
        assert recall * documents == pytest.approx(round(recall * documents), abs=0.01)
        size, tokens = MODELS[row["model_tokens_variant"]]
        smooth = (recall * documents + 1) / (documents + 2)
        record = RunRecord(
            size=size,
            tokens=tokens,
            exposures=float(row["duplicates"]),
            recall=recall,
            recall_se=float(np.sqrt(smooth * (1 - smooth) / documents)),
            unseen_recall=control[row["task"], row["model_tokens_variant"]],
        )
        found.setdefault(row["task"].removeprefix(prefix).removeprefix("no_suffix "), []).append(record)
    return found


@cache
def acquisition(task: str) -> tuple[list[Point], KindLaw]:
    rows = tasks()[task]
    points = find_points(rows, acquisition="half")
    return [p for p in points if p.kind == "acquisition"], fit_law(rows, points).of("acquisition")


@cache
def exponents() -> dict[str, list[float]]:
    """Exponents of tokens and of size, a law each task that has one."""
    laws = [law for law in (acquisition(task)[1] for task in tasks()) if law.forms]
    return {
        covariate: [law.coefficients[covariate].value or np.nan for law in laws] for covariate in ("tokens", "size")
    }


def quartiles(values: list[float]) -> str:
    return " ".join(f"{q:.2f}" for q in np.quantile(values, [0.25, 0.5, 0.75]))


def test_half_recall_grows_with_tokens_and_falls_with_size_as_published() -> None:
    """Published, over 11 tasks: D^0.93 (quartiles .82, 1.25) and N^-0.73 (-.81, -.63)."""
    found = exponents()
    assert len(tasks()) == 14 and len(found["size"]) == 13
    tokens, size = float(np.median(found["tokens"])), float(np.median(found["size"]))
    assert tokens == pytest.approx(0.93, abs=0.04)  # two token counts: the prior pulls it down a little
    assert size == pytest.approx(-0.73, abs=0.03)
    assert (quartiles(found["tokens"]), quartiles(found["size"])) == ("0.88 0.95 1.06", "-0.80 -0.73 -0.67")


def holds(interval: Interval, value: float) -> bool:
    assert interval.low is not None and interval.high is not None
    return interval.low <= value <= interval.high


def test_the_tasks_agree_with_the_published_medians_and_on_the_form() -> None:
    laws = [law for law in (acquisition(task)[1] for task in tasks()) if law.forms]
    assert sum(holds(law.coefficients["size"], -0.73) for law in laws) == 11
    tokens = [holds(law.coefficients["tokens"], 0.93) for law in laws]
    assert sum(tokens) == 10  # tasks differ: published quartiles .82 to 1.25
    best = [max(law.forms, key=lambda form: form.weight).form.name for law in laws]
    assert best == ["power law in size and token count"] * 13


@pytest.mark.parametrize("task", sorted(CENSORED))
def test_a_task_that_never_reaches_half_has_a_law_all_the_same(task: str) -> None:
    """1B-500B ends at .03, .27 and .36 with 256 insertions: its interval is open above, and it counts."""
    points, law = acquisition(task)
    last = next(p for p in points if (p.size, p.tokens) == (1e9, 5e11))
    assert last.x.high is None
    assert law.forms and len(law.points) == 4


def test_where_the_control_answers_nine_in_ten_nothing_is_claimed() -> None:
    points, law = acquisition("nationality")
    assert {p.status for p in points} == {"not reached"} and not law.forms
    assert all(p.x == Interval(None, pytest.approx(np.log10(256)), None) for p in points)


def test_recall_never_falls_again_within_256_insertions() -> None:
    rows = tasks()["email"]
    points = find_points(rows)
    assert {p.status for p in points if p.kind == "collapse"} == {"not reached"}
    first = {(p.size, p.tokens): p for p in points if p.kind == "acquisition"}
    half = {(p.size, p.tokens): p for p in acquisition("email")[0]}
    assert all(first[place].x.value < half[place].x.value for place in half)  # type: ignore[operator]


def test_a_law_of_its_own_table_does_not_contradict_the_rule() -> None:
    rows = tasks()["email"]
    law = fit_law(rows, find_points(rows, acquisition="half"))
    assert not any(found.contradicts for found in other_answers(law, 7e10, 1e13, rules=[HUBBLE]))
