"""From points to a law, and from the law to a point at any size and budget, with uncertainty and with its support.

Each kind of point gets its own power law (`forms`), fitted by likelihood with every point's own error, with points
that were not found as bounds, and with scatter around the law (`posterior`). The fit is kept as draws of the
coefficients, so a predictive distribution is the plane of each draw plus its scatter:

    x(N, D) = alpha + beta log10(N / N0) + gamma log10(D / D0) + sigma * standard normal

law.json holds all of it: reading it back gives the same predictions to the last digit.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json
from infusionlaw.law.dose import COORDINATES, LEVEL, Array, Interval, Scale, exposures_per_share, unit_of
from infusionlaw.law.forms import COEFFICIENTS, PowerLaw, power_law
from infusionlaw.law.points import KINDS, Kind, Point, point_from, point_json
from infusionlaw.law.posterior import Evidence, sample
from infusionlaw.law.uncertainty import interval_of
from infusionlaw.records import DoseUnit, RunRecord, table_hash

VERSION = 1
LEAST_ERROR, UNBOUNDED_ERROR = 0.02, 1.0
HALF_WIDTH = float(ndtri((1 + LEVEL) / 2))
# Scatter enters a prediction at equally likely quantiles, not at random: the same law always says the same.
SCATTER_QUANTILES = ndtri((np.arange(25) + 0.5) / 25)


@dataclass(frozen=True)
class KindLaw:
    """The law of one kind of point. draws: of (intercept, size, tokens, scatter); empty when `not fitted`.

    points: all of the kind, without their own draws.
    """

    kind: Kind
    status: str
    reason: str
    form: PowerLaw | None
    points: tuple[Point, ...]
    draws: tuple[tuple[float, ...], ...] = ()

    @property
    def coefficients(self) -> dict[str, Interval]:
        """Median and 90 % interval of each coefficient and of the scatter; all None where not identified."""
        if self.form is None:
            return {}
        draws = np.array(self.draws)
        known = (*self.form.varies, True)
        return {
            name: interval_of(draws[:, i]) if known[i] else Interval()
            for i, name in enumerate((*COEFFICIENTS, "scatter"))
        }


@dataclass(frozen=True)
class Prediction:
    """A point predicted at (size, tokens): 90 % interval in x, share and exposures; flags in words; why it is None."""

    kind: Kind
    size: float
    tokens: float
    x: Interval
    share: Interval
    exposures: Interval
    flags: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Law:
    """All kinds of points of one table, and its support. doses: smallest and largest above 0, in `unit`."""

    unit: DoseUnit
    kinds: tuple[KindLaw, ...]
    sizes: tuple[float, ...]
    budgets: tuple[float, ...]
    doses: tuple[float, float]
    facts: float | None
    tokens_per_fact: float | None
    table: str

    def of(self, kind: Kind) -> KindLaw:
        """The law of one kind; InputError for a kind there is none of."""
        for law in self.kinds:
            if law.kind == kind:
                return law
        raise InputError(f'"{kind}" is no kind of point; known: {", ".join(KINDS)}')

    def scale(self, tokens: float, facts: float | None = None) -> Scale:
        """How x reads as share and exposures at a budget, for `facts` (default: the table's)."""
        return Scale(self.unit, exposures_per_share(tokens, facts or self.facts, self.tokens_per_fact))

    def draws_at(self, kind: Kind, size: ArrayLike, tokens: ArrayLike) -> Array:
        """Predictive draws of x (..., draws), scatter included; empty in the last axis when not fitted."""
        law = self.of(kind)
        if law.form is None:
            return np.empty((*np.broadcast(size, tokens).shape, 0))
        draws = np.array(law.draws)
        plane = law.form.design(size, tokens) @ draws[:, :3].T
        scattered = plane[..., None] + draws[:, 3, None] * SCATTER_QUANTILES
        return np.asarray(scattered.reshape(*plane.shape[:-1], -1))

    def predict_point(self, kind: Kind, size: float, tokens: float, facts: float | None = None) -> Prediction:
        """The point at (size, tokens) with its predictive 90 % interval; None with a reason when not fitted."""
        law = self.of(kind)
        if law.form is None:
            return Prediction(kind, size, tokens, Interval(), Interval(), Interval(), (), law.reason)
        x, scale = interval_of(self.draws_at(kind, size, tokens)), self.scale(tokens, facts)
        return Prediction(kind, size, tokens, x, scale.share(x), scale.exposures(x), _flags(law.form, size, tokens))


def _flags(form: PowerLaw, size: float, tokens: float) -> tuple[str, ...]:
    flags = []
    if not form.size_varied and size != form.size0:
        flags.append("only one size was tried, so what size does is unknown and taken as nothing")
    if not form.tokens_varied and abs(tokens / form.tokens0 - 1) > 0.01:
        flags.append("only one budget was tried, so what the budget does is unknown and taken as nothing")
    return tuple(flags)


def fit_law(rows: Sequence[RunRecord], points: Sequence[Point], *, draws: int = 600, seed: int = 0) -> Law:
    """The law of a table from its points (`find_points`), one power law for each kind.

    Held-out runs and their points are left out, as is their hash. A kind with fewer than two located points is `not
    fitted`. Deterministic in `seed`. Raises InputError when no run is left.
    """
    used = [row for row in rows if not row.held_out]
    if not used:
        raise InputError("every run of the table is held out; a law needs runs that are not")
    unit, places = unit_of(list(rows)), {(row.size, row.tokens) for row in used}
    mine = [replace(point, draws=()) for point in points if (point.size, point.tokens) in places]
    doses = [dose for row in used if (dose := row.share if unit == "share" else row.exposures)]
    return Law(
        unit=unit,
        kinds=tuple(_fit_kind(kind, [p for p in mine if p.kind == kind], draws, seed) for kind in KINDS),
        sizes=tuple(sorted({row.size for row in used})),
        budgets=tuple(sorted({row.tokens for row in used})),
        doses=(min(doses), max(doses)) if doses else (0.0, 0.0),
        facts=_common([row.facts for row in used]),
        tokens_per_fact=_median([row.tokens_per_fact for row in used]),
        table=table_hash(used),
    )


def _common(values: Sequence[float | None]) -> float | None:
    known = set(values)
    return known.pop() if len(known) == 1 else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(f"{np.median(known):.6g}") if known else None


def _fit_kind(kind: Kind, points: Sequence[Point], draws: int, seed: int) -> KindLaw:
    usable = tuple(p for p in points if (p.x.value, p.x.low, p.x.high) != (None, None, None))
    located = sum(p.x.value is not None for p in usable)
    if located < 2:
        reason = _too_few(kind, points, located)
        return KindLaw(kind, "not fitted", reason, None, tuple(points))
    form = power_law([p.size for p in usable], [p.tokens for p in usable])
    free = np.array(form.varies)
    design = form.design([p.size for p in usable], [p.tokens for p in usable])
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    beta, sigma = sample(_evidence(design[:, free], usable), draws, rng)
    table = np.zeros((draws, 4))
    table[:, np.flatnonzero(free)] = beta
    table[:, 3] = sigma
    rounded = tuple(tuple(row) for row in np.round(table, 4).tolist())
    return KindLaw(kind, "fitted", "", form, tuple(points), rounded)


def _too_few(kind: Kind, points: Sequence[Point], located: int) -> str:
    if not points:
        return f"the table has no scores to find a {kind} point from"
    statuses = ", ".join(f"{p.status} at size {p.size:g}" for p in points if p.x.value is None)
    return f"a law needs at least two {kind} points and {located} was located ({statuses or 'no other was tried'})"


def _evidence(design: Array, points: Sequence[Point]) -> Evidence:
    """Points as evidence; a bound is as uncertain as a typical located point of its kind."""
    errors = [_error(p.x) for p in points if p.x.value is not None]
    typical = float(np.median(errors))
    x = [next(v for v in (p.x.value, p.x.low, p.x.high) if v is not None) for p in points]
    side = [0.0 if p.x.value is not None else 1.0 if p.x.low is not None else -1.0 for p in points]
    error = [_error(p.x) if p.x.value is not None else typical for p in points]
    return Evidence(design, np.array(x), np.array(error), np.array(side))


def _error(x: Interval) -> float:
    """Standard deviation from a 90 % interval; from its known half when one end is open."""
    sides = [abs(end - x.value) for end in (x.low, x.high) if end is not None and x.value is not None]
    return max(float(np.mean(sides)) / HALF_WIDTH, LEAST_ERROR) if sides else UNBOUNDED_ERROR


@dataclass(frozen=True)
class Band:
    """A law to draw: sizes (n,), and median, low and high (n,) of the dose in `unit` at one budget."""

    unit: DoseUnit
    sizes: Array
    median: Array
    low: Array
    high: Array


def law_band(law: Law, kind: Kind, tokens: float, sizes: ArrayLike) -> Band | None:
    """Median and 90 % predictive band of a point over sizes at a budget; None when its law is not fitted."""
    if law.of(kind).form is None:
        return None
    sizes = np.asarray(sizes, dtype=float)
    ends = np.quantile(law.draws_at(kind, sizes, tokens), [0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    scale = law.scale(tokens)
    return Band(law.unit, sizes, *(scale.dose(end) for end in ends))


def law_json(law: Law) -> dict[str, Any]:
    """The content of law.json."""
    return {
        "version": VERSION,
        "level": LEVEL,
        "unit": law.unit,
        "coordinate": COORDINATES[law.unit],
        "support": {"sizes": law.sizes, "budgets": law.budgets, "doses": law.doses},
        "facts": law.facts,
        "tokens_per_fact": law.tokens_per_fact,
        "table": law.table,
        "kinds": {kind.kind: _kind_json(kind) for kind in law.kinds},
    }


def _kind_json(law: KindLaw) -> dict[str, Any]:
    form = law.form
    return {
        "status": law.status,
        "reason": law.reason,
        "form": asdict(form) if form else None,
        "sizes varied": ("yes" if form.size_varied else "no") if form else None,
        "budgets varied": ("yes" if form.tokens_varied else "no") if form else None,
        "coefficients": {name: value.as_dict() for name, value in law.coefficients.items()},
        "points": [point_json(point, draws=False) for point in law.points],
        "draws": law.draws,
    }


def write_law(path: str | Path, law: Law) -> None:
    """Write law.json atomically."""
    write_json(Path(path), law_json(law))


def read_law(path: str | Path) -> Law:
    """Read law.json; InputError when it is not one of this version."""
    content = read_json(Path(path))
    if not isinstance(content, dict) or content.get("version") != VERSION or "kinds" not in content:
        raise InputError(f"{path}: not a law file of version {VERSION}; fit it anew from its table")
    try:
        return _law_from(content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the law lacks or garbles {error}; fit it anew from its table") from error


def _law_from(content: dict[str, Any]) -> Law:
    unit, support = content["unit"], content["support"]
    kinds = tuple(
        KindLaw(
            kind=kind,
            status=law["status"],
            reason=law["reason"],
            form=PowerLaw(**law["form"]) if law["form"] else None,
            points=tuple(point_from(point, unit) for point in law["points"]),
            draws=tuple(tuple(row) for row in law["draws"]),
        )
        for kind, law in content["kinds"].items()
    )
    sizes, budgets, doses = (tuple(support[name]) for name in ("sizes", "budgets", "doses"))
    facts, length = content["facts"], content["tokens_per_fact"]
    return Law(unit, kinds, sizes, budgets, (doses[0], doses[1]), facts, length, content["table"])
