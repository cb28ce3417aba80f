"""From a law and a target to a plan: the dose to give a large model, what it buys, what it costs, what it rests on.

The advised dose is the one of highest expected recall among those allowed (`best`): a risk of lying beyond the
collapse of recall and of retention, and an expected rise of validation loss. Where no allowed dose lies beyond
acquisition, the plan says what would have to change (`remedies`).

Acquisition carries over to another number of facts in exposures, the rest in share, and a plan beyond FARTHEST_TIMES
times the sizes and token counts tried is given only to those who ask for it.

Far from the runs a plan also states what published rules say (`rules`): of acquisition wherever the tokens lie far
away, of the rest where a rule contradicts the law. The advised dose stays that of the law: a rule says how one point
moves, and only a law has all the points that a dose is held against.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infusionlaw.errors import InputError
from infusionlaw.files import read_typed, write_typed
from infusionlaw.law.covariates import SAME
from infusionlaw.law.dose import LEVEL, SAID_IN, Interval, share_of
from infusionlaw.law.losses.law import LossAnswer
from infusionlaw.law.losses.measured import BITS, GENERAL
from infusionlaw.law.numbers import DOSE_WORDS, bracket, dose, number, stated
from infusionlaw.law.planning.at_target import AtTarget, Target
from infusionlaw.law.planning.best import Advice, advise
from infusionlaw.law.planning.forecast import Forecast, forecasts, recall_at
from infusionlaw.law.planning.limits import LOSS_LIMIT, TRIED_LIMIT, Limit, limiting, of_losses_alone
from infusionlaw.law.planning.remedies import Remedy, remedies, room
from infusionlaw.law.planning.rules import RULES, Carried, LawUnderRule, Rule, answers_at, beyond, ruled_at
from infusionlaw.law.plot import by_dose
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scaling.law import Law, Prediction
from infusionlaw.law.uncertainty import expected, interval_of
from infusionlaw.recognise import refuse_others
from infusionlaw.runs.frames import frame_of
from infusionlaw.runs.outcomes import ACQUISITION, COLLAPSE, PointKind, kind_named, outcome_named
from infusionlaw.runs.record import UNSTATED, DoseUnit

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

FARTHEST_TIMES = 30.0
CARRIED = (
    "the study had another number of facts; acquisition is assumed to stay at the same exposures, all else at the "
    "same share"
)
UNBOUND = "none: highest expected recall"


@dataclass(frozen=True)
class Dose:
    """The advised dose, 90 % intervals in x, share, exposures and infused tokens; None with a reason.

    facts: the dose where it is their number.
    """

    x: Interval
    share: Interval
    exposures: Interval
    tokens: Interval
    reason: str = ""
    facts: Interval = field(default_factory=Interval)

    def in_unit(self, unit: DoseUnit) -> Interval:
        """The dose in a unit; all None where that is not known."""
        found: Interval = getattr(self, unit)
        return found


@dataclass(frozen=True)
class Constraint:
    """The largest dose that one constraint allows; None with the reason why it is not checked."""

    name: str
    share: float | None
    exposures: float | None
    reason: str = ""
    facts: float | None = None

    def in_unit(self, unit: DoseUnit) -> float | None:
        """The dose in a unit; None where that is not known."""
        found: float | None = getattr(self, unit)
        return found


@dataclass(frozen=True)
class Support:
    """What a plan rests on, and how far beyond it the target lies (factors, 1 inside the range tried)."""

    sizes: tuple[float, ...]
    token_counts: tuple[float, ...]
    size_factor: float
    tokens_factor: float
    flag: str

    @property
    def inside(self) -> bool:
        """Whether the target lies inside the range of sizes and token counts tried."""
        return self.size_factor == 1 and self.tokens_factor == 1


@dataclass(frozen=True)
class Alternative:
    """What a published rule says at a target far from the runs.

    point: where the point lies by the rule, beside the law's own prediction; meaning: what follows at the law's advised
    dose, "" where there is none; recall: expected there, where the rule is one of acquisition or of the collapse of
    recall; dose: what would be advised under the rule, None with a reason.
    """

    point: Carried
    meaning: str
    recall: Interval
    dose: Dose


@dataclass(frozen=True)
class Plan:
    """The plan for one target. status: `ok`, `outside support`, `no dose works`, `no law`, or `no limit` where a
    table of losses alone is asked without a tolerance; notes say why.

    target: with the risk and the tolerance asked for; points: where each kind of point lies; binding: the constraint
    that holds the dose back; at the advised dose, recall: expected; rise: of validation loss; known: how many of the
    facts; room: for how many as much infused text is enough to begin to teach them. forecast: what to expect at no
    dose, at a quarter of the dose, at it and at four times it. remedies: what would make a dose work. alternatives:
    what published rules say beside the law. losses: what the laws of losses say; loss_unit: that of every loss here.
    """

    status: str
    notes: tuple[str, ...]
    target: Target
    points: dict[Kind, Prediction]
    dose: Dose
    binding: str
    constraints: tuple[Constraint, ...]
    recall: Interval
    rise: Interval
    known: Interval
    room: Interval
    forecast: tuple[Forecast, ...]
    remedies: tuple[Remedy, ...]
    support: Support
    alternatives: tuple[Alternative, ...] = ()
    losses: tuple[LossAnswer, ...] = ()
    loss_unit: str = BITS

    @property
    def in_facts(self) -> bool:
        """Whether the number of facts is the dose."""
        known = [
            self.dose.facts.value,
            *(p.facts.value for p in self.points.values()),
            *(c.facts for c in self.constraints),
        ]
        return any(facts is not None for facts in known)

    @property
    def units(self) -> tuple[DoseUnit, ...]:
        """The units that its doses are said in."""
        return SAID_IN["facts" if self.in_facts else "share"]

    @classmethod
    def load(cls, path: str | Path) -> "Plan":
        """Read plan.json; InputError when it is none."""
        return read_plan(path)

    def save(self, path: str | Path) -> None:
        """Write plan.json."""
        write_plan(path, self)

    def to_frame(self) -> "DataFrame":
        """Return a pandas data frame with one row a quantity of the plan, with its 90 % interval.

        Every row names the target and the status, so that the frames of several plans can be put together.
        """
        target = self.target
        own = {"size": target.size, "tokens": target.tokens, "facts": target.facts, "status": self.status}
        return frame_of(COLUMNS, ({**own, "quantity": name, **x.as_dict()} for name, x in self._quantities()))

    def _quantities(self) -> Iterator[tuple[str, Interval]]:
        """What is known of the target, each under its name."""
        units = self.units
        yield from ((f"advised {unit}", self.dose.in_unit(unit)) for unit in units)
        yield "infused tokens", self.dose.tokens
        for name in ("recall", "rise", "known", "room"):
            yield _MEANS[name], getattr(self, name)
        for kind, point in self.points.items():
            yield from ((f"{kind}, {unit}", point.in_unit(unit)) for unit in units)
        for limit in self.constraints:
            yield from ((f"largest {unit} by {limit.name}", Interval(limit.in_unit(unit))) for unit in units)

    def plot(self) -> "Figure":
        """Draw the advised dose and the points with their 90 % intervals, and the scores expected at some doses.

        These doses are those of `forecast`. Returns a matplotlib figure. InputError where no dose is known.
        """
        unit = next((u for u in self.units if any(p.in_unit(u).value for p in self.points.values())), self.units[-1])
        marks = {kind_named(kind).title: point.in_unit(unit) for kind, point in self.points.items()}
        doses = [(forecast.in_unit(unit), forecast) for forecast in self.forecast]
        scores = {
            name: [(dose, x) for dose, forecast in doses if dose and (x := forecast.scores[name]).value]
            for name in (self.forecast[0].scores if self.forecast else ())
            if outcome_named(name).scale == "proportion"
        }
        return by_dose({"advised dose": self.dose.in_unit(unit), **marks}, scores, unit)

    def __repr__(self) -> str:
        target, advised = self.target, self.dose
        lines = [f"<Plan for {number(target.size)} parameters{stated(target.tokens, ', {} tokens')}: {self.status}"]
        known = next((u for u in self.units if advised.in_unit(u).value is not None), None)
        lines.append(f" advised: {dose(advised.in_unit(known), known)}" if known else f" no dose: {advised.reason}")
        lines += [f" limit: {self.binding}"] if self.binding else []
        lines += [f" expected recall: {bracket(self.recall, '{:.2f}'.format)}"] if self.recall.value is not None else []
        for kind, point in self.points.items():
            unit = next((u for u in self.units if point.in_unit(u).value is not None), self.units[-1])
            lines += [f" {kind}: {dose(point.in_unit(unit), unit)}"] if point.x.value is not None else []
        return "\n".join(lines) + ">"


COLUMNS = ("size", "tokens", "facts", "status", "quantity", "value", "low", "high")
_MEANS = {"recall": "recall", "rise": "rise of validation loss", "known": "facts known", "room": "facts with room"}


def predict(
    law: Law,
    size: float,
    tokens: float | None = None,
    facts: float | None = None,
    *,
    risk: float = 0.05,
    tolerance: float | None = 0.05,
    extrapolate: bool = False,
    rules: Sequence[Rule] = RULES,
) -> Plan:
    """The plan for a model of `size` parameters, `tokens` of training and `facts` (default: as many as in the study).

    A law of runs whose token count nobody states takes no tokens: the plan holds for those of the runs.
    risk: the most that the dose may be likely to lie beyond a collapse; tolerance: the most that validation loss may be
    expected to rise, in the law's unit, None for any rise; rules: published rules to hold the law against.
    Raises InputError for a target or a bound that cannot be, and past FARTHEST_TIMES times the sizes or token counts
    tried unless `extrapolate`.
    """
    tokens = _tokens(law, tokens)
    target = _target(law, size, tokens, facts, risk, tolerance)
    support = _support(law, size, tokens)
    if not extrapolate and max(support.size_factor, support.tokens_factor) > FARTHEST_TIMES:
        raise InputError(
            f"too far to predict: {support.flag} ({_range('sizes', law.sizes)}, "
            f"{_range('token counts', law.token_counts)}); to go beyond {FARTHEST_TIMES:g} times, add --extrapolate "
            "(in Python extrapolate=True)"
        )
    at = AtTarget(law, target)
    advice = advise(at)
    recall, x = advice.recall, advice.x.value
    losses = tuple(loss.answer(target.tolerance, size, tokens, _advised_share(at, x)) for loss in law.losses)
    inside = support.inside and all(answer.inside for answer in losses if answer.change.value is not None)
    status = "outside support" if advice.status == "ok" and not inside else advice.status
    plan = Plan(
        status=status,
        notes=(),
        target=target,
        points={kind: at.prediction(kind) for kind in law.kind_names},
        dose=_dose(at, advice),
        binding=advice.binding or (UNBOUND if x is not None else ""),
        constraints=tuple(_constraint(at, limit) for limit in advice.limits),
        recall=recall,
        rise=Interval() if x is None else _rise(at, x),
        known=_known(at, recall, x),
        room=Interval() if x is None else room(at, x),
        forecast=forecasts(at, x),
        remedies=remedies(at) if status == "no dose works" and law.of(ACQUISITION.name).forms else (),
        support=support,
        alternatives=_alternatives(at, x, rules),
        losses=losses,
        loss_unit=law.loss_unit,
    )
    return replace(plan, notes=_notes(law, plan))


def _tokens(law: Law, tokens: float | None) -> float:
    """The target's token count: that of the runs where nobody states it."""
    unstated = law.token_counts == (UNSTATED,)
    if tokens is None and not unstated:
        raise InputError("the target's training tokens are missing; give them with --tokens")
    if tokens is not None and unstated and tokens != UNSTATED:
        raise InputError(
            "the law is of runs whose token count is not a covariate, so it holds for theirs alone; leave --tokens out"
        )
    return UNSTATED if tokens is None else tokens


