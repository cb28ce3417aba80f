"""Points and plans as plain text for the terminal and the page; a page escapes it."""

from collections.abc import Callable, Sequence

from infusionlaw.law.dose import SAID_IN, Interval
from infusionlaw.law.losses.law import LossAnswer, LossLaw
from infusionlaw.law.losses.measured import GENERAL
from infusionlaw.law.numbers import DOSE_WORDS, aligned, bracket, count, listed, number, share, stated
from infusionlaw.law.planning.forecast import Forecast
from infusionlaw.law.planning.limits import LOSS_LIMIT, LOWEST, ROOM_LIMIT, TRIED_LIMIT
from infusionlaw.law.planning.plan import UNBOUND, Alternative, Dose, Plan
from infusionlaw.law.planning.remedies import MOST_TIMES, Remedy
from infusionlaw.law.planning.rules import Carried
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.law import Law, Prediction
from infusionlaw.report.start import change_sentences, change_table
from infusionlaw.runs.outcomes import COLLAPSE, Outcome, kind_named, outcome_named, outcome_of
from infusionlaw.runs.record import UNSTATED, DoseUnit


def points_text(points: Sequence[Point]) -> str:
    """An aligned table of points: kind, size, tokens, status and the dose in its units with 90 % intervals."""
    return aligned([point_head(points), *(point_cells(point) for point in points)]) if points else "no points"


