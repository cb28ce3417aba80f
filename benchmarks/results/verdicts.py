"""The verdict on each of the three claims, from the points, the law and the comparison alone."""

from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.results.grid import FALLS, NAMES, Grid
from benchmarks.results.trials import Trial, summary
from infusionlaw.law.dose import Interval
from infusionlaw.law.numbers import bracket, listed, number
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scaling.law import KindLaw


def verdicts(main: Grid, family: Grid | None, trials: Sequence[Trial]) -> str:
    """One paragraph a claim, and what they cannot say.

    family: a second family of larger models; trials: every prediction that runs have tested, in the order of time.
    """
    return "\n\n".join(
        [
            "## The three claims, at this scale",
            f"1. *Every model has a critical collapse point.* {_exists(main)}{_again(family, _exists)}",
            f"2. *The points scale with size.* {_scales(main)}{_again(family, _scales)}",
            "3. *Small models predict large ones.* "
            + (summary(trials) or "Not tested yet: no held-out run has been trained."),
            _unknown([main, *([family] if family else [])]),
        ]
    )


def _again(family: Grid | None, tell: Callable[[Grid], str]) -> str:
    return f" In the second family: {_uncapitalised(tell(family))}" if family else ""


def _uncapitalised(text: str) -> str:
    return text[0].lower() + text[1:]


def _exists(grid: Grid) -> str:
    sentences = []
    for kind in FALLS:
        mine = [point for point in grid.fitted if point.kind == kind]
        statuses = Counter(point.status for point in mine)
        others = [f"{count} {status}" for status, count in statuses.items() if status != "found"]
        rest = f" ({listed(others)})" if others else ""
        sentences.append(
            f"A {NAMES[kind]} was found in {statuses['found']} of {len(mine)} sizes and token counts{rest}."
        )
        ends = [(point.x.low, point.x.high) for point in mine if point.status == "found"]
        if unbounded := sum(None in pair for pair in ends):
            sentences.append(f"The doses do not bound {unbounded} of these on both sides.")
    return " ".join(sentences)


def _scales(grid: Grid) -> str:
    return " ".join(_exponents(grid, kind) for kind in FALLS)


def _exponents(grid: Grid, kind: Kind) -> str:
    law = grid.law.of(kind)
    if not law.forms:
        return f"The {NAMES[kind]} has no law: {law.reason}."
    told = [
        f"{word} to the power of {bracket(found, '{:.2f}'.format)} ({_settled(found)})"
        for name, word in (("size", "size"), ("tokens", "tokens"))
        if (found := law.coefficients.get(name, Interval())).value is not None
    ]
    form = law.forms[0]
    by = f"By the {form.form.name} ({100 * form.weight:.0f} % of the weight)"
    return f"{by} the odds of the share at the {NAMES[kind]} go as {listed(told)}.{_left_out(law)}"


def _settled(exponent: Interval) -> str:
    if (exponent.low or 0.0) > 0:
        return "they rise with it"
    return "they fall with it" if (exponent.high or 0.0) < 0 else "which way is not settled"


def _left_out(law: KindLaw) -> str:
    """The sizes and token counts that learn so late that no law counts them."""
    late = [f"{number(p.size)} at {number(p.tokens)} tokens" for p in law.points if not p.in_law]
    if not late:
        return ""
    return f" Left out of it: {listed(late)}, whose curve rises up to the largest shares, where no collapse could show."


def _unknown(grids: Sequence[Grid]) -> str:
    sizes = [row.size for grid in grids for row in grid.rows]
    token_counts = [row.tokens for grid in grids for row in grid.rows]
    return (
        f"All of this is for {number(min(sizes))} to {number(max(sizes))} parameters, {number(min(token_counts))} to "
        f"{number(max(token_counts))} tokens, one kind of facts and {_texts(grids)}. Nothing here says that the same "
        "exponents hold for models a thousand times larger, or that a share of text of another kind does the same harm."
    )


def _texts(grids: Sequence[Grid]) -> str:
    return "one general text" if len({str(grid.study.text.source) for grid in grids}) == 1 else "two general texts"