def _target(law: Law, size: float, tokens: float, facts: float | None, risk: float, tolerance: float | None) -> Target:
    least = None if tolerance == 0 and any(loss.since == "the start" for loss in law.losses) else tolerance
    for name, value in (("size", size), ("tokens", tokens), ("facts", facts), ("tolerance", least)):
        if value is not None and not 0 < value < float("inf"):
            start = " (0 needs the loss of a start, such as start_val_bpb)" if (name, value) == ("tolerance", 0) else ""
            raise InputError(f"the target's {name} is {value:g}, which must be a number above 0{start}")
    if not 0 < risk < 1:
        raise InputError(f"the risk is {risk:g}, which must be a probability between 0 and 1")
    if facts is not None and law.unit == "facts":
        raise InputError("the law says how many facts a model can be given, so it takes no number; leave --facts out")
    varied = any("facts" in kind.varied for kind in law.kinds)
    if facts is None and varied:
        raise InputError("the study varied the number of facts, so a plan needs one; give the target's with --facts")
    if facts is not None and facts < 1:
        raise InputError(f"the target's facts are {facts:g}, which must be at least 1")
    unknown = law.facts is None and all(kind.facts is None for kind in law.kinds)
    if facts is not None and not varied and unknown:
        raise InputError(
            f"the table of this law does not say how many facts it infused, so it cannot be asked for {facts:g}; add "
            "the columns facts and tokens_per_fact and fit again, or leave --facts out for as many as were infused"
        )
    return Target(size, tokens, facts if facts is not None else law.facts, law.tokens_per_fact, risk, tolerance)


