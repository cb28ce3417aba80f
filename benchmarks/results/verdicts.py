"""The verdict on each of the three claims, from the points, the law and the comparison alone."""

from collections import Counter

from benchmarks.results.grid import FALLS, NAMES, Grid
from benchmarks.results.repaired import Repaired
from infusionlaw.compare import Comparison
from infusionlaw.law.dose import Interval
from infusionlaw.law.law import KindLaw
from infusionlaw.law.points.point import Kind
from infusionlaw.report.numbers import bracket, listed, number

SLIGHT = 0.03  # a miss of a score by less is less than one fact in thirty


def verdicts(grid: Grid, second: Repaired | None = None, third: Comparison | None = None) -> str:
    """One paragraph a claim, and what they cannot say.

    second, third: outcomes of the mended law's predictions, under the first recipe and under the second.
    """
    return "\n\n".join(
        [
            "## The three claims, at this scale",
            f"1. *Every model has a critical collapse point.* {_exists(grid)}",
            f"2. *The points scale with size.* {_scales(grid)}",
            f"3. *Small models predict large ones.* {_predicts(grid)}{_afresh(second)}{_retuned(third)}",
            _unknown(grid),
        ]
    )


def _exists(grid: Grid) -> str:
    sentences = []
    for kind in FALLS:
        mine = [point for point in grid.fitted if point.kind == kind]
        statuses = Counter(point.status for point in mine)
        others = [f"{count} {status}" for status, count in statuses.items() if status != "found"]
        rest = f" ({listed(others)})" if others else ""
        sentences.append(f"A {NAMES[kind]} was found in {statuses['found']} of {len(mine)} sizes and budgets{rest}.")
    return " ".join(sentences)


def _scales(grid: Grid) -> str:
    return " ".join(_exponents(grid, kind) for kind in FALLS)


def _exponents(grid: Grid, kind: Kind) -> str:
    law = grid.law.of(kind)
    if not law.forms:
        return f"The {NAMES[kind]} has no law: {law.reason}."
    told = [
        f"{word} to the power of {bracket(found, '{:.2f}'.format)} ({_settled(found)})"
        for name, word in (("size", "size"), ("tokens", "budget"))
        if (found := law.coefficients.get(name, Interval())).value is not None
    ]
    return f"The odds of the share at the {NAMES[kind]} go as {listed(told)}.{_left_out(law)}"


def _settled(exponent: Interval) -> str:
    if (exponent.low or 0.0) > 0:
        return "they rise with it"
    return "they fall with it" if (exponent.high or 0.0) < 0 else "which way is not settled"


def _left_out(law: KindLaw) -> str:
    """The sizes and budgets that learn so late that no law counts them."""
    late = [f"{number(p.size)} at {number(p.tokens)} tokens" for p in law.points if not p.in_law]
    if not late:
        return ""
    return f" Left out of it: {listed(late)}, whose curve rises up to the largest shares, where no collapse could show."


def _predicts(grid: Grid) -> str:
    if not grid.comparison.points and not grid.comparison.scores:
        return "Not tested yet: no held-out run has been trained."
    return f"Of the first law: {_hits(grid.comparison)}."


def _afresh(second: Repaired | None) -> str:
    if second is None or not second.mended.points:
        return ""
    return (
        " Its misses had causes that were mended, and the mended law was put to the test on a target of its own: "
        f"{_hits(second.mended)}. Of the first law on that target: {_hits(second.first)}."
    )


def _retuned(third: Comparison | None) -> str:
    if third is None or not third.points:
        return ""
    return f" Under a recipe whose learning rate was mended after that, on a third target: {_hits(third)}."


def _hits(comparison: Comparison) -> str:
    points = [row for row in comparison.points if row.kind in FALLS and row.inside is not None]
    scores = comparison.scores
    errors = [abs(row.error_dex) for row in points if row.error_dex is not None]
    far = f", off by {listed([f'{error:.2f}' for error in errors])} dex" if errors else ""
    missed = [row for row in scores if not row.inside]
    slight = sum(abs(row.error) < SLIGHT for row in missed)
    held = f"{len(scores) - len(missed)} of {len(scores)} scores at the doses looked at" if scores else "no scores"
    of = f" ({slight} of the {len(missed)} missed by less than {SLIGHT:g})" if slight else ""
    hits = sum(bool(row.inside) for row in points)
    return f"{hits} of {len(points)} predicted collapses lay in their 90 % intervals{far}, and {held}{of}"


def _unknown(grid: Grid) -> str:
    sizes, budgets = [row.size for row in grid.rows], [row.tokens for row in grid.rows]
    return (
        f"All of this is for {number(min(sizes))} to {number(max(sizes))} parameters, {number(min(budgets))} to "
        f"{number(max(budgets))} tokens, one kind of facts and one general text. Nothing here says that the same "
        "exponents hold for models a thousand times larger, or that a share of text of another kind does the same harm."
    )
