"""Published rules: how a point moves with size and training tokens in models that others trained.

A law is fitted to small models. Far beyond them a published rule may say something else, and no data decide. So a plan
states both where they contradict each other, and Hubble's rule wherever the tokens lie far away. One answer is the
law's own prediction. The other is the law's point at the nearest fitted size and tokens, moved by the rule:

    log y(N, D) = log y(N1, D1) + a log(N / N1) + b log(D / D1)

y is the exposures or the odds of the share, N1 and D1 are N and D brought back into the fitted range, a and b are the
rule's exponents. A covariate that the rule does not mention moves as the law says. The exponents are taken to hold at
the law's own level of the point, for instance where recall leaves guessing instead of half recall.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from infusionlaw.errors import InputError
from infusionlaw.law.covariates import SAME
from infusionlaw.law.dose import Array, Interval, log_odds, share_of
from infusionlaw.law.planning.at_target import AtTarget, Target
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scaling.law import Law, Prediction
from infusionlaw.law.scores.cost import Cost
from infusionlaw.law.uncertainty import interval_of
from infusionlaw.runs.outcomes import kind_named

FAR_TIMES = 4.0  # times the fitted sizes or tokens: nearer than that the law speaks alone
Measure = Literal["exposures", "odds"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Rule:
    """A published rule for one kind of point: exponents of size and tokens, None where it does not mention one.

    measure: what the exponents are of. sizes, trained: the ranges of parameters and of training tokens it was measured
    in. level: what the point was there: of acquisition how far up recall is, of tolerance the rise of validation loss
    in the source's own unit. size_sd, tokens_sd: how uncertain the exponents are, 0 where nobody can say. always:
    whether it is stated wherever the tokens lie beyond FAR_TIMES times those fitted, also where the law agrees.
    """

    name: str
    source: str
    kind: Kind
    measure: Measure
    size: float | None
    tokens: float | None
    sizes: Range
    trained: Range
    level: float | None = None
    size_sd: float = 0.0
    tokens_sd: float = 0.0
    always: bool = False

    def __post_init__(self) -> None:
        """Refuse a measure in which the kind of point does not carry over to other facts."""
        wanted = {"learned": "exposures", "risen": "odds"}.get(kind_named(self.kind).change, self.measure)
        if self.measure != wanted:
            raise InputError(f"{self.name}: a rule of {self.kind} must be one of {wanted}, not of {self.measure}")


HUBBLE = Rule(
    "Hubble's rule",
    "arXiv 2510.19811; medians over 11 tasks, computed from its tables; the deviations are those between tasks",
    "acquisition",
    "exposures",
    size=-0.73,
    tokens=0.93,
    sizes=(1e9, 8e9),
    trained=(1e11, 5e11),
    level=0.5,
    size_sd=0.13,  # quartiles -.81 and -.63
    tokens_sd=0.32,  # quartiles .82 and 1.25
    always=True,
)
BORDT = Rule(
    "Bordt's rule",
    "arXiv 2410.03249, which gives no exponents; these are read by hand from its tables of accuracy",
    "acquisition",
    "exposures",
    size=-0.84,
    tokens=0.44,
    sizes=(1.24e8, 1.558e9),
    trained=(2.5e9, 3.75e10),
    level=0.5,
)
# A line through the log odds of .2976, .3489, .4143 and .4783 at 460M, 940M, 1.6B and 3.1B. Odds, because a power of
# the share itself would pass 1. The paper's curves in tokens are no power of them, so tokens are left out.
CMR = Rule(
    "the CMR rule",
    "arXiv 2407.17467, tolerated shares in continued pre-training at 20B tokens; the exponent is fitted here",
    "tolerance",
    "odds",
    size=0.413,
    tokens=None,
    sizes=(4.6e8, 3.1e9),
    trained=(2e10, 2e10),
    level=0.05,
    size_sd=0.024,
)
RULES: tuple[Rule, ...] = (HUBBLE, BORDT, CMR)


@dataclass(frozen=True)
class Carried:
    """A law's point moved to a target by a rule, beside the law's own prediction there.

    start: the size and tokens it was moved from; dex: log10 of the rule's value over the law's, in the rule's measure,
    None where one of them has no value; contradicts: whether the rule's value lies outside the law's 90 % interval.
    Exposures are given even where the training tokens have no room for them; x and share then are None.
    """

    rule: Rule
    start: tuple[float, float]
    law: Prediction
    x: Interval
    share: Interval
    exposures: Interval
    dex: float | None
    contradicts: bool


def other_answers(
    law: Law, size: float, tokens: float, facts: float | None = None, rules: Sequence[Rule] = RULES
) -> tuple[Carried, ...]:
    """Return what published rules say at a target beyond FAR_TIMES times the fitted range; nothing nearer than that.

    A rule is listed where it contradicts the law. One that is `always` stated comes first, and is also listed where the
    law's interval holds it, if the tokens lie that far away.
    """
    return answers_at(AtTarget(law, Target(size, tokens, facts, law.tokens_per_fact, 0.05, None)), rules)


def answers_at(at: AtTarget, rules: Sequence[Rule] = RULES) -> tuple[Carried, ...]:
    """Return what `other_answers` does, of a law at its target."""
    target = at.target
    far_tokens = beyond(target.tokens, at.law.token_counts) > FAR_TIMES * SAME
    found = (carried(at, rule) for rule in rules if far(at.law, rule, target.size, target.tokens))
    listed = (each for each in found if each and (each.contradicts or (each.rule.always and far_tokens)))
    return tuple(sorted(listed, key=lambda each: not each.rule.always))


def far(law: Law, rule: Rule, size: float, tokens: float) -> bool:
    """Whether a covariate that the rule mentions lies more than FAR_TIMES times beyond its fitted range."""
    by_size = beyond(size, law.sizes) if rule.size is not None else 1.0
    by_tokens = beyond(tokens, law.token_counts) if rule.tokens is not None else 1.0
    return max(by_size, by_tokens) > FAR_TIMES * SAME


def beyond(value: float, tried: Sequence[float]) -> float:
    """The factor by which a value lies beyond the range tried; 1 inside it (and within 1 % of its ends)."""
    factor = max(value / max(tried), min(tried) / value, 1.0)
    return factor if factor > SAME else 1.0


def carried(at: AtTarget, rule: Rule) -> Carried | None:
    """Return a law's point moved to a target by a rule; None where the law has no such point or lacks the share."""
    law, target = at.law, at.target
    if not law.of(rule.kind).forms or not _applies(law, rule):
        return None
    ruled = ruled_at(at, rule)
    point, own = ruled.prediction(rule.kind), at.prediction(rule.kind)
    exposures, dex = point.exposures, None
    if rule.measure == "exposures":
        moved = interval_of(under_rule(law, rule).log_dose(target.size, target.tokens, target.facts)[0])
        per_share = at.scale.per_share if law.unit == "share" else 1.0
        exposures = moved.map(lambda end: 10.0**end * per_share) if per_share else Interval()
        if moved.value is not None and own.x.value is not None:
            dex = moved.value - (own.x.value if law.unit == "exposures" else float(np.log10(share_of(own.x.value))))
    elif point.x.value is not None and own.x.value is not None:
        dex = point.x.value - own.x.value
    size = float(_start(target.size, law.sizes, rule.size))
    tokens = float(_start(target.tokens, law.token_counts, rule.tokens))
    outside = _outside(ruled.points(rule.kind), at.points(rule.kind))
    return Carried(rule, (size, tokens), own, point.x, point.share, exposures, dex, outside)


