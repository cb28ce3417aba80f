"""What a study found, in plain words, failures included: the paragraphs a report opens with."""

from collections.abc import Sequence

from infusionlaw.law.design.borderline import (
    MOST_RUNS,
    Close,
    CloseExponent,
    Vague,
    close_exponent,
    close_points,
    vague_points,
)
from infusionlaw.law.dose import Interval, dose_of
from infusionlaw.law.losses.law import LossLaw
from infusionlaw.law.numbers import DOSE_WORDS, bracket, dose, listed, number, share, stated, when
from infusionlaw.law.planning.compare import ComparedPoint, Comparison
from infusionlaw.law.planning.limits import of_losses_alone
from infusionlaw.law.planning.plan import Plan
from infusionlaw.law.points.find import UNSURE
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.law import Law
from infusionlaw.report.plotdata import SAME_TOKENS
from infusionlaw.report.words import alternative_lines, plan_lines
from infusionlaw.runs.outcomes import COLLAPSE, PointKind, kind_named
from infusionlaw.runs.record import DoseUnit, RunRecord
from infusionlaw.runs.table import cell

MOST_TOLD = 6  # places that are told one by one


def verdict(law: Law, comparison: Comparison, plan: Plan) -> list[str]:
    """What a study found and plans, in a few paragraphs of plain words, failures included."""
    paragraphs = [
        *findings(law, comparison),
        " ".join([*plan_lines(plan)[:3], *_far(plan)]),
        " ".join(alternative_lines(plan)),
    ]
    return [text for text in paragraphs if text]


def findings(law: Law, comparison: Comparison) -> list[str]:
    """Where scores fall, what size and tokens do to that, and what came of predictions."""
    return [
        *(text for outcome in law.outcomes if (lost := outcome.point("lost")) for text in _falls(law, lost)),
        *(
            text
            for loss in law.losses
            for text in (_stays(loss), _turns(loss), f"The law of {loss.title} is {loss.gist}.")
            if text
        ),
        *_direction(law),
        *([] if of_losses_alone(law) else _outcomes(comparison)),
    ]


def _place(point: Point, points: Sequence[Point]) -> str:
    """The size of a point, with its token count where several were tried."""
    several = max(p.tokens for p in points) > SAME_TOKENS * min(p.tokens for p in points)
    return f"{number(point.size)} parameters" + (f" and {number(point.tokens)} tokens" if several else "")


def _far(plan: Plan) -> list[str]:
    flag = plan.support.flag
    return [f"Mind that {flag}."] if flag and plan.dose.x.value is not None else []


def _falls(law: Law, kind: PointKind) -> list[str]:
    """Where a score falls at each size, and for which sizes that could not be placed, with the reason."""
    points = law.of(kind.name).points if kind.name in law.kind_names else ()
    located = [p for p in points if p.x.value is not None]
    missing = [p for p in points if p.x.value is None]
    texts = []
    if len(located) > MOST_TOLD:
        doses, words = sorted(p.dose.value or 0.0 for p in located), DOSE_WORDS[located[0].unit]
        range_ = words.said.format(f"{words.show(doses[0])} to {words.show(doses[-1])}")
        texts.append(
            f"{kind.sentence[0].upper()}{kind.sentence[1:]} {range_}, by size and token count ({len(located)} of them)."
        )
    elif located:
        where = [f"{dose(p.dose, p.unit)} for {_place(p, points)}{_doubt(p)}" for p in located]
        texts.append(f"{kind.sentence[0].upper()}{kind.sentence[1:]} {listed(where)}.")
    if missing:
        reasons = dict.fromkeys(f"{p.status}: {p.note}" for p in missing)
        groups = [
            f"{listed([_place(p, points) for p in missing if f'{p.status}: {p.note}' == reason])} ({reason})"
            for reason in reasons
        ]
        texts.append(f"No {kind.title} {'was found' if not located else 'could be placed'} for {listed(groups)}.")
    return [" ".join(texts)] if texts else []