def reasons_text(points: Sequence[Point]) -> str:
    """Why points have their statuses, a line for each kind, status and reason, with the places it is true of."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for point in points:
        if point.note:
            where = f"{number(point.size)}{stated(point.tokens, ' at {}')}"
            places.setdefault((point.kind, point.status, point.note), []).append(where)
    return "\n".join(f"{kind} {status} ({_some(at)}): {note}" for (kind, status, note), at in places.items())


def _some(places: Sequence[str], most: int = 4) -> str:
    """The first few places, and how many more there are."""
    more = len(places) - most
    return listed([*places[:most], f"{more} more"] if more > 1 else places)


def point_head(points: Sequence[Point]) -> tuple[str, ...]:
    """What the cells of points are: kind, size, tokens, status, and the units of their doses."""
    return ("kind", "size", "tokens", "status", *SAID_IN[points[0].unit if points else "share"])


def point_cells(point: Point) -> tuple[str, ...]:
    """One point as the cells of a table, as `point_head` names them."""
    where = (number(point.size), stated(point.tokens) or "-")
    return (point.kind, *where, point.status, *dose_cells(point, SAID_IN[point.unit]))


def dose_cells(point: Point | Prediction | Dose, units: Sequence[DoseUnit]) -> list[str]:
    """A dose with its interval in each unit."""
    return [bracket(point.in_unit(unit), DOSE_WORDS[unit].show) for unit in units]


def law_text(law: Law) -> str:
    """A line for each kind of point: the forms of its law by weight, exponents and scatter; or why there is none.

    Notes on the table come first and notes on a kind after its line, each as a line of its own.
    """
    lines = [f"note: {note}" for note in law.notes]
    for kind in law.kinds:
        if kind.points or not (law.losses or law.unit == "facts"):
            lines += [f"law of {kind.kind}: {kind.summary}", *(f"note: {note}." for note in kind.notes)]
    remarks: dict[str, list[str]] = {}
    for loss in law.losses:
        since = f", counted from {loss.since}" if loss.since else ""
        lines.append(f"law of {loss.title}, {loss.unit}{since}: {loss.gist}")
        for remark in loss_remarks(loss):
            remarks.setdefault(remark, []).append(loss.title)
    for remark, titles in remarks.items():
        lines.append(f"note: {remark}{f' ({listed(titles)})' if len(titles) < len(law.losses) else ''}.")
    if rows := loss_point_rows([loss for loss in law.losses if loss.loss != GENERAL]):
        lines += ["", aligned(rows)]
    return "\n".join(lines)


def loss_remarks(loss: LossLaw) -> list[str]:
    """What to mind of the law of a loss, a sentence each without its full stop."""
    turn = [f"{loss.title} {loss.turn}"] if loss.turn else []
    return [
        *turn,
        *loss.notes,
        *(f"{fit.surface.name}: {fit.remark}" for fit in loss.surfaces if fit.weight and fit.remark),
    ]


def loss_point_rows(losses: Sequence[LossLaw]) -> list[tuple[str, ...]]:
    """A head and a row a point: up to which share each loss stays within its tolerance, by size and token count."""
    rows = [
        (loss.title, number(point.size), number(point.tokens), point.status, bracket(point.share, share))
        for loss in losses
        for point in loss.points
    ]
    return [("within the tolerance", "size", "tokens", "status", "up to a share of"), *rows] if rows else []


def plan_text(plan: Plan) -> str:
    """Return a plan as text: the dose and what holds it back, tables of what to expect, and what it rests on."""
    forecasts, points = forecast_table(plan), point_table(plan)
    tables = [aligned(rows) for rows in (change_table(plan), forecasts, points) if len(rows) > 1]
    return "\n\n".join(["\n".join(plan_lines(plan)), *tables, "\n".join(support_lines(plan))])


def plan_lines(plan: Plan) -> list[str]:
    """Return the answer in short sentences: the dose, what holds it back, what it buys and costs."""
    target = plan.target
    facts = [f"{number(target.facts)} facts"] if target.facts else []
    tokens = [text] if (text := stated(target.tokens, "{} tokens")) else []
    wanted = listed([f"{number(target.size)} parameters", *tokens, *facts])
    lines = [f"Plan for {wanted}. Status: {plan.status}. Intervals are 90 %."]
    lines += [*change_sentences(plan), dose_sentence(plan)]
    lines += [_constraint_sentence(plan), _outcome_sentence(plan), _facts_sentence(plan), *loss_lines(plan)]
    lines += alternative_lines(plan)
    return [line for line in [*lines, *remedy_sentences(plan)] if line]


def loss_lines(plan: Plan) -> list[str]:
    """Return what the laws of losses say: how each loss changes at the advised share, and what its tolerance allows."""
    return [line for answer in plan.losses if (line := loss_sentence(answer))]


def loss_sentence(answer: LossAnswer) -> str:
    """How a loss changes at the advised share, and what its tolerance allows; "" where neither is known."""
    title = answer.title[0].upper() + answer.title[1:]
    parts = []
    if answer.change.value is not None and answer.at is not None:
        up = answer.change.value >= 0
        size = answer.change if up else Interval(*(_flipped(answer.change)))
        end = f"{answer.unit} {'above' if up else 'below'} {answer.since}"
        parts.append(f"at a share of {share(answer.at)}, {bracket(size, '{:.3f}'.format)} {end}")
    if answer.largest.value is not None and answer.tolerance is not None:
        most = f"within {answer.tolerance:g} {answer.unit} of {answer.since}"
        parts.append(f"{most} up to a share of {bracket(answer.largest, share)}")
    if answer.reason:
        parts.append(answer.reason)
    return f"{title}: {'; '.join(parts)}." if parts else ""


def _flipped(interval: Interval) -> tuple[float | None, float | None, float | None]:
    """A fall as a number above 0."""
    ends = (interval.value, interval.high, interval.low)
    value, low, high = (None if end is None else -end for end in ends)
    return value, low, high


def support_lines(plan: Plan) -> list[str]:
    """Return what a plan rests on: what could not be checked, the sizes and token counts, and notes."""
    scored = not plan.losses or plan.points[COLLAPSE.name].x.value is not None
    unchecked = [c for c in plan.constraints if c.reason and plan.status != "no law" and scored]
    lines = [f"Not checked, {c.name}: {c.reason}." for c in unchecked]
    return [*lines, _support_sentence(plan), *(f"Note: {note}." for note in plan.notes)]


def forecast_table(plan: Plan) -> list[tuple[str, ...]]:
    """Return a head and a row a dose: what to expect of each outcome of which anything can be said."""
    known = [
        outcome_named(name)
        for name in (plan.forecast[0].scores if plan.forecast else {})
        if any(forecast.scores[name].value is not None for forecast in plan.forecast)
    ]
    units = plan.units
    rows = [("expected at", *units, *(outcome.title for outcome in known))]
    for forecast in plan.forecast:
        doses = [(DOSE_WORDS[unit].show, forecast.in_unit(unit)) for unit in units]
        cells = ["-" if dose is None else show(dose) for show, dose in doses]
        rows.append((forecast.name, *cells, *(_expected(forecast, outcome) for outcome in known)))
    return rows if known else []


def _expected(forecast: Forecast, outcome: Outcome) -> str:
    form = "{:.2f}" if outcome.scale == "proportion" else "{:.3g}"
    return bracket(forecast.scores[outcome.name], form.format)


def point_table(plan: Plan) -> list[tuple[str, ...]]:
    """Return a head and a row a point: what happens there, and the dose in its units."""
    located = [point for point in plan.points.values() if point.x.value is not None]
    rows = [(_happens(point, plan.loss_unit), *dose_cells(point, plan.units)) for point in located]
    return [("the target's points", *plan.units), *rows]


def dose_sentence(plan: Plan) -> str:
    """Return the advised dose in its units, or why there is none."""
    advised = plan.dose
    if plan.status == "no dose works":
        return f"No dose works: {advised.reason}."
    if advised.x.value is None:
        return f"No dose can be advised: {advised.reason}."
    words = [DOSE_WORDS[unit] for unit in plan.units]
    given = [own.given if plan.target.facts else own.said for own in words]
    known = [(advised.in_unit(unit), text, own.show) for unit, text, own in zip(plan.units, given, words, strict=True)]
    known.append((advised.tokens, "{} infused tokens", number))
    units = [words.format(_advised(dose, show)) for dose, words, show in known if dose.value is not None]
    most = "at most " if plan.in_facts else ""
    return f"Advised dose: {most}{', '.join(units)}."


def _advised(dose: Interval, show: Callable[[float], str]) -> str:
    """A dose with its interval; alone where it has none."""
    return show(dose.value or 0.0) if dose.low is None and dose.high is None else bracket(dose, show)


def alternative_lines(plan: Plan) -> list[str]:
    """What published rules say beside the law: the first in a few sentences, each other one in one; none if none."""
    lines: list[str] = []
    told: set[Kind] = set()
    for alternative in plan.alternatives:
        point = alternative.point
        kind = point.rule.kind
        if kind not in told:
            happens = _happens(point.law, plan.loss_unit)
            lines.append(f"By this study's law {happens} {_answer(point, point.law.share, point.law.exposures)}.")
        if told:
            lines.append(f"{_rule_gives(point)}.")
        else:
            what = f": at the advised dose {alternative.meaning}" if alternative.meaning else ""
            lines += [f"{_rule_gives(point)}{what}.", _distance(plan, point), _dose_by_rule(plan, alternative)]
        told.add(kind)
    return lines


def _happens(point: Prediction, unit: str) -> str:
    """What happens at a point, to be followed by a dose: "recall collapses beyond"."""
    kind, level = kind_named(point.kind), point.level
    if kind.change == "learned" and level == 0.5:
        return f"{outcome_of(point.kind).title} is half way up at"
    if kind.change == "risen" and level:
        return f"{outcome_of(point.kind).title} has risen by {level:g} {unit} at"
    if kind.change == "fallen" and level:
        return f"{outcome_of(point.kind).title} has fallen by {level:g} below the start at"
    return kind.sentence or f"the {kind.title} lies at"


def _rule_gives(point: Carried) -> str:
    name = point.rule.name
    return f"{name[0].upper()}{name[1:]} ({growth(point)}) gives {_answer(point, point.share, point.exposures)}"


HARDLY = 0.1  # orders of magnitude: two answers nearer than that are not worth telling apart


def _distance(plan: Plan, point: Carried) -> str:
    """How far the law and a rule lie apart, or that the law's interval holds both."""
    if not point.contradicts:
        if point.dex is not None and abs(point.dex) < HARDLY:
            return "The two hardly differ."
        return "The law's interval holds both; more token counts would tell them apart."
    apart = [f"the two differ by {abs(point.dex):.1f} orders of magnitude"] if point.dex is not None else []
    apart += ["no study has measured both regimes"] if _elsewhere(plan, point) else []
    what = "the dose" if kind_named(point.rule.kind).change == "learned" else "that point"
    sentence = f"{', and '.join(apart)}: treat {what} as uncertain" if apart else f"treat {what} as uncertain"
    return f"{sentence[0].upper()}{sentence[1:]}{' to that degree' if point.dex is not None else ''}."