def _outside(rule: Array, law: Array) -> bool:
    """Whether the rule's median lies outside the law's 90 % interval; draws may hold inf, which equals inf."""
    low, high = np.quantile(law, [0.05, 0.95], method="inverted_cdf")
    return not low <= np.quantile(rule, 0.5, method="inverted_cdf") <= high


def _applies(law: Law, rule: Rule) -> bool:
    return law.unit == "share" or (rule.measure == "exposures" and law.unit == "exposures")


def _start(value: ArrayLike, tried: Sequence[float], exponent: float | None) -> Array:
    """A size or tokens brought back into the fitted range, where the rule mentions it."""
    value = np.asarray(value, dtype=float)
    start = np.clip(value, min(tried) / SAME, max(tried) * SAME)
    return value if exponent is None else np.where(start == value, value, np.clip(value, min(tried), max(tried)))


def under_rule(law: Law, rule: Rule) -> "LawUnderRule":
    """Return the law as it is under a rule. A rule of tolerance also moves what a dose costs."""
    parts = {part.name: getattr(law, part.name) for part in fields(Law)}
    if kind_named(rule.kind).change == "risen" and law.cost and _applies(law, rule):
        cost = {part.name: getattr(law.cost, part.name) for part in fields(Cost)}
        parts["cost"] = _CostUnderRule(**cost, sizes=law.sizes, token_counts=law.token_counts, rule=rule)
    return LawUnderRule(**parts, rule=rule)


def ruled_at(at: AtTarget, rule: Rule) -> AtTarget:
    """Return what the law says at its target under a rule, made once for each rule."""
    if rule not in at.under:
        at.under[rule] = AtTarget(under_rule(at.law, rule), at.target, at)
    return at.under[rule]


