"""The answer that a page opens with: give this dose, expect this, it costs this, we know it this well, do this next."""

from collections.abc import Iterator

from infusionlaw.law.covariates import SAME
from infusionlaw.law.numbers import DOSE_WORDS, bracket, number, stated
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.law.planning.limits import of_losses_alone
from infusionlaw.law.planning.plan import Plan
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.law import Law
from infusionlaw.report.start import change_sentences, changes_text
from infusionlaw.report.words import dose_sentence, limit_sentence, loss_sentence, plain_count, remedy_sentences
from infusionlaw.runs.outcomes import ACQUISITION, COLLAPSE, kind_named
from infusionlaw.runs.record import UNSTATED

FAR = 4.0  # times the sizes or tokens tried, from which on a run between is advised
MOST_STEPS = 3


def answer(law: Law, plan: Plan, comparison: Comparison | None = None, table: str = "") -> list[tuple[str, str]]:
    """Five questions with their answers in a sentence or two each. table: the file that the law was fitted to."""
    more = [f"infusionlaw ask {table} says which runs to add."] if table and not of_losses_alone(law) else []
    return [
        ("What to give", _give(plan)),
        ("What to expect", _expect(plan)),
        ("What it costs", _cost(plan)),
        ("How well we know", _known(plan, comparison)),
        ("What to do next", " ".join([*next_steps(law, plan), *more])),
    ]


def _give(plan: Plan) -> str:
    target = plan.target
    facts = f" and {number(target.facts)} facts" if target.facts else ""
    where = f"For {number(target.size)} parameters{stated(target.tokens, ', {} training tokens')}{facts}"
    limit = f" {limit_sentence(plan)}" if plan.dose.x.value is not None else ""
    changed = " ".join(change_sentences(plan))
    if changed and plan.dose.x.value is not None:
        return f"{changed} {where}: {dose_sentence(plan)}{limit}"
    return f"{where}. {dose_sentence(plan)}{limit} {changed}".strip()


def _expect(plan: Plan) -> str:
    if plan.dose.x.value is None:
        return "Nothing can be said without a dose."
    if changed := changes_text(plan, of_domain=True):
        return changed
    others = " ".join(line for loss in plan.losses if not loss.general and (line := loss_sentence(loss)))
    if plan.losses and plan.points[COLLAPSE.name].x.value is None:
        return others or "How much the domain gains is unknown: no loss on it was measured."
    if plan.recall.value is None:
        return others or "How much is learned is unknown, because the table shows too little of how recall rises."
    known = ""
    if plan.known.value is not None and (facts := plan.dose.facts.value or plan.target.facts):
        known = f" That is {bracket(plan.known, plain_count)} of the {number(facts)} facts."
    return f"A recall of {bracket(plan.recall, '{:.2f}'.format)}.{known}"


def _cost(plan: Plan) -> str:
    if plan.dose.x.value is None:
        return "Nothing can be said without a dose."
    if changed := changes_text(plan, of_domain=False):
        return changed
    if general := [line for loss in plan.losses if loss.general and (line := loss_sentence(loss))]:
        return " ".join(general)
    if plan.rise.value is None:
        return "Unknown: validation loss was not measured at dose 0 and at three doses above it."
    return f"Validation loss rises by {bracket(plan.rise, '{:.2g}'.format)} {plan.loss_unit}."


def _known(plan: Plan, comparison: Comparison | None) -> str:
    lies = plan.support.flag
    parts = [
        f"{lies[0].upper()}{lies[1:]}." if lies else "The target lies within the sizes and tokens that were tried."
    ]
    dose = plan.dose.x
    if dose.value is not None and dose.low is not None and dose.high is not None:
        parts.append(
            f"The dose is known to a factor of {10 ** max(dose.high - dose.value, dose.value - dose.low):.2g}."
        )
    elif dose.value is not None:
        parts.append("The dose is a bound, so it has no interval.")
    said = [row.inside for row in comparison.points if row.inside is not None] if comparison else []
    if said:
        parts.append(f"Of {len(said)} held-out points, {sum(said)} lay inside their 90 % intervals.")
    return " ".join(parts)


def next_steps(law: Law, plan: Plan) -> list[str]:
    """What to do now, the most useful first."""
    return list(_steps(law, plan))[:MOST_STEPS]


def _steps(law: Law, plan: Plan) -> Iterator[str]:
    yield from remedy_sentences(plan)
    known = () if "recall" in law.changes else (ACQUISITION.name,)  # a start knows some of it before any dose
    for kind in (*known, COLLAPSE.name):
        if kind in law.kind_names and not law.of(kind).forms:
            yield from _more_doses(law, law.of(kind).points, kind)
    for what, tried in (("size", law.sizes), ("token count", law.token_counts)):
        if max(tried) <= SAME * min(tried) and max(tried) != UNSTATED:
            yield f"Run a second {what}: only {number(tried[0])} was tried, so its effect is unknown."
    support, target = plan.support, plan.target
    if support.size_factor > FAR:
        yield f"Run one model of about {_between(max(law.sizes), target.size)} parameters to test the law on the way."
    if support.tokens_factor > FAR:
        tokens = _between(max(law.token_counts), target.tokens)
        yield f"Run one model on about {tokens} tokens to test the law on the way."
    if plan.dose.x.value is not None:
        yield "Run the advised dose once at a size you can afford, and hold the result against the prediction."


def _more_doses(law: Law, points: tuple[Point, ...], kind: str) -> Iterator[str]:
    """Where doses are missing for a point that has no law."""
    show = DOSE_WORDS[law.unit].show
    what = kind_named(kind).title
    if any(point.status == "before the grid" for point in points):
        yield f"Run doses below {show(law.doses[0])}: the {what} lies there."
    if any(point.status == "not reached" for point in points):
        yield f"Run doses above {show(law.doses[1])}, if you would ever give one: no {what} was seen up to there."


def _between(tried: float, target: float) -> str:
    """A round number half way, in ratio."""
    return number(float(f"{(tried * target) ** 0.5:.2g}"))