def _dose(at: AtTarget, advice: Advice) -> Dose:
    x, scale = advice.x, at.scale
    reasons = {
        "ok": "",
        "no dose works": _no_dose(at, advice),
        "no law": _no_law(at, advice),
        "no limit": "any rise of a loss is allowed, and nothing else holds the dose back; give a tolerance",
    }
    share, reason = scale.share(x), reasons[advice.status]
    infused = share.map(lambda end: end * at.target.tokens) if at.target.tokens != UNSTATED else Interval()
    return Dose(x, share, scale.exposures(x), infused, reason, scale.facts(x))


def _no_dose(at: AtTarget, advice: Advice) -> str:
    """Why no dose works."""
    if not at.law.of(ACQUISITION.name).forms:
        return f"{advice.binding} is beyond the tolerance at every share"
    return f"{_allowed(advice.binding)} lies below acquisition"


def _no_law(at: AtTarget, advice: Advice) -> str:
    """Why no dose can be advised."""
    if of_losses_alone(at.law):
        names = (LOSS_LIMIT, *(loss.title for loss in at.law.losses))
        reasons = (limit.reason for limit in advice.limits if limit.name in names and limit.reason)
        return next(reasons, "no loss of the table rises with the dose")
    return f"neither collapse of recall nor acquisition has a law: {at.law.of(COLLAPSE.name).reason}"