def _dose_by_rule(plan: Plan, alternative: Alternative) -> str:
    """Which dose a rule would lead to, beside the advised one."""
    dose = alternative.dose
    if dose == plan.dose and dose.x.value is not None:
        return "By that rule the advised dose would be the same."
    lead, it = ("The advised dose stays the law's; by", "it") if plan.dose.x.value is not None else ("By", "the dose")
    would = f"{it} would be {_both_units(dose)}" if dose.x.value is not None else f"no dose would work: {dose.reason}"
    return f"{lead} that rule {would}."


def _answer(point: Carried, in_share: Interval, exposures: Interval) -> str:
    """A point in the unit of the rule, or in the one that is known."""
    if exposures.value is not None and (point.rule.measure == "exposures" or in_share.value is None):
        return f"{bracket(exposures, count)} exposures"
    if in_share.value is not None:
        return f"a share of {bracket(in_share, share)}"
    return "more than the training tokens have room for"


def growth(point: Carried) -> str:
    """How a rule moves a point on the way to its target: "exposures grow as tokens^0.93"."""
    rule, target = point.rule, (point.law.size, point.law.tokens)
    what = "exposures" if rule.measure == "exposures" else "the odds of the share"
    moved = [
        f"{'grow' if exponent > 0 else 'fall'} as {covariate}^{exponent:g}"
        for covariate, exponent, start, end in (
            ("tokens", rule.tokens, point.start[1], target[1]),
            ("size", rule.size, point.start[0], target[0]),
        )
        if exponent is not None and start != end
    ]
    return f"{what} {listed(moved)}"


