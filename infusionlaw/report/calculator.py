"""What the calculator of a page needs to know of a law: its draws, as JSON for `assets/calculator.js`.

The page computes what `predict` does from the same draws, so both say the same. Numbers have as many digits as that
takes. Random numbers are drawn here, as `predict` draws them, because a page has no generator of numpy's.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from infusionlaw.law.losses.law import NO_REFERENCE, SHARES, LossLaw
from infusionlaw.law.losses.measured import GENERAL
from infusionlaw.law.numbers import DOSE_WORDS
from infusionlaw.law.planning.best import KNOT_DRAWS, PLATEAU_DRAWS, REPEATS
from infusionlaw.law.planning.forecast import FORECAST_DRAWS
from infusionlaw.law.planning.limits import (
    LOSS_LIMIT,
    LOWEST,
    NO_COST,
    ROOM_LIMIT,
    TRIED_LIMIT,
    clear,
    forgets_from,
    limiting,
    of_losses_alone,
    rises_again,
)
from infusionlaw.law.points.curves import OTHER_FACTS
from infusionlaw.law.scaling.forms import BUILT_IN
from infusionlaw.law.scaling.law import SCATTER_QUANTILES, KindLaw, Law
from infusionlaw.law.scores.cost import Cost
from infusionlaw.law.scores.plateaus import Plateaus
from infusionlaw.law.surfaces.forms import MIXTURE
from infusionlaw.law.surfaces.mixtures import EXPONENTIAL_MIXING, OWN_TOKENS, POWER_MIXING
from infusionlaw.runs.outcomes import ACQUISITION, COLLAPSE, kind_named
from infusionlaw.runs.record import UNSTATED

# The surfaces that `calculator.js` knows.
SURFACES = {surface.name for surface in (MIXTURE, EXPONENTIAL_MIXING, POWER_MIXING, OWN_TOKENS)}


def cannot_calculate(law: Law) -> str:
    """Why the page cannot compute plans of a law; "" where it can."""
    known = {form.name for form in BUILT_IN}
    others = {fitted.form.name for kind in law.kinds for fitted in kind.forms if fitted.draws} - known
    if others:
        return f"the law holds a form of a package, {sorted(others)[0]}, which a page cannot compute"
    surfaces = {fitted.surface.name for loss in law.losses for fitted in loss.surfaces if fitted.draws} - SURFACES
    if surfaces:
        return f"the law holds a surface of a package, {sorted(surfaces)[0]}, which a page cannot compute"
    if not any(kind.forms for kind in law.kinds) and law.cost is None and not any(loss.surfaces for loss in law.losses):
        return "no law could be fitted"
    return ""


def counts_facts(law: Law) -> bool:
    """Whether the table of a law says how many facts were infused."""
    return law.facts is not None or any(kind.facts is not None for kind in law.kinds)


def calculator_data(law: Law) -> dict[str, Any]:
    """Everything that `calculator.plan` reads of a law."""
    plateaus = law.plateaus.get(COLLAPSE.name)
    learned = law.of(ACQUISITION.name)
    return {
        "unit": law.unit,
        "words": {
            "given": DOSE_WORDS[law.unit].given if counts_facts(law) else DOSE_WORDS[law.unit].said,
            "axis": DOSE_WORDS[law.unit].axis,
        },
        "sizes": list(law.sizes),
        "tokenCounts": list(law.token_counts),
        "tokensStated": law.token_counts != (UNSTATED,),
        "facts": law.facts,
        "tokensPerFact": law.tokens_per_fact,
        "factsKnown": counts_facts(law),
        "factsVaried": any("facts" in kind.varied for kind in law.kinds),
        "clear": _clear(law),
        "acquisition": ACQUISITION.name,
        "collapse": COLLAPSE.name,
        "names": {"loss": LOSS_LIMIT, "room": ROOM_LIMIT, "tried": TRIED_LIMIT, "lowest": LOWEST, "noCost": NO_COST},
        "scatter": _few(SCATTER_QUANTILES, 9),
        "kinds": [_kind(law, kind) for kind in law.kinds],
        "plateaus": _plateaus(plateaus) if plateaus else None,
        "cost": _cost(law.cost) if law.cost else None,
        "lossUnit": law.loss_unit,
        "lossesAlone": of_losses_alone(law),
        "lossShares": _few(SHARES, 12),
        "losses": [_loss(law, loss) for loss in law.losses],
        "draws": _draws(law, bool(law.of(COLLAPSE.name).forms), learned),
    }


def _clear(law: Law) -> float | None:
    """The largest dose that is clear of a collapse, where there is no law of that; a dose below all for none."""
    if law.of(COLLAPSE.name).forms or not law.doses[1] > 0 or of_losses_alone(law):
        return None
    return max(clear(law, COLLAPSE.name), -99.0)


def _kind(law: Law, kind: KindLaw) -> dict[str, Any]:
    what = kind_named(kind.kind)
    return {
        "name": kind.kind,
        "title": what.title,
        "sentence": what.sentence or f"the {what.title} lies at",
        "beyond": what.beyond,
        "change": what.change,
        "level": kind.level or 0.0,
        "clear": None if (x := forgets_from(law, what)) is None else max(x, -99.0),
        "reason": kind.reason,
        "facts": kind.facts,
        "factsVaried": "facts" in kind.varied,
        "tokensPerFact": kind.tokens_per_fact,
        "forms": [
            {"name": form.form.name, "constants": asdict(form.form), "draws": form.draws}
            for form in kind.forms
            if form.draws
        ],
    }


def _plateaus(plateaus: Plateaus) -> dict[str, Any]:
    names = ("size0", "tokens0", "mean", "covariance", "guessing")
    levels = {name: asdict(getattr(plateaus, name)) for name in ("floor", "rise", "fall")}
    return {name: getattr(plateaus, name) for name in names} | levels


def _cost(cost: Cost) -> dict[str, Any]:
    """The draws of `Cost`, so that log C = base + size log(N / N0) + tokens log(D / D0)."""
    theta, own = cost.theta_draws()
    columns = {"base": theta[:, 0] + own, "size": theta[:, 1], "tokens": theta[:, 2], "power": np.exp(theta[:, 3])}
    return {"size0": cost.size0, "tokens0": cost.tokens0} | {name: _few(each, 9) for name, each in columns.items()}


def _loss(law: Law, loss: LossLaw) -> dict[str, Any]:
    return {
        "title": loss.title,
        "general": loss.loss == GENERAL,
        "limits": loss in limiting(law),
        "displaced": loss.displaced,
        "since": loss.since,
        "base": loss.base,
        "lowest": loss.lowest if rises_again(law, loss) else None,
        "leastShare": loss.shares[0],
        "largestShare": loss.shares[1],
        "reason": loss.reason or ("" if loss.since else NO_REFERENCE),
        "surfaces": [
            {
                "name": fitted.surface.name,
                "parameters": list(fitted.theta),
                "theta": list(fitted.theta.values()),
                "draws": [_few(draw, 9) for draw in fitted.draws],
                "stretch": _few(fitted.stretch),
            }
            for fitted in loss.surfaces
            if fitted.draws
        ],
    }


def _draws(law: Law, falls: bool, learned: KindLaw) -> dict[str, Any]:
    """The random numbers of `best`, `forecast` and `at_target`, each from its own seed."""
    scores = np.random.default_rng(3)
    orders = {"learnedOrder": scores.permutation(FORECAST_DRAWS).tolist() if law.unit != "facts" else []}
    orders["lostOrder"] = scores.permutation(FORECAST_DRAWS).tolist() if falls else []
    normal = {
        "floor": scores.standard_normal(FORECAST_DRAWS),
        "rise": _normal(0, KNOT_DRAWS),
        "fall": _normal(1, KNOT_DRAWS),
        "plateau": _normal(2, PLATEAU_DRAWS),
        "riseThere": _normal(4, FORECAST_DRAWS),
        "fallThere": _normal(5, FORECAST_DRAWS),
        "guessing": np.random.default_rng(7).normal(0, OTHER_FACTS, FORECAST_DRAWS),
        "level": _normal(6, _count(learned) if learned.level else 0),
    }
    seeds = range(len(law.kinds) + len(law.losses) + 5)  # one a limit, and one for acquisition
    repeats = [np.random.default_rng(seed).permutation(REPEATS).tolist() for seed in seeds]
    return {name: _few(values) for name, values in normal.items()} | orders | {"repeats": repeats}


def _count(kind: KindLaw) -> int:
    return len(SCATTER_QUANTILES) * sum(len(form.draws) for form in kind.forms)


def _normal(seed: int, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).standard_normal(count)


def _few(values: ArrayLike, digits: int = 6) -> Sequence[float]:
    """To a few significant digits."""
    return [float(f"{value:.{digits}g}") for value in np.asarray(values).tolist()]