def _advised_share(at: AtTarget, x: float | None) -> float | None:
    return None if x is None else at.scale.share(Interval(x)).value


def _allowed(binding: str) -> str:
    return f"the {TRIED_LIMIT}" if binding == TRIED_LIMIT else f"the largest dose that {binding} allows"


def _constraint(at: AtTarget, limit: Limit) -> Constraint:
    x = Interval(None if limit.reason else limit.x)
    scale = at.scale
    return Constraint(
        limit.name, scale.share(x).value, scale.exposures(x).value, limit.reason, facts=scale.facts(x).value
    )


def _rise(at: AtTarget, x: float) -> Interval:
    """Expected rise of validation loss at a dose, with its 90 % interval; all None where it was not measured."""
    cost, target = at.law.cost, at.target
    if general := next(
        (loss for loss in limiting(at.law) if loss.loss == GENERAL and loss.surfaces and loss.since), None
    ):
        return interval_of(general.change(target.size, target.tokens, share_of(x))[:, 0])
    return expected(cost.rise(target.size, target.tokens, at.text_of(x))[:, 0]) if cost else Interval()


def _known(at: AtTarget, recall: Interval, x: float | None) -> Interval:
    """How many of the facts are known beyond guessing at a recall; they may be what the dose x counts."""
    facts = at.target.facts if x is None else at.scale.facts(Interval(x)).value or at.target.facts
    if facts is None or at.recall is None:
        return Interval()
    guessing = at.recall.guessing
    return recall.map(lambda end: facts * max(end - guessing, 0.0) / (1 - guessing))