def _elsewhere(plan: Plan, point: Carried) -> bool:
    """Whether a rule was measured outside the range that the law was fitted to, in a covariate that it moves."""
    rule, support = point.rule, plan.support
    covariates = (
        (support.sizes, rule.sizes, point.start[0] != point.law.size),
        (support.token_counts, rule.trained, point.start[1] != point.law.tokens),
    )
    return any(max(tried) < low or min(tried) > high for tried, (low, high), moves in covariates if moves)


def _constraint_sentence(plan: Plan) -> str:
    """What holds the dose back, and the largest dose that each constraint allows."""
    units = plan.units
    known = [c for c in plan.constraints if any(c.in_unit(unit) is not None for unit in units)]
    unit = next((each for each in units if all(c.in_unit(each) is not None for c in known)), units[-1])
    show, name = DOSE_WORDS[unit].show, "number of facts" if unit == "facts" else unit
    allowed = [f"{show(dose)} by {c.name}" for c in known if (dose := c.in_unit(unit)) is not None]
    binding = f"{limit_sentence(plan)} " if plan.dose.x.value is not None else ""
    return f"{binding}Largest {name} allowed: {listed(allowed)}." if allowed else ""


def limit_sentence(plan: Plan) -> str:
    """What holds the dose back."""
    lost = {kind.title: kind.beyond for kind in map(kind_named, plan.points) if kind.change in ("lost", "fallen")}
    if plan.binding == UNBOUND:
        return "No limit holds the dose back: more would not raise recall."
    if plan.binding == LOSS_LIMIT or any(plan.binding == answer.title for answer in plan.losses):
        most = f"{plan.target.tolerance:g} {plan.loss_unit}"
        return f"Limit: {plan.binding} would rise by more than {most} beyond this dose."
    if plan.binding.startswith(LOWEST):
        return f"Limit: {plan.binding.removeprefix(LOWEST)} would rise again beyond this dose."
    if plan.binding == ROOM_LIMIT:
        return "Limit: the training tokens have no room for a larger dose."
    if plan.binding == TRIED_LIMIT:
        return "Limit: no larger dose was seen without a collapse."
    return f"Limit: {lost.get(plan.binding) or plan.binding} beyond this dose."


