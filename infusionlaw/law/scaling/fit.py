"""From points to a law: every candidate form fitted to every kind of point, and weighed by what it predicts.

Points enter with their whole likelihoods (`posterior`), so a point that was not found is a bound and an ambiguous one
stays in two places. Forms are weighed by how well they predicted the points (`choice`). What the power law does not fit
is said (`misfit`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from infusionlaw.errors import InputError, nearest
from infusionlaw.law.covariates import SAME
from infusionlaw.law.dose import Array, Interval, dose_of, unit_of
from infusionlaw.law.likelihood import Assumed, Likelihood, from_interval
from infusionlaw.law.losses.fit import fit_losses
from infusionlaw.law.losses.measured import GENERAL, loss_unit, losses_of
from infusionlaw.law.merging import checkpoint_weights, merged
from infusionlaw.law.numbers import number, stated
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.choice import weights
from infusionlaw.law.scaling.forms import InteractionLaw, PowerLaw, candidates, known_forms, places
from infusionlaw.law.scaling.law import FittedForm, KindLaw, Law, located
from infusionlaw.law.scaling.misfit import MISFIT_LEVEL, Term, misfit
from infusionlaw.law.scaling.posterior import BAD, Evidence, Posterior, posterior
from infusionlaw.law.scores.cost import fit_cost
from infusionlaw.law.scores.plateaus import Plateaus, fit_plateaus
from infusionlaw.law.scores.since_start import fit_changes
from infusionlaw.law.scores.zero_dose import fit_zero_dose
from infusionlaw.law.uncertainty import interval_of
from infusionlaw.runs.outcomes import Outcome, kinds_of, order_of, outcomes_of, outcomes_with_points
from infusionlaw.runs.record import DoseUnit, RunRecord
from infusionlaw.runs.table import table_hash

# A form with less weight than this is left out of predictions; its coefficients are told all the same.
NEGLIGIBLE_WEIGHT = 0.01
BELIEVED = 0.9  # weight of the interaction that is said, ten times what the power law has
MOST_TOLD = 2  # places that are told one by one
LEAST_LOCATED = 2
SizeAndTokens = tuple[float, float]
CURVED: dict[Term, str] = {
    "product": "The exponent of size changes with tokens",
    "size": "The exponent of size changes along the sizes",
    "tokens": "The exponent of tokens changes along the token counts",
}
FAR_NOTE: dict[Term, str] = {
    "product": "Predictions far from the fitted token counts may be wrong",
    "size": "Predictions far from the fitted sizes may be wrong",
    "tokens": "Predictions far from the fitted token counts may be wrong",
}


def fit_law(
    rows: Sequence[RunRecord],
    points: Sequence[Point],
    *,
    forms: Sequence[str] | None = None,
    draws: int = 1000,
    tolerance: float = 0.05,
    seed: int = 0,
) -> Law:
    """The law of a table from its points (`find_points`), each kind with every form that can be fitted to it.

    forms: names of the forms to consider (`known_forms`), all by default. Held-out runs and their points are left out,
    as is their hash. A kind with fewer than two located points is `not fitted`. Sizes and token counts within 1 % are
    one, and checkpoints of a run count as one run (`merging`). tolerance: of the points of losses. Deterministic in
    `seed`.
    Raises InputError when no run is left, or for a form that is not known.
    """
    for name in forms or ():
        if name not in known_forms():
            raise InputError(f'"{name}" is no form of law; {nearest(name, known_forms())}')
    placed, notes = merged(rows)
    used = [row for row in placed if not row.held_out]
    if not used:
        raise InputError("every run of the table is held out; a law needs runs that are not")
    unit, counts = unit_of(list(rows)), checkpoint_weights(used)
    mine = [point for point in points if not point.held_out and _place_of(point, counts) is not None]
    doses = [dose for row in used if (dose := dose_of(row, unit))]
    return Law(
        unit=unit,
        kinds=tuple(
            _fit_kind(kind, [p for p in mine if p.kind == kind], unit, forms, counts, draws, seed)
            for kind in kinds_of(used)
        ),
        sizes=tuple(sorted({row.size for row in used})),
        token_counts=tuple(sorted({row.tokens for row in used})),
        doses=(min(doses), max(doses)) if doses else (0.0, 0.0),
        facts=None if unit == "facts" else _common([row.facts for row in used]),
        tokens_per_fact=_median([row.tokens_per_fact for row in used]),
        table=table_hash([row for row in rows if not row.held_out]),
        plateaus=_plateaus(mine, used),
        cost=fit_cost(used, unit),
        zero_dose=fit_zero_dose(used, unit),
        notes=notes,
        losses=fit_losses(used, tolerance=tolerance, seed=seed) if _asks_for_losses(used) else (),
        loss_unit=loss_unit(used),
        changes=fit_changes(used),
    )


def _asks_for_losses(rows: Sequence[RunRecord]) -> bool:
    """Whether a table has more to say of losses than what a dose costs its scores (`scores.cost`)."""
    scores = [outcome.name for outcome in outcomes_of(rows) if outcome.scale == "proportion"]
    scored = any(row.score(name) is not None for row in rows for name in scores)
    more = any(name != GENERAL for name in losses_of(rows)) or any(row.start(GENERAL) is not None for row in rows)
    return all(row.share is not None for row in rows) and (more or not scored)


def _place_of(point: Point, counts: dict[SizeAndTokens, float]) -> SizeAndTokens | None:
    """The place of the table that a point is of: the same, or else one within 1 %."""
    if (point.size, point.tokens) in counts:
        return point.size, point.tokens
    near = (
        place
        for place in counts
        if all(1 / SAME <= a / b <= SAME for a, b in zip(place, (point.size, point.tokens), strict=True))
    )
    return next(near, None)


def _plateaus(points: Sequence[Point], rows: Sequence[RunRecord]) -> dict[Kind, Plateaus]:
    """The plateaus that each outcome falls from, by the kind of point where it does."""
    found = {}
    for outcome in outcomes_with_points(rows):
        if lost := outcome.point("lost"):
            guessing = outcome.guessing if isinstance(outcome.guessing, float) else _guessing(rows, outcome)
            if fitted := fit_plateaus(points, guessing, lost.name):
                found[lost.name] = fitted
    return found


def _guessing(rows: Sequence[RunRecord], outcome: Outcome) -> float:
    """The level that a score starts from: what is stated of it alone, else recall of unseen facts, else chance, else
    recall at dose 0, else none."""
    own = [row.score(f"chance:{outcome.name}") for row in rows]
    scores = [own, [row.unseen_recall for row in rows], [row.chance for row in rows]]
    scores.append([row.recall for row in rows if not dose_of(row)])
    for values in scores[:1] if ":" in outcome.name else scores:
        known = [value for value in values if value is not None]
        if known:
            return float(np.mean(known))
    return 0.0


def _common(values: Sequence[float | None]) -> float | None:
    known = set(values)
    return known.pop() if len(known) == 1 else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(f"{np.median(known):.6g}") if known else None


def _fit_kind(
    kind: Kind,
    points: Sequence[Point],
    unit: DoseUnit,
    names: Sequence[str] | None,
    counts: dict[SizeAndTokens, float],
    draws: int,
    seed: int,
) -> KindLaw:
    kept = tuple(replace(point, likelihood=None, assumed=()) for point in points)
    usable = [(p, place) for p in points if p.in_law and (place := p.likelihood or from_interval(p.x)) is not None]
    if located([p for p, _ in usable]) < LEAST_LOCATED:
        return KindLaw(kind, "not fitted", _too_few(kind, points), (), kept)
    used = [p for p, _ in usable]
    facts, lengths = _stated(used)
    at = places(unit, [p.size for p in used], [p.tokens for p in used], facts, lengths)
    weight = np.array([counts[found] for p in used if (found := _place_of(p, counts))])
    data = Evidence.of(at, _alike(usable), weight)
    file, order = order_of(kind)
    rng = np.random.default_rng([seed, order, *file.encode()])
    fits = [posterior(form, data, rng) for form in candidates(at, names)]
    if not fits:
        return KindLaw(kind, "not fitted", "no form asked for can be told from a simpler one by these points", (), kept)
    believed = weights(fits)
    believed = np.where(believed < NEGLIGIBLE_WEIGHT, 0.0, believed)
    believed = believed / believed.sum()
    fitted = tuple(_fitted(fit, weight, draws, rng) for fit, weight in zip(fits, believed, strict=True))
    return KindLaw(
        kind,
        "fitted",
        "",
        fitted,
        kept,
        varied=tuple(name for name in ("size", "tokens", "facts") if at.varied(name)),
        facts=_common(facts or []),
        tokens_per_fact=_median(lengths or []),
        notes=(*_curved(fits, believed, data, rng), *_unreliable(fits, believed)),
    )


def _alike(usable: Sequence[tuple[Point, Likelihood]]) -> list[Likelihood | tuple[Assumed, ...]]:
    """The likelihoods of points under the shapes that they may share; a point of no curve has one for all shapes."""
    shapes = {tuple(item.weight for item in point.assumed) for point, _ in usable if point.assumed}
    if len(shapes) != 1:  # points of several tables
        return [place for _, place in usable]
    return [point.assumed or place for point, place in usable]


def _fitted(fit: Posterior, weight: float, draws: int, rng: np.random.Generator) -> FittedForm:
    """A form's coefficients from all draws, and as many of the draws as its weight is worth."""
    found = fit.draws(draws, rng)
    names = (*fit.form.parameters, "scatter")
    coefficients = {name: _rounded(found[:, i]) for i, name in enumerate(names)}
    kept = found[: round(weight * draws)]
    return FittedForm(
        fit.form, round(float(weight), 4), coefficients, tuple(tuple(r) for r in np.round(kept, 4).tolist())
    )