def _alternatives(at: AtTarget, x: float | None, rules: Sequence[Rule]) -> tuple[Alternative, ...]:
    """What published rules say of a target beside the law, and of its advised dose x."""
    if isinstance(at.law, LawUnderRule):  # it is one of the two answers already
        return ()
    found = []
    for point in answers_at(at, rules):
        ruled, kind = ruled_at(at, point.rule), kind_named(point.rule.kind)
        meaning, recall = "", Interval()
        if x is not None:
            meaning = kind.beyond if _is_beyond(ruled, kind, x) else kind.below
            recall = recall_at(ruled, x) if kind in (ACQUISITION, COLLAPSE) else recall
        found.append(Alternative(point, meaning, recall, _dose(ruled, advise(ruled))))
    return tuple(found)


def _is_beyond(ruled: AtTarget, kind: PointKind, x: float) -> bool:
    """Whether a dose lies beyond the point of a rule's kind: the median, or the expected rise of validation loss."""
    if kind.change == "risen" and ruled.law.cost and ruled.target.tolerance is not None:
        return (_rise(ruled, x).value or 0.0) > ruled.target.tolerance
    return x >= float(np.median(ruled.draws(kind.name)))


def _notes(law: Law, plan: Plan) -> tuple[str, ...]:
    fitted = plan.points[COLLAPSE.name if plan.points[COLLAPSE.name].x.value is not None else ACQUISITION.name]
    doubts = law.of(fitted.kind).notes  # a flag each, but they do not name their law
    notes = [
        *(note for loss in law.losses for note in loss.notes),
        *_doubts(law, plan),
        *(flag for flag in fitted.flags if flag not in doubts),
    ]
    if plan.dose.x.value is not None:
        notes.append(_outside_doses(law, plan))
    if plan.dose.x.value is not None and not of_losses_alone(law) and law.unit != "facts":
        notes += [_no_recall(law, plan), _unknown_exposures(law, plan)]
    if plan.status == "no dose works":
        notes += [
            f"what {change} would do is not known, because only one {word} was tried"
            for name, change, word in (("tokens", "more tokens", "token count"), ("size", "a larger model", "size"))
            if name not in law.of(ACQUISITION.name).varied
        ]
    if law.facts is not None and plan.target.facts != law.facts:
        notes.append(CARRIED)
    notes += [
        _two_tolerances(plan, point) for point in plan.points.values() if kind_named(point.kind).change == "risen"
    ]
    return tuple(note for note in dict.fromkeys(notes) if note)


def _doubts(law: Law, plan: Plan) -> list[str]:
    """What makes the laws that a plan rests on doubtful, each with the law's name."""
    predicted = [kind for kind, point in plan.points.items() if point.x.value is not None]
    return [f"in the law of {kind}, {note[0].lower()}{note[1:]}" for kind in predicted for note in law.of(kind).notes]


