"""A fitted surface in plain words: its parameters, how well it fits, and what it says at other conditions."""

import math
from collections.abc import Callable, Sequence

from infusionlaw.law.dose import Interval
from infusionlaw.law.numbers import aligned, bracket, number, share
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.fit import SurfaceFit


def surface_text(fit: SurfaceFit, runs: int, at: Sequence[Conditions] = ()) -> str:
    """The parameters with 90 % intervals, the status, and the loss at each of some conditions, one run each."""
    rows = [("parameter", "value"), *(_row(fit, name) for name in fit.theta)]
    r2 = "" if fit.r2 is None else f", R2 {fit.r2:.4f}"
    lines = [
        f"{fit.surface.name}: {fit.surface.formula} ({fit.surface.source})",
        f"{runs} runs, {fit.status}{r2}. Intervals are 90 %, by bootstrap.",
        *([f"Note: {fit.reason}."] if fit.reason else []),
        aligned(rows),
    ]
    for conditions in at:
        (said,) = fit.interval_at(conditions)
        lines.append(f"at {_where(conditions)}: {_bracket(said, '{:.4f}'.format)}")
    return "\n".join(lines)


def _row(fit: SurfaceFit, name: str) -> tuple[str, str]:
    """A parameter with its interval; a coefficient that is fitted as its logarithm, as itself."""
    logged = fit.surface.logged and name in {coefficient.name for coefficient in fit.surface.coefficients}
    found = fit.interval(name) if name in fit.draws else Interval(fit.theta[name])
    found, shown = (found.map(math.exp), name.upper()) if logged else (found, name)
    return shown, _bracket(found, "{:.5g}".format) + ("" if name in fit.draws else " (given)")


def _bracket(x: Interval, show: Callable[[float], str]) -> str:
    known = x.value is not None and (x.low is not None or x.high is not None)
    return bracket(x, show) if known or x.value is None else show(x.value)


def _where(conditions: Conditions) -> str:
    known = {name: getattr(conditions, name) for name in ("size", "tokens", "unique_tokens", "share", "loss")}
    show = {"share": share, "loss": "{:.4g}".format}
    parts = [
        f"{name.replace('_', ' ')} {show.get(name, number)(float(conditions.column(name)[0]))}"
        for name, values in known.items()
        if values is not None
    ]
    return ", ".join(parts)
