"""The second family: larger models and token counts on other text, and what an oftener stated prior fact changes."""

from statistics import geometric_mean

from benchmarks.markdown import table
from benchmarks.results.grid import Grid
from benchmarks.results.predictions import predictions, told
from infusionlaw.law.numbers import number, share
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.law.points.point import Point

SECOND = """Larger models, longer token counts, thirteen times the facts and other text. Does the same happen, and with
the same exponents? Prior facts are stated so rarely here (`prior_share = {rare:g}`) that the collapses lie well inside
the doses. Two seeds up to 4 M parameters, one above."""

BEFORE = """The runs of the first seed up to 4 M were there first (`studies/rarer.toml`), and a prediction of four times
that size was made from them alone. Of the 20 runs that tested it the 14 at doses of the grid
are in the grid above since."""

OFTENER = """A trial of this family before it, `studies/millions.toml`, stated prior facts oftener (`prior_share =
{often:g}`; up to 4 M with more heads). Retention then collapses at far larger shares. How often is a prior fact still
stated, over the whole token count, at the share where retention collapses?"""

OUTCOME = """The odds of the share differ by a factor of {odds}, the statements by one of {statements} (geometric
means): what a larger dose takes from prior facts is, for the most part, the statements that it leaves no room for."""

COLUMNS = ("size", "tokens", "collapse, rarer", "statements", "collapse, oftener", "statements")


def second_family(family: Grid, before: Comparison | None, often: Grid | None, drawn: str) -> str:
    """Its runs, points, law and figures, which are `drawn`, and predictions.

    before: what was predicted from its first runs alone; often: the same with prior facts stated oftener.
    """
    parts = [
        f"## A second family\n{SECOND.format(rare=family.study.infusion.prior_share)}",
        drawn,
        predictions(family, "### Predicted, and run"),
        *(["### Predicted from its first runs, and run", BEFORE, *told(before)] if before else []),
        _oftener(family, often) if often else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _oftener(family: Grid, often: Grid) -> str:
    """Where retention collapses, and how many statements of a prior fact are left there, in both."""
    first, second = _collapses(family), _collapses(often)
    both = sorted(first.keys() & second.keys())
    if not both:
        return ""
    rows, odds, statements = [], [], []
    for place in both:
        rare, many = first[place], second[place]
        left = (_left(family, *place, rare), _left(often, *place, many))
        odds.append(many / (1 - many) / (rare / (1 - rare)))
        statements.append(left[0] / left[1])
        rows.append([*map(number, place), share(rare), f"{left[0]:.0f}", share(many), f"{left[1]:.0f}"])
    told = OUTCOME.format(odds=f"{geometric_mean(odds):.1f}", statements=f"{geometric_mean(statements):.1f}")
    head = OFTENER.format(often=often.study.infusion.prior_share)
    return "\n\n".join(["### Share, or statements of prior facts", head, table(COLUMNS, rows), told])


def _collapses(grid: Grid) -> dict[tuple[float, float], float]:
    """By size and token count the share at which retention collapses, where it was found."""
    found: list[Point] = [point for point in grid.points if point.kind == "retention" and point.status == "found"]
    return {(point.size, point.tokens): point.share.value for point in found if point.share.value is not None}


def _left(grid: Grid, size: float, tokens: float, dose: float) -> float:
    """Statements of a prior fact over a token count at a dose; a statement is as long as one of a domain fact."""
    facts = grid.study.facts.prior * len(grid.study.facts.relations)
    tokens_per_fact = next(row.tokens_per_fact for row in grid.rows if row.tokens_per_fact)
    return (1 - dose) * tokens * grid.study.infusion.prior_share / (facts * tokens_per_fact)
