"""Points and plans as plain text for the terminal and the page; a page escapes it."""

from collections.abc import Sequence
from typing import Any

from infusionlaw.law.points import Point
from infusionlaw.plan import Plan
from infusionlaw.report.numbers import aligned, bracket, count, listed, number, share


def points_text(points: Sequence[Point]) -> str:
    """An aligned table of points: kind, size, tokens, status, share and exposures with 90 % intervals."""
    header = ("kind", "size", "tokens", "status", "share", "exposures")
    return aligned([header, *(point_cells(point) for point in points)]) if points else "no points"


def point_cells(point: Point) -> tuple[str, ...]:
    """One point as the cells of a table: kind, size, tokens, status, share, exposures."""
    where = (number(point.size), number(point.tokens))
    return (point.kind, *where, point.status, bracket(point.share, share), bracket(point.exposures, count))


def plan_text(plan: Plan) -> str:
    """A plan in a few sentences, one a line: the dose, the points it rests on, its status and its flags."""
    facts = [f"{number(plan.facts)} facts"] if plan.facts else []
    target = listed([f"{number(plan.size)} parameters", f"{number(plan.tokens)} tokens", *facts])
    lines = [f"Plan for {target} (status: {plan.status}; intervals are 90 %).", _dose_sentence(plan)]
    if plan.dose.x.value is not None:
        lines.append(f"Recall is expected to collapse at {_both_units(plan.collapse)}.")
        if plan.acquisition.x.value is not None:
            lines.append(f"The facts are expected to be learned from {_both_units(plan.acquisition)} on.")
        lines += _retention_sentence(plan)
    return "\n".join([*lines, *(f"Note: {note}." for note in plan.notes)])


def _dose_sentence(plan: Plan) -> str:
    advised = plan.dose
    if advised.x.value is None:
        return "No dose can be advised."
    units = [
        text
        for known, text in (
            (advised.share, f"a share of {bracket(advised.share, share)}"),
            (advised.exposures, f"{bracket(advised.exposures, count)} exposures of each fact"),
            (advised.tokens, f"{bracket(advised.tokens, number)} infused tokens"),
        )
        if known.value is not None
    ]
    lead = "The largest dose safe from collapse would be" if plan.status == "no safe dose" else "Advised dose:"
    return f"{lead} {', '.join(units)}; it has at most a 5 % probability of lying beyond the collapse of recall."


def _both_units(point: Any) -> str:
    texts = [f"a share of {bracket(point.share, share)}"] if point.share.value is not None else []
    texts += [f"{bracket(point.exposures, count)} exposures"] if point.exposures.value is not None else []
    return f"{texts[0]} ({texts[1]})" if len(texts) == 2 else "".join(texts)


def _retention_sentence(plan: Plan) -> list[str]:
    if plan.retention.x.value is None or plan.dose.x.value is None:
        return []
    beyond = plan.dose.x.value > plan.retention.x.value
    warning = ", which is below the advised dose: expect to lose some of them" if beyond else ""
    return [f"Retention of prior facts is expected to fall from {_both_units(plan.retention)} on{warning}."]