def _curved(fits: Sequence[Posterior], weight: Array, data: Evidence, rng: np.random.Generator) -> tuple[str, ...]:
    """A note where the power law does not fit, or where the interaction is believed instead."""
    power = next((fit for fit in fits if isinstance(fit.form, PowerLaw)), None)
    found = misfit(power, data, rng) if power else None
    product = sum(w for fit, w in zip(fits, weight, strict=True) if isinstance(fit.form, InteractionLaw))
    if found and found.p < MISFIT_LEVEL:
        said = f"{CURVED[found.term]} ({_p_value(found.p)}): a plain power law does not fit these points"
        return (f"{said}. {FAR_NOTE[found.term]}",)
    if product > BELIEVED:
        return (f"{CURVED['product']} (weight {100 * product:.0f} %). {FAR_NOTE['product']}",)
    return ()


def _p_value(p: float) -> str:
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def _unreliable(fits: Sequence[Posterior], weight: Array) -> tuple[str, ...]:
    """A note for each believed form whose draws cannot be relied on."""
    return tuple(
        f"The draws of the {fit.form.name} are unreliable (Pareto k {fit.k:.1f}), so intervals may be too narrow"
        for fit, w in zip(fits, weight, strict=True)
        if w > 0 and fit.k > BAD
    )