def _stays(law: LossLaw) -> str:
    """Up to which shares a loss stays within its tolerance, over sizes and token counts; "" where none is known."""
    known = sorted(value for point in law.points if (value := point.share.value) is not None)
    if not known:
        return ""
    title, level = f"{law.title[0].upper()}{law.title[1:]}", law.points[0].level
    most = share(known[-1]) if len(known) == 1 else f"{share(known[0])} to {share(known[-1])}, by size and token count"
    beyond = len(law.points) - len(known)
    others = f"; at {beyond} of {len(law.points)} the doses tried do not locate it" if beyond else ""
    return f"{title} stays within {level:g} {law.unit} of {law.since} up to a share of {most}{others}."


def _turns(law: LossLaw) -> str:
    """Where a loss of domain text is lowest; "" where more of the domain always helps it."""
    return f"{law.title[0].upper()}{law.title[1:]} {law.turn}." if law.turn else ""


def contrast(rows: Sequence[RunRecord]) -> str:
    """What is left at the largest dose of the fitted runs: verbatim recall beside recall and guessing; "" if
    unknown."""
    runs = [row for row in rows if not row.held_out and row.recall is not None and row.verbatim_recall is not None]
    doses = [dose_of(row) or 0.0 for row in runs]
    last = [row for row, dose in zip(runs, doses, strict=True) if dose >= 0.999 * max(doses)]
    if not last:
        return ""
    recall, surface, unseen = (
        [value for row in last if (value := cell(row, name)) is not None]
        for name in ("recall", "verbatim_recall", "unseen_recall")
    )
    guessing = f"; guessing gives {_mean(unseen)}" if unseen else ""
    return (
        f"At the largest dose, over all fitted sizes, the mean verbatim recall is {_mean(surface)} and the mean recall "
        f"{_mean(recall)}{guessing}."
    )


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.2f}"


def _doubt(point: Point) -> str:
    return f" (ambiguous: {point.note})" if point.status == "ambiguous" else ""


def _direction(law: Law) -> list[str]:
    """What size and token count do to the collapse point, each with the interval of its exponent; and what is
    doubtful."""
    collapse = law.of(COLLAPSE.name)
    if not collapse.forms and of_losses_alone(law):
        return []
    if not collapse.forms:
        return [f"No law of the collapse point was fitted: {collapse.reason}."]
    if "size" not in collapse.varied:
        return ["Only one size has a collapse point, so nothing is known of how it moves with size."]
    covariates = [("size", "Larger models", "parameters")]
    covariates += [("tokens", "Models trained for longer", "training tokens")] if "tokens" in collapse.varied else []
    what = DOSE_WORDS[law.unit].varies
    found = [_sentence(collapse.coefficients[name], who, covariate, what) for name, who, covariate in covariates]
    nearly = [close for name, _, _ in covariates if (close := close_exponent(collapse, name))]
    return [*found, *map(_nearly, nearly), *(f"{note}." for note in collapse.notes)]


def _nearly(close: CloseExponent) -> str:
    """That a direction is barely told, or nearly, and what would settle it."""
    what = "excludes" if close.told else "holds"
    words = "size" if close.covariate == "size" else "token count"
    listing = listed([number(value) for value in close.more])
    settles = f"{words}s {listing}" if len(close.more) > 1 else f"the {words} {listing}"
    remedy = f"runs at {settles} would be expected to settle it" if close.more else f"it takes many more {words}s"
    return f"Borderline: that interval only just {what} zero; {remedy}."


def borderline(rows: Sequence[RunRecord], points: Sequence[Point]) -> list[str]:
    """A sentence on each point whose verdict is close or whose place is hardly known, and what would settle it."""
    told = [*map(_close, close_points(rows, points)), *map(_vague, vague_points(rows, points))]
    more = ["Other points may be borderline too."] if len(told) > MOST_TOLD else []
    return [*told[:MOST_TOLD], *more]


def _close(close: Close) -> str:
    told = "was found" if close.found else "was not found"
    if close.runs is None:
        settles = f"even {MOST_RUNS} {_runs_at(close)} would not be expected to settle it"
    else:
        settles = (
            f"{'one' if close.runs == 1 else close.runs} {_runs_at(close, close.runs)} would be expected to settle it"
        )
    why = f"its probability is {1 - close.none:.2f}, and {1 - UNSURE:.2f} or more counts as found"
    if not close.found and close.none <= UNSURE:
        why = "scores without it explain what was seen almost as well"
    return f"Borderline: {_named(close)} {told}: {why}; {settles}."