@dataclass(frozen=True, repr=False)
class LawUnderRule(Law):
    """A law whose points of one kind move by a rule outside the fitted range. What takes a law takes this too."""

    rule: Rule = field(kw_only=True)

    def moves(self, kind: Kind) -> bool:
        """Whether the rule moves this kind of point."""
        return kind == self.rule.kind and _applies(self, self.rule)

    def draws_at(
        self,
        kind: Kind,
        size: ArrayLike,
        tokens: ArrayLike,
        facts: float | None = None,
        tokens_per_fact: float | None = None,
    ) -> Array:
        """Predictive draws of x as `Law.draws_at`; of the rule's kind they include how uncertain its exponents are."""
        if not self.moves(kind):
            return super().draws_at(kind, size, tokens, facts, tokens_per_fact)
        if self.rule.measure == "odds":
            size, tokens = np.broadcast_arrays(size, tokens)
            start = self._start(size, tokens)
            x = super().draws_at(kind, *start, facts, tokens_per_fact)
            return x + _moves(self.rule, size, tokens, *start, x.shape[1])
        log_dose = self.log_dose(size, tokens, facts, tokens_per_fact)
        if self.unit == "exposures":
            return log_dose
        inside = log_odds(np.minimum(10.0**log_dose, 1 - 1e-12))
        return np.where(log_dose < 0, inside, np.inf)

    def log_dose(
        self, size: ArrayLike, tokens: ArrayLike, facts: float | None = None, tokens_per_fact: float | None = None
    ) -> Array:
        """Draws of log10 of the share, or of the exposures in a law of them, by a rule of exposures.

        A share may pass 1: the training tokens then have no room for the exposures.
        """
        size, tokens = np.broadcast_arrays(size, tokens)
        (size1, tokens1), kind, law = self._start(size, tokens), self.rule.kind, self.of(self.rule.kind)
        # Acquisition carries over to other facts in exposures, which must not be cut off at the room there is at D1.
        alone = kind_named(kind).change == "learned"
        given = facts if "facts" in law.varied or not alone else None
        x = super().draws_at(kind, size1, tokens1, given, None if alone else tokens_per_fact)
        move = _moves(self.rule, size, tokens, size1, tokens1, x.shape[1])
        if self.unit == "exposures":
            return x + move
        pairs = ((facts if given is None else None, law.facts), (tokens_per_fact, self.tokens_per_fact))
        more = sum(np.log10(wanted / own) for wanted, own in pairs if wanted and own) if alone else 0.0
        room = np.atleast_1d(np.log10(tokens / tokens1))[:, None]
        return np.asarray(np.log10(share_of(x)) + move - room + more)

    def _start(self, size: ArrayLike, tokens: ArrayLike) -> tuple[Array, Array]:
        return _start(size, self.sizes, self.rule.size), _start(tokens, self.token_counts, self.rule.tokens)


def _moves(rule: Rule, size: Array, tokens: Array, size1: Array, tokens1: Array, draws: int) -> Array:
    """How far a rule moves log y from (size1, tokens1) to (size, tokens): draws (n, draws), its exponents uncertain."""
    by_size, by_tokens = (np.atleast_1d(np.log10(a / b)) for a, b in ((size, size1), (tokens, tokens1)))
    middle = (rule.size or 0.0) * by_size + (rule.tokens or 0.0) * by_tokens
    sd = np.hypot(rule.size_sd * by_size, rule.tokens_sd * by_tokens)
    even = ndtri((np.arange(draws) + 0.5) / draws)
    return np.asarray(middle[:, None] + sd[:, None] * np.random.default_rng(11).permutation(even))


@dataclass(frozen=True)
class _CostUnderRule(Cost):
    """What a dose costs under a rule of tolerance: the cost at the nearest fitted size, at a dose moved back."""

    sizes: tuple[float, ...] = field(kw_only=True)
    token_counts: tuple[float, ...] = field(kw_only=True)
    rule: Rule = field(kw_only=True)

    def rise(self, size: float, tokens: float, x: ArrayLike) -> Array:
        """Draws of the rise as `Cost.rise`."""
        size1, tokens1, move = self._from(size, tokens)
        return super().rise(size1, tokens1, np.asarray(x, dtype=float) - move)

    def dose_of(self, rise: float, size: float, tokens: float) -> Array:
        """Draws of x as `Cost.dose_of`."""
        size1, tokens1, move = self._from(size, tokens)
        return super().dose_of(rise, size1, tokens1) + move

    def _from(self, size: float, tokens: float) -> tuple[float, float, float]:
        rule = self.rule
        size1 = float(_start(size, self.sizes, rule.size))
        tokens1 = float(_start(tokens, self.token_counts, rule.tokens))
        at = np.array(size), np.array(tokens), np.array(size1), np.array(tokens1)
        return size1, tokens1, float(_moves(rule, *at, 1)[0, 0])
