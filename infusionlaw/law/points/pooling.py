"""What the curves of one score have in common: their noise, the form and width of their falls, and their levels.

One curve of one seed hardly tells its noise from its shape, or a slow fall to a low floor from a quick fall to a high
one. A table's curves tell it together. The evidence of each value h of what is common is the product of what it
explains of each curve,

    q(h) ~ p(h) prod_i Z_i(h)^c,      Z_i(h) = sum over shapes s of L_i(s, h) p(s | h)

for the noise (NOISES), for the widths of falls (normal in log width, WIDTHS) and for the form (one for all curves, or
any for each), in turns. No curve follows any form to the letter, and many curves would all be wrong alike, so what
forms and widths explain counts in part only (c < 1). Means and deviations of the levels over curves follow from the
likeliest shapes. A curve is judged by what the *others* say, q(h) / Z_i(h)^c, so that nothing is counted twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

from infusionlaw.law.dose import Array
from infusionlaw.law.points.fitting import NEAR, Lattice, outlines
from infusionlaw.law.points.levels import Noise, Observed, Prior
from infusionlaw.law.points.shapes import FORMS, NARROWEST, WIDEST, Detector, Form

LEVELS, USUAL_NOISE, LEVEL_SPREAD = (0.004, 0.012, 0.025, 0.045, 0.075, 0.12, 0.2), 0.03, 1.0
KNOTS, KNOTS_PRIOR = (0.0, 0.4, 1.0), (0.6, 0.25, 0.15)
NOISES = (
    *(Noise(level, knots, steady) for steady in (True, False) for level in LEVELS for knots in KNOTS[:2]),
    *(Noise(level, 1.0) for level in LEVELS[1::2]),
)
FIRST_NOISE = Noise(USUAL_NOISE, 0.4)
# Log width of falls: means and deviations over curves, with their prior; and the part of widths that are any.
MEANS, SPREADS, USUAL_WIDTH, WIDTH_SPREAD = np.log(np.geomspace(0.03, 2.5, 19)), (0.15, 0.4, 0.9), np.log(0.4), 1.2
WIDTHS, ANY_WIDTH = tuple(product(MEANS, SPREADS)), 0.05
STEPS_PRIOR = 0.15  # how likely all falls are next to steps
SAME_FORM = 0.75  # how likely all curves are of one form
# Forms so many times as likely as the others: of all forms a hinge collapses earliest, which errs on the safe side.
USUAL: dict[Form, float] = {"hinge": 2.0}
LEVELS_COUNT, LEAST_SD = 0.3, 0.03  # how many curves the levels' prior counts as; their least deviation over curves
COUNTS = {"noise": 1.0, "width": 0.75, "form": 0.75}  # c above
SWEEPS = 4
WIDTH_GROUPS, UNSEEN = 4, 0.02  # of widths that curves may share; shapes less likely than this are left out
ENOUGH_CURVES = 12  # what more curves say of width and form counts no more than so many
# Noise and levels are first learned roughly, by so many forms; noises less likely than this then are not tried again.
ROUGH, UNLIKELY, LOWER = 1, 1e-3, 2
FEW, MANY = (16, 80), (30, 150)  # rises and falls of a sketch, when learning roughly and then
ENOUGH, NEGLIGIBLE = 0.7, 0.05  # noises beyond the likeliest that have ENOUGH, and forms below NEGLIGIBLE, are left out


@dataclass(frozen=True)
class Shape:
    """A shape that all curves of a table may share, and how likely it is.

    forms: weight of each form, all on one or as usual; width: weight of every WIDTHS.
    """

    weight: float
    forms: tuple[tuple[Form, float], ...]
    width: Array


@dataclass(frozen=True)
class Pool:
    """What is believed of a curve before its own scores are looked at.

    noises, forms: with their weights; width: weight of every WIDTHS; plateau, floor: mean and deviation over curves;
    shapes: what all curves, this one among them, may share.
    """

    noises: tuple[tuple[Noise, float], ...]
    forms: tuple[tuple[Form, float], ...]
    width: Array
    plateau: tuple[float, float]
    floor: tuple[float, float]
    shapes: tuple[Shape, ...]

    def width_weight(self, width: Array) -> Array:
        """How likely each width (n,) is, relative to one that is even in its logarithm; 1 for none."""
        return np.asarray(self.width @ _relative(width))

    def relative(self, form: Form, width: Array, shapes: Sequence[Shape]) -> Array:
        """How much likelier falls of a form and of widths (n,) are where all curves share each shape: (shapes, n)."""
        own = np.array([dict(shape.forms).get(form, 0.0) for shape in shapes]) / dict(self.forms)[form]
        every = _relative(width)
        by_shape = np.array([shape.width for shape in shapes]).reshape(-1, len(WIDTHS)) @ every
        return np.asarray(own[:, None] * by_shape / (self.width @ every))

    def seen_by(self, data: Observed) -> Observed:
        """A curve with the levels' priors of this pool."""
        return _with_levels(data, self.plateau, self.floor)