def _vague(vague: Vague) -> str:
    now, then = (f"{sd:.2f}" for sd in vague.sd)
    settles = f"one {_runs_at(vague, 1)} would be expected to bring its error from {now} to {then} dex"
    return f"Borderline: {_named(vague)} was found, but hardly where; {settles}."


def _named(item: Close | Vague) -> str:
    return f"the {kind_named(item.kind).title} at {number(item.size)}{stated(item.tokens, ' and {} tokens')}"


def _runs_at(item: Close | Vague, runs: int = MOST_RUNS) -> str:
    """`runs each at shares of 0.85 and 0.90`."""
    words = DOSE_WORDS[item.unit]
    doses = listed([words.show(dose) for dose in item.doses])
    each = " each" if len(item.doses) > 1 else ""
    at = words.said.format(doses).replace("a share", "shares" if each else "a share")
    return f"run{'' if runs == 1 else 's'}{each} at {at}"


def _sentence(exponent: Interval, who: str, covariate: str, what: str) -> str:
    factor = bracket(exponent.map(lambda end: 10.0**end), lambda end: f"{end:.2f}" if end < 10 else number(end))
    numbers = f"ten times the {covariate} multiply the {what} at collapse by {factor}"
    exact = f"(exponent {bracket(exponent, '{:.2f}'.format)})"
    if (exponent.low or 0.0) > 0:
        return f"{who} collapse at larger doses: {numbers} {exact}."
    if (exponent.high or 0.0) < 0:
        return f"{who} collapse at smaller doses: {numbers} {exact}."
    return (
        f"Whether {who[0].lower()}{who[1:]} collapse at larger or smaller doses is not settled by these runs: "
        f"{numbers} {exact}, and the interval holds both directions."
    )


def _outcomes(comparison: Comparison) -> list[str]:
    rows = comparison.of(COLLAPSE.name)
    if not rows:
        return ["No held-out model was compared with a prediction."]
    several = len({row.tokens for row in rows}) > 1
    return [_outcome(row, f" at {number(row.tokens)} tokens" if several else "", comparison) for row in rows]


def _outcome(row: ComparedPoint, place: str, comparison: Comparison) -> str:
    name, written = f"held-out {number(row.size)} model{place}", when(comparison.written)
    observed = _observed(row.observed, row.status, row.unit)
    if row.predicted.value is None:
        return f"For the {name} nothing was predicted, for want of a law; observed: {observed}."
    return (
        f"For the {name} the law predicted collapse at {dose(row.predicted, row.unit)} "
        f"({_before(comparison, written)}). Observed: {observed}. {hit(row)}."
    )


def _before(comparison: Comparison, written: str) -> str:
    """What was known when a prediction was written."""
    if not written:
        return "its rows were not used in the fit"
    if known := comparison.already_known:
        return f"{known} of its runs were already known when this was written ({written}), so it is no true prediction"
    return f"written {written}, before any of its runs was trained"


def _observed(seen: Interval, status: str, unit: DoseUnit) -> str:
    if seen.value is not None:
        return f"{dose(seen, unit)}{' (ambiguous)' if status == 'ambiguous' else ''}"
    if seen.low is None and seen.high is None:
        return f"nothing could be placed ({status})"
    return f"no collapse within the doses tried ({status}: {dose(seen, unit)})"


def hit(row: ComparedPoint) -> str:
    """Whether a predicted interval held the observed point, in words, with the distance in dex."""
    if row.inside is None:
        return "There is nothing to compare"
    if row.error_dex is None:
        return f"The 90 % interval {'agrees with' if row.inside else 'excludes'} that bound"
    side = "higher" if row.error_dex >= 0 else "lower"
    distance = f"{abs(row.error_dex):.2f} dex {side}"
    if row.inside:
        return f"Inside the 90 % interval; the observed point is {distance}"
    within = "; the error of the observed point could account for that" if row.agrees else ""
    return f"Outside the 90 % interval; the observed point is {distance}{within}"