def _two_tolerances(plan: Plan, point: Prediction) -> str:
    """Why the dose that a tolerance allows is not the tolerance point; "" where only one of them is known."""
    most, limit = plan.target.tolerance, next((c for c in plan.constraints if c.name == LOSS_LIMIT), None)
    if most is None or limit is None or limit.reason or point.x.value is None:
        return ""
    if point.level not in (None, most):
        return (
            f"the {point.kind} point is where validation loss has risen by {point.level:g} {plan.loss_unit}, as the "
            f"law was fitted; the limit is where it has risen by {most:g}"
        )
    in_share = limit.share is not None and point.share.value is not None
    unit: DoseUnit = "facts" if plan.in_facts else "share" if in_share else "exposures"
    words = DOSE_WORDS[unit]
    ends = (limit.in_unit(unit), point.in_unit(unit).value)
    allowed, found = ("" if end is None else words.show(end) for end in ends)
    if not (allowed and found) or allowed == found:
        return ""
    return (
        f"validation loss allows {words.said.format(allowed)}, and its {point.kind} point is {found}: "
        "the limit is from a fit to the loss of every run, the point from a fit to the points of single curves; "
        "the dose follows the limit"
    )


def _outside_doses(law: Law, plan: Plan) -> str:
    """That the advised dose lies below or above all that were tried; "" where it does not."""
    advised = plan.dose.in_unit(law.unit).value
    low, high = law.doses
    if advised is None or low / SAME <= advised <= high * SAME:
        return ""
    show = DOSE_WORDS[law.unit].show
    where, end = ("below the smallest", low) if advised < low else ("above the largest", high)
    return f"the advised dose lies {where} dose tried ({show(end)}), where no run has been"


def _no_recall(law: Law, plan: Plan) -> str:
    if "recall" in law.changes:
        return ""
    if not law.of(ACQUISITION.name).forms:
        return f"whether recall leaves guessing at the dose is not known: {plan.points[ACQUISITION.name].reason}"
    return (
        "" if COLLAPSE.name in law.plateaus else "how high recall gets is not known: the law has no plateau of recall"
    )


def _unknown_exposures(law: Law, plan: Plan) -> str:
    if plan.dose.exposures.value is not None and plan.dose.share.value is not None:
        return ""
    known = (("facts", plan.target.facts), ("tokens_per_fact", law.tokens_per_fact))
    if law.unit == "share" and not any(value for _, value in known):
        return ""  # nobody counts facts
    other = "exposures are" if law.unit == "share" else "the share is"
    return f"{other} unknown, because {' and '.join(name for name, value in known if not value)} are not given"


def _support(law: Law, size: float, tokens: float) -> Support:
    by_size, by_tokens = beyond(size, law.sizes), beyond(tokens, law.token_counts)
    parts = [
        f"{name} is {_plain(target / max(tried))} times the largest tried"
        if target > max(tried)
        else f"{name} is {_plain(min(tried) / target)} times below the smallest tried"
        for name, factor, target, tried in (
            ("size", by_size, size, law.sizes),
            ("token count", by_tokens, tokens, law.token_counts),
        )
        if factor > 1
    ]
    flag = f"the target's {' and its '.join(parts)}" if parts else ""
    return Support(law.sizes, law.token_counts, by_size, by_tokens, flag)


def _range(name: str, tried: Sequence[float]) -> str:
    ends = dict.fromkeys(_plain(end) for end in (min(tried), max(tried)))
    return f"{name} tried: {' to '.join(ends)}"


def _plain(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.10g}"


def write_plan(path: str | Path, plan: Plan) -> None:
    """Write plan.json atomically. Unknown numbers are null, with the reason beside them."""
    write_typed(path, plan, Plan, "plan", level=LEVEL)


def read_plan(path: str | Path) -> Plan:
    """Read plan.json. Raises InputError when it is not one that we wrote."""
    try:
        return read_typed(path, Plan, "a plan", "make it again from its law", "plan")
    except InputError:
        refuse_others(path, "plan")
        raise