def _outcome_sentence(plan: Plan) -> str:
    parts = [f"recall {bracket(plan.recall, '{:.2f}'.format)}"] if plan.recall.value is not None else []
    if plan.rise.value is not None and not any(answer.loss == GENERAL for answer in plan.losses):
        parts.append(f"validation loss up by {bracket(plan.rise, '{:.2g}'.format)} {plan.loss_unit}")
    return f"Expected there: {'; '.join(parts)}." if parts else ""


def _facts_sentence(plan: Plan) -> str:
    parts = []
    if plan.known.value is not None and (facts := plan.dose.facts.value or plan.target.facts):
        parts.append(f"{bracket(plan.known, plain_count)} of the {number(facts)} facts should be known")
    if plan.room.value is not None:
        parts.append(
            f"with as much infused text, beyond {bracket(plan.room, plain_count)} facts each is stated too rarely"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def remedy_sentences(plan: Plan) -> list[str]:
    """What would make a dose work, and what would not however much there were of it."""
    would = [_remedy(plan, remedy) for remedy in plan.remedies if remedy.value is not None]
    never = [remedy.change for remedy in plan.remedies if remedy.value is None]
    sentences = [f"A dose would work with {'; or '.join(would)}."] if would else []
    if never:
        lack = " or ".join(never)
        sentences.append(f"{lack[0].upper()}{lack[1:]} would not help, even {MOST_TIMES:,.0f} times as much.")
    return sentences


def _remedy(plan: Plan, remedy: Remedy) -> str:
    value, support = remedy.value or 0.0, plan.support
    if remedy.change == "fewer facts":
        return f"at most {plain_count(value)} fact{'s' if value > 1 else ''}"
    if remedy.change == "shorter renderings":
        return f"renderings of at most {count(value)} tokens"
    if remedy.change == "a higher tolerance":
        return f"a tolerance of {value:g} {plan.loss_unit}"
    what, tried = ("tokens", support.token_counts) if remedy.change == "more tokens" else ("parameters", support.sizes)
    beyond = f" ({count(value / max(tried))} times the largest tried)" if value > max(tried) else ""
    return f"{number(value)} {what}{beyond}"


def plain_count(value: float) -> str:
    """A count of facts, to three digits."""
    return f"{float(f'{value:.3g}'):,.0f}"


def _support_sentence(plan: Plan) -> str:
    support = plan.support
    sizes, token_counts = (
        " to ".join(dict.fromkeys(number(end) for end in (min(tried), max(tried))))
        for tried in (support.sizes, support.token_counts)
    )
    lies = support.flag or "the target lies within them"
    if max(support.token_counts) == UNSTATED:
        kept = "exposures of each fact" if plan.in_facts else "token count"
        return f"It rests on sizes of {sizes} and holds for the {kept} that these runs have: {lies}."
    return f"It rests on sizes of {sizes} and token counts of {token_counts}: {lies}."


def _both_units(point: Prediction | Dose) -> str:
    texts = [f"a share of {bracket(point.share, share)}"] if point.share.value is not None else []
    texts += [f"{bracket(point.exposures, count)} exposures"] if point.exposures.value is not None else []
    return f"{texts[0]} ({texts[1]})" if len(texts) == 2 else "".join(texts)