def _rounded(values: Array) -> Interval:
    return interval_of(np.round(values, 4))


def _stated(points: Sequence[Point]) -> tuple[list[float] | None, list[float] | None]:
    """Facts and statement lengths of points, each None unless every point has them; without facts no lengths."""
    facts = [p.facts for p in points if p.facts is not None]
    lengths = [p.tokens_per_fact for p in points if p.tokens_per_fact is not None]
    known = len(facts) == len(points)
    return facts if known else None, lengths if known and len(lengths) == len(points) else None


def _unlocated(points: Sequence[Point]) -> str:
    """Where points were not located, in words: each place of a status, or how many where they are many."""
    by_status: dict[str, list[Point]] = {}
    for point in points:
        if point.x.value is None:
            by_status.setdefault(point.status, []).append(point)
    return ", ".join(f"{status} at {_places_told(found)}" for status, found in by_status.items())


def _places_told(points: Sequence[Point]) -> str:
    if len(points) > MOST_TOLD:
        return f"{len(points)} sizes{stated(points[0].tokens, ' and token counts')}"
    return " and ".join(f"size {number(p.size)}{stated(p.tokens, ' and {} tokens')}" for p in points)


def _too_few(kind: Kind, points: Sequence[Point]) -> str:
    if not points:
        return f"the table has no scores to find {'an' if kind[0] in 'aeiou' else 'a'} {kind} point from"
    others = _unlocated(points) or "no other was tried"
    found = located(points)
    was = "only one was" if found else "none was"
    return f"a law needs at least two located {kind} points, and {was} located ({others})"
