"""From a law and a target to a plan: the dose to give a large model, how sure that is, and what it rests on.

The advised dose is the largest with at most a 5 % probability of lying beyond the collapse of recall: the 5 % quantile
c05 of the predictive distribution of the collapse point. What the same rule would advise were the study repeated varies
as the collapse point does, so its interval in x is [c05 - (c50 - c05), c05 + (c95 - c50)].

The share is taken as the unit that carries over from one number of facts to another: a plan for other facts keeps the
share, and the exposures of each fact follow from k = share * D / (S * tokens_per_fact).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.files import write_json
from infusionlaw.law.dose import LEVEL, Interval
from infusionlaw.law.fit import Law, Prediction

VERSION = 1
INVARIANT = "the share is taken as the unit that carries over to another number of facts"


@dataclass(frozen=True)
class Dose:
    """The advised dose, 90 % intervals in x, share, exposures and infused tokens; None with a reason."""

    x: Interval
    share: Interval
    exposures: Interval
    tokens: Interval
    reason: str = ""


@dataclass(frozen=True)
class Support:
    """What a plan rests on, and how far beyond it the target lies (factors, 1 inside the range tried)."""

    sizes: tuple[float, ...]
    budgets: tuple[float, ...]
    size_factor: float
    tokens_factor: float
    flag: str

    @property
    def inside(self) -> bool:
        """Whether the target lies inside the range of sizes and budgets tried."""
        return self.size_factor == 1 and self.tokens_factor == 1


@dataclass(frozen=True)
class Plan:
    """The plan for one target. status: `ok`, `outside support`, `no safe dose` or `no law`; notes say why."""

    status: str
    notes: tuple[str, ...]
    size: float
    tokens: float
    facts: float | None
    collapse: Prediction
    acquisition: Prediction
    retention: Prediction
    tolerance: Prediction
    dose: Dose
    support: Support


def predict(law: Law, size: float, tokens: float, facts: float | None = None) -> Plan:
    """The plan for a model of `size` parameters, `tokens` of training and `facts` (default: as many as in the study).

    InputError for a target that is not positive.
    """
    for name, value in (("size", size), ("tokens", tokens), ("facts", 1.0 if facts is None else facts)):
        if not 0 < value < float("inf"):
            raise InputError(f"the target's {name} is {value:g}, which must be a number above 0")
    known = facts if facts is not None else law.facts
    collapse, acquisition, retention, tolerance = (
        law.predict_point(kind, size, tokens, known) for kind in ("collapse", "acquisition", "retention", "tolerance")
    )
    dose, support = _dose(law, collapse, known), _support(law, size, tokens)
    status, why = _status(collapse, acquisition, dose, support)
    notes = [why, support.flag, *collapse.flags, _unchecked(dose, acquisition), _unknown_exposures(law, known, dose)]
    if known != law.facts and law.unit == "share":
        notes.append(INVARIANT)
    return Plan(
        status=status,
        notes=tuple(note for note in dict.fromkeys(notes) if note),
        size=size,
        tokens=tokens,
        facts=known,
        collapse=collapse,
        acquisition=acquisition,
        retention=retention,
        tolerance=tolerance,
        dose=dose,
        support=support,
    )


def _dose(law: Law, collapse: Prediction, facts: float | None) -> Dose:
    """The 5 % quantile of the predicted collapse point, and how it would vary."""
    c05, c50, c95 = collapse.x.low, collapse.x.value, collapse.x.high
    if c05 is None or c50 is None or c95 is None:
        nothing = Interval()
        return Dose(nothing, nothing, nothing, nothing, collapse.reason)
    x = Interval(c05, c05 - (c50 - c05), c05 + (c95 - c50))
    scale = law.scale(collapse.tokens, facts)
    share = scale.share(x)
    return Dose(x, share, scale.exposures(x), share.map(lambda end: end * collapse.tokens))


def _status(collapse: Prediction, acquisition: Prediction, dose: Dose, support: Support) -> tuple[str, str]:
    if dose.x.value is None:
        return "no law", f"no law of collapse: {collapse.reason}"
    if acquisition.x.value is not None and dose.x.value < acquisition.x.value:
        return "no safe dose", (
            "the largest dose that is safe from collapse lies below the acquisition point, so no dose is known that "
            "both teaches the facts and keeps them; fewer or shorter facts, or a larger study, may show one"
        )
    return ("ok" if support.inside else "outside support"), ""


def _unchecked(dose: Dose, acquisition: Prediction) -> str:
    if dose.x.value is None or not acquisition.reason:
        return ""
    return f"whether the dose is enough to teach the facts is not known: {acquisition.reason}"


def _unknown_exposures(law: Law, facts: float | None, dose: Dose) -> str:
    if dose.x.value is None or (dose.exposures.value is not None and dose.share.value is not None):
        return ""
    missing = [name for name, value in (("facts", facts), ("tokens_per_fact", law.tokens_per_fact)) if not value]
    other = "exposures are" if law.unit == "share" else "the share is"
    return f"{other} unknown, because {' and '.join(missing)} are not given"


def _support(law: Law, size: float, tokens: float) -> Support:
    by_size, by_tokens = _beyond(size, law.sizes), _beyond(tokens, law.budgets)
    parts = [
        f"the target's {name} is {target / max(tried):.3g} times the largest tried"
        if target > max(tried)
        else f"the smallest {name} tried is {min(tried) / target:.3g} times the target's"
        for name, factor, target, tried in (
            ("size", by_size, size, law.sizes),
            ("budget", by_tokens, tokens, law.budgets),
        )
        if factor > 1
    ]
    return Support(law.sizes, law.budgets, by_size, by_tokens, "; ".join(parts))


def _beyond(value: float, tried: Sequence[float]) -> float:
    """The factor by which a value lies beyond the range tried; 1 inside it (and within 1 % of its ends)."""
    factor = max(value / max(tried), min(tried) / value, 1.0)
    return factor if factor > 1.01 else 1.0


def plan_json(plan: Plan) -> dict[str, Any]:
    """The content of plan.json; unknown numbers are null, with the reason beside them."""
    content: dict[str, Any] = {
        "version": VERSION,
        "status": plan.status,
        "notes": list(plan.notes),
        "level": LEVEL,
        "target": {"size": plan.size, "tokens": plan.tokens, "facts": plan.facts},
        "collapse": _dose_json(plan.collapse),
        "acquisition": _dose_json(plan.acquisition),
        "dose": _dose_json(plan.dose),
        "tokens": plan.dose.tokens.as_dict(),
        "support": {
            "sizes": list(plan.support.sizes),
            "budgets": list(plan.support.budgets),
            "distance": {"size": plan.support.size_factor, "tokens": plan.support.tokens_factor},
            "flag": plan.support.flag,
        },
    }
    extra = {"retention": plan.retention, "tolerance": plan.tolerance}
    return content | {name: _dose_json(point) for name, point in extra.items() if point.x.value is not None}


def _dose_json(dose: Prediction | Dose) -> dict[str, Any]:
    content: dict[str, Any] = {"share": dose.share.as_dict(), "exposures": dose.exposures.as_dict()}
    return content | ({"reason": dose.reason} if dose.reason else {})


def write_plan(path: str | Path, plan: Plan) -> None:
    """Write plan.json atomically."""
    write_json(Path(path), plan_json(plan))