def _relative(width: Array) -> Array:
    """Density of widths (n,) under every WIDTHS, relative to one that is even in log width: (WIDTHS, n); 1 for none."""
    extent = np.log(WIDEST / NARROWEST)
    mean, sd = np.array(WIDTHS).T[:, :, None]
    inside = ndtr((np.log(WIDEST) - mean) / sd) - ndtr((np.log(NARROWEST) - mean) / sd)
    log_width = np.log(np.where(np.isfinite(width), width, 1.0))
    density = np.exp(-(((log_width - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi) * inside) * extent
    return np.where(np.isfinite(width), ANY_WIDTH + (1 - ANY_WIDTH) * density, 1.0)


@dataclass(frozen=True)
class _Table:
    """What a curve says of its falls: evidence (noises, falls) of those of every form; width and form of each fall."""

    evidence: Array
    width: Array
    form: Array


def pooled(curves: Sequence[Observed], detector: Detector) -> tuple[Pool, list[Pool]]:
    """What to believe of a curve that is none of these, and of each of these by what the others say."""
    forms = FORMS[detector]
    usual = np.array([USUAL.get(form, 1.0) for form in forms])
    usual = usual / usual.sum()
    named = np.concatenate([np.eye(len(forms)), usual[None]])
    log_prior = {
        "noise": np.array([_log_prior(noise) for noise in NOISES]),
        "width": _log_width_prior(),
        "form": np.log([*SAME_FORM * usual, 1 - SAME_FORM]),
    }
    sd = curves[0].prior.sd if curves else (0.3, 0.3, 0.25)
    middle = np.mean([c.prior.mean for c in curves], axis=0) if curves else np.array([0.3, 0.7, 0.25])
    start = levels = ((float(middle[1]), sd[1]), (float(middle[2]), sd[2]))
    likeliest = FIRST_NOISE
    q: dict[str, Array] = {}
    z: dict[str, Array] = {}
    for last in (False, True):
        seen = [_with_levels(c, *levels) for c in curves]
        tried = forms if last else forms[:ROUGH]
        noises = _worth_trying(q["noise"]) if last else np.arange(len(NOISES))
        many = (MANY,) if last else (FEW, MANY)
        tables = [_table(c, [outlines(c, form, likeliest, *many)[0] for form in tried], noises) for c in seen]
        q, z = _swept(tables, named if last else named[:, :ROUGH], log_prior)
        if not last:
            before, likeliest = likeliest, NOISES[int(q["noise"].argmax())]
            rough = [[outlines(c, form, before, *many)[1] for form in tried] for c in seen]
            sums = [_moments(c, own, likeliest, q, named[:, :ROUGH]) for c, own in zip(seen, rough, strict=True)]
            total = np.sum(sums, axis=0) if sums else np.zeros((2, 3))
            levels = (_level(start[0], total[0]), _level(start[1], total[1]))

    shapes = _shapes(forms, named, q)

    def pool(i: int | None) -> Pool:
        own = {n: q[n] if i is None else _without(log_prior[n], z[n], i) for n in q}
        return Pool(_kept(own["noise"], q["noise"]), _forms(forms, own["form"] @ named), own["width"], *levels, shapes)

    return pool(None), [pool(i) for i in range(len(curves))]


def _shapes(forms: Sequence[Form], named: Array, q: dict[str, Array]) -> tuple[Shape, ...]:
    """Each form, or any for each curve, with each of WIDTH_GROUPS of the widths; the unlikely are left out."""
    mean = np.array(WIDTHS)[:, 0]
    by_mean = np.array([q["width"][mean == value].sum() for value in MEANS])
    group = np.minimum((by_mean.cumsum() - by_mean / 2) * WIDTH_GROUPS, WIDTH_GROUPS - 1).astype(int)
    found = []
    for row, p_form in zip(named, q["form"], strict=True):
        for number in range(WIDTH_GROUPS):
            width = np.where(np.isin(mean, MEANS[group == number]), q["width"], 0.0)
            if width.sum() > 0:
                own = tuple((form, float(w)) for form, w in zip(forms, row, strict=True) if w > 0)
                found.append(Shape(float(p_form * width.sum()), own, width / width.sum()))
    likely = [shape for shape in found if shape.weight >= UNSEEN]
    total = sum(shape.weight for shape in likely)
    return tuple(replace(shape, weight=shape.weight / total) for shape in likely)


def _with_levels(data: Observed, plateau: tuple[float, float], floor: tuple[float, float]) -> Observed:
    mean, sd = data.prior.mean, data.prior.sd
    return data.having(Prior((mean[0], plateau[0], floor[0]), (sd[0], plateau[1], floor[1])))


def _table(data: Observed, rough: Sequence[Lattice], noises: NDArray[np.intp]) -> _Table:
    """The noises with every fall of each form; the others explain nothing."""
    tried = [NOISES[k] for k in noises]
    found = [lattice.of_falls(data, tried) for lattice in rough]
    top = max(float(peak.max()) for _, peak in found)
    evidence = [np.zeros((len(NOISES), len(lattice.falls.knot))) for lattice in rough]
    for own, lattice, (value, peak) in zip(evidence, rough, found, strict=True):
        own[noises] = value * np.exp(peak - top)[:, None] * lattice.falls.weight
    form = [np.full(len(lattice.falls.knot), number) for number, lattice in enumerate(rough)]
    width = np.concatenate([lattice.falls.width for lattice in rough])
    return _Table(np.concatenate(evidence, axis=1), width, np.concatenate(form))


def _swept(
    tables: Sequence[_Table], named: Array, log_prior: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Weights of noise, width and form, and how much of the evidence of each is every curve's (curves, values)."""
    q = {name: np.exp(value - logsumexp(value)) for name, value in log_prior.items()}
    z = {name: np.zeros((len(tables), len(value))) for name, value in log_prior.items()}
    relative = [(_relative(t.width), named[:, t.form]) for t in tables]
    few = min(1.0, ENOUGH_CURVES / max(len(tables), 1))
    share = {"noise": 1.0, "width": few, "form": few}
    for _ in range(SWEEPS):
        for name in q:
            for i, (t, (by_width, by_form)) in enumerate(zip(tables, relative, strict=True)):
                width, form = q["width"] @ by_width, q["form"] @ by_form
                if name == "noise":
                    found = t.evidence @ (width * form)
                else:
                    every = q["noise"] @ t.evidence
                    found = by_width @ (every * form) if name == "width" else by_form @ (every * width)
                z[name][i] = COUNTS[name] * share[name] * np.log(found + 1e-300)
            total = log_prior[name] + z[name].sum(0)
            q[name] = np.exp(total - logsumexp(total))
    return q, z


def _moments(data: Observed, rough: Sequence[Lattice], noise: Noise, q: dict[str, Array], named: Array) -> Array:
    """Weight, and weighted sums of mean and square, of plateau and floor where a fall begins beyond a dose: (2, 3)."""
    weights, values = [], []
    for fit, part in zip(rough, q["form"] @ named, strict=True):
        found = fit.under(data, noise)
        at = np.nonzero(found.log_likelihood > found.log_likelihood.max() - NEAR)
        levels = found.levels(at)
        seen = (found.falls.knot > data.x[np.isfinite(data.x)][0]) & np.isfinite(found.falls.knot)
        variances = (levels.covariance["plateau"], levels.covariance["floor"])
        width = q["width"] @ _relative(found.falls.width)
        weights.append(found.log_weight[at] + np.log(part * width[at[1]] + 1e-300))
        values.append(np.stack([seen[at[1]], *levels.mean[1:], *variances]))
    there, plateau, floor, var_plateau, var_floor = np.concatenate(values, axis=1)
    log_weight = np.concatenate(weights)
    weight = np.exp(log_weight - logsumexp(log_weight)) * there
    return np.array(
        [
            [weight.sum(), weight @ mean, weight @ (mean**2 + var)]
            for mean, var in ((plateau, var_plateau), (floor, var_floor))
        ]
    )


def _log_width_prior() -> Array:
    """Log prior of every WIDTHS: normal in the mean log width, and the narrowest, next to a step, more likely."""
    mean = np.array(WIDTHS)[:, 0]
    weight = np.exp(-(((mean - USUAL_WIDTH) / WIDTH_SPREAD) ** 2) / 2)
    weight *= (1 - STEPS_PRIOR) / weight.sum()
    weight[0] += STEPS_PRIOR
    return np.asarray(np.log(weight))


def _log_prior(noise: Noise) -> float:
    several = sum(other.knots == noise.knots for other in NOISES)
    level = -((np.log(noise.level / USUAL_NOISE) / LEVEL_SPREAD) ** 2) / 2 - np.log(several)
    return float(level + np.log(KNOTS_PRIOR[KNOTS.index(noise.knots)]))


def _level(before: tuple[float, float], sums: Array) -> tuple[float, float]:
    n, first, second = sums
    mean = (LEVELS_COUNT * before[0] + first) / (LEVELS_COUNT + n)
    square = second - 2 * mean * first + n * mean**2
    sd = np.sqrt((LEVELS_COUNT * before[1] ** 2 + square) / (LEVELS_COUNT + n))
    return float(mean), float(max(sd, LEAST_SD))


def _without(log_prior: Array, z: Array, i: int) -> Array:
    """Weights by the evidence of all curves but one."""
    left = log_prior + z.sum(0) - z[i]
    return np.asarray(np.exp(left - logsumexp(left)))


def _worth_trying(weight: Array) -> NDArray[np.intp]:
    """Noises that are not unlikely, and some below the likeliest: a rough look takes what it misses for noise."""
    level = LEVELS.index(NOISES[int(weight.argmax())].level)
    below = LEVELS[max(level - LOWER, 0) : level]
    lower = np.array([noise.level in below and not noise.knots and noise.steady for noise in NOISES])
    return np.flatnonzero(lower | (weight > UNLIKELY * weight.max()))


def _kept(weight: Array, supported: Array) -> tuple[tuple[Noise, float], ...]:
    """The noises that all curves together support, the likeliest first until they have ENOUGH, each with its weight."""
    order = np.argsort(-supported)
    order = order[: int(np.searchsorted(supported[order].cumsum(), ENOUGH)) + 1]
    return tuple((NOISES[k], float(weight[k] / weight[order].sum())) for k in order)


def _forms(forms: Sequence[Form], weight: Array) -> tuple[tuple[Form, float], ...]:
    kept = weight >= NEGLIGIBLE
    return tuple((form, float(w / weight[kept].sum())) for form, w, k in zip(forms, weight, kept, strict=True) if k)
