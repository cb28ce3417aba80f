"""The second family: larger models and budgets on other text, and what of its law hangs on its largest size."""

from pathlib import Path

from benchmarks.results.grid import FALLS, NAMES, Grid, shown
from infusionlaw.chain import fit
from infusionlaw.report.numbers import bracket, listed, number

SECOND = """Larger models, longer budgets, thirteen times the facts and other text: forty times the main grid's work a
run. Does the same happen, and with the same exponents? One seed."""


def second_family(family: Grid | None, figures: Path) -> str:
    """Its runs, points, law and figures; "" without a table."""
    if family is None:
        return ""
    return "\n\n".join([f"## A second family\n{SECOND} {_without_largest(family)}", shown(family, figures)])


def _without_largest(family: Grid) -> str:
    """The exponents of the size from all sizes but the largest, whose shape differs from the others."""
    largest = max(row.size for row in family.rows)
    _, law = fit([row for row in family.fitted_rows if row.size < largest], family.tolerance, family.study.law.draws)
    told = [
        f"that of the {NAMES[kind]} is {bracket(exponent, '{:.2f}'.format)}"
        for kind in FALLS
        if (exponent := law.of(kind).coefficients.get("size")) is not None
    ]
    return (
        f"Models of {number(largest)} have five heads of width 64, the others nine to fifteen of 16 (see the number of "
        f"heads); without them the exponent of the size comes out less sure: {listed(told)}."
    )
