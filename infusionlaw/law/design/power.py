"""The power of a design: how precisely it would locate a collapse, told by simulation before anything is run.

A true collapse is put at several places. At each, whole studies of the design are simulated, points are found and a law
is fitted as from real runs. What counts is how often the collapse is found, how wide its interval is, how far off it
lies, how wide the law's exponent and prediction are, and how often a collapse is claimed where there is none.

Every (N, D) of a simulated study collapses at one place, give or take TYPICAL_SCATTER, so that all its curves tell
about that place: how wide the exponent is hardly depends on what it is. The few curves of the default make coarse
percentages; the work is in proportion to `curves`, and one design always gets one answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from infusionlaw.law.design.layout import SHARP, SLOW, Layout, layout, missing, on_plateau, places, plateau, typical
from infusionlaw.law.design.simulate import simulate
from infusionlaw.law.dose import Array, Interval, share_of
from infusionlaw.law.points.find import find_points
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law
from infusionlaw.runs.record import DoseUnit, RunRecord, RunSpec

CURVES = 3  # about ten seconds for the design of examples/demo/study.toml on one idle core
TYPICAL_SCATTER = 0.1
# A collapse is seen when at least this share of the curves show it, which takes doses this far (dex) beyond it.
SEEN, TAIL = 0.5, 0.4
# Half an interval and a whole prediction (dex) wider than this say little; more false claims than this are too many.
WANTED_HALF_WIDTH, PREDICTION, CLAIMED = 0.3, 1.0, 0.25


@dataclass(frozen=True)
class TruePlace:
    """What the design would tell of a collapse at `dose`.

    found: in what share of the curves; half_width: median half of its 90 % interval, error: median distance from the
    truth, both in dex; None where it is never found, half_width also where the interval has an open end.
    """

    dose: float
    found: float
    half_width: float | None
    error: float | None


@dataclass(frozen=True)
class Reach:
    """Width of the 90 % interval of the collapse predicted at (size, tokens), dex; None when no law comes out."""

    size: float
    tokens: float
    width: float | None


@dataclass(frozen=True)
class Power:
    """What a design can tell; `curves` were simulated for each place, and as many without a collapse.

    claimed: share of the latter where one is found; exponent: width of the 90 % interval of the size's exponent, None
    when it is not identified; warnings: one sentence each, with the number and the fix.
    """

    unit: DoseUnit
    curves: int
    places: tuple[TruePlace, ...]
    claimed: float
    exponent: float | None
    reaches: tuple[Reach, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """What simulated studies gave: how many curves; half-widths and errors of the collapses found; widths of laws.

    laws: for each study that has one, of the exponent and of the prediction at each target. inf: an open end.
    """

    curves: int
    half_widths: tuple[float, ...]
    errors: tuple[float, ...]
    laws: tuple[tuple[float, ...], ...]

    @property
    def found(self) -> float:
        return len(self.errors) / self.curves


def power(
    specs: Sequence[RunSpec],
    facts: int,
    tokens_per_fact: float | None = None,
    *,
    doses: Sequence[float] | None = None,
    curves: int = CURVES,
    seed: int = 0,
) -> Power:
    """The power of the runs that a design asks for; held-out runs are the targets, else 8 x the largest size.

    facts: how many recall is measured over; tokens_per_fact: tells the shares of a design in exposures; doses: where
    collapses are tried, in the unit of the result (default: `places`); curves: for each of them, rounded to whole
    studies. Deterministic in `seed`. Raises InputError for a design without doses above 0.
    """
    plan = layout(specs, facts, tokens_per_fact)
    at = places(plan) if doses is None else [plan.x(dose) for dose in doses]
    studies = max(1, round(curves / len(plan.cells)))
    seen = [_studies(plan, [x] * studies, True, (seed, i)) for i, x in enumerate(at)]
    none = _studies(plan, [at[i % len(at)] for i in range(studies)], False, (seed, len(at)))
    told = tuple(
        TruePlace(plan.dose(x), here.found, _median(here.half_widths), _median(here.errors))
        for x, here in zip(at, seen, strict=True)
    )
    laws = [law for here in seen if here.found >= SEEN for law in here.laws]
    exponent, *widths = (_median([law[i] for law in laws]) for i in range(1 + len(plan.targets)))
    reaches = tuple(Reach(*target, width) for target, width in zip(plan.targets, widths, strict=True))
    result = Power(plan.unit, none.curves, told, none.found, exponent, reaches, ())
    return replace(result, warnings=tuple(_warnings(plan, at, result)))


def _studies(plan: Layout, at: Sequence[float], collapses: bool, seed: tuple[int, int]) -> _Seen:
    """Simulate a study for each x of `at`, the falls of all their curves from sharp to slow, and find what it tells."""
    curves = len(at) * len(plan.cells)
    falls = SHARP * (SLOW / SHARP) ** ((np.arange(curves) + 0.5) / curves)
    half_widths: list[float] = []
    errors: list[float] = []
    laws: list[tuple[float, ...]] = []
    for i, x in enumerate(at):
        widths = falls[i :: len(at)]
        rows, truth = _study(plan, x, widths, collapses, np.random.default_rng([*seed, i]))
        points = [point for point in find_points(rows) if point.kind == "collapse"]
        for point in points:
            if point.status == "found" and point.x.value is not None:
                half_widths.append(_width(point.x) / 2)
                errors.append(abs(point.x.value - truth[point.size, point.tokens]))
        laws += _law_widths(plan, fit_law(rows, points))
    return _Seen(curves, tuple(half_widths), tuple(errors), tuple(laws))


def _study(
    plan: Layout, x: float, falls: Array, collapses: bool, rng: np.random.Generator
) -> tuple[list[RunRecord], dict[tuple[float, float], float]]:
    """The rows of one simulated study, and x of the true collapse by (N, D)."""
    rows: list[RunRecord] = []
    truth: dict[tuple[float, float], float] = {}
    for cell, fall in zip(plan.cells, falls, strict=True):
        here = truth[cell.size, cell.tokens] = x + rng.normal(0, TYPICAL_SCATTER)
        world = typical(plan, here, float(fall), collapses)
        # Dose by dose, because what is a seed's own differs from run to run: other doses are other corpora.
        for dose, seeds in cell.seeds.items():
            runs, _ = simulate(world, [cell.size], [cell.tokens], [float(share_of(dose))], seeds, rng)
            rows += [_as_designed(run, plan.unit) for run in runs]
    return rows, truth


def _as_designed(run: RunRecord, unit: DoseUnit) -> RunRecord:
    """A run with its recall only; where shares are unknown its odds are the dose, so that x stays the same."""
    run = replace(run, retention=None, val_bpb=None)
    if unit == "share" or run.share is None:
        return run
    dose, bare = run.share / (1 - run.share), replace(run, share=None, exposures=None, tokens_per_fact=None)
    return replace(bare, facts=dose) if unit == "facts" else replace(bare, exposures=dose)


def _law_widths(plan: Layout, law: Law) -> list[tuple[float, ...]]:
    """Widths of the exponent of the size and of each prediction; nothing when no law of the collapse came out."""
    predicted = [law.predict_point("collapse", *target).x for target in plan.targets]
    if any(x.value is None for x in predicted):
        return []
    return [(_width(law.of("collapse").coefficients.get("size", Interval())), *(_width(x) for x in predicted))]


def _width(interval: Interval) -> float:
    return np.inf if interval.low is None or interval.high is None else interval.high - interval.low


def _median(values: Sequence[float]) -> float | None:
    middle = float(np.median(values)) if values else np.inf
    return middle if np.isfinite(middle) else None


def _warnings(plan: Layout, at: Sequence[float], told: Power) -> Iterable[str]:
    """What is wrong with the design, each with its fix, worst first."""
    tried = list(zip(at, told.places, strict=True))
    x, best = max(tried, key=lambda pair: pair[1].found)
    if best.found < SEEN:
        yield (
            f"no collapse can be seen by this design: at best, at {plan.named(x)}, it is found in only "
            f"{_percent(best.found)} of the curves; fix what follows"
        )
    yield from _unseen(plan, tried)
    if told.claimed >= CLAIMED and told.claimed * told.curves > 1:  # one of a few may be the nominal 5 %
        yield f"a collapse is claimed in {_percent(told.claimed)} of the curves without one; add seeds or facts"
    yield from missing(plan)
    widths = [(x, here.half_width or np.inf) for x, here in tried if here.found >= SEEN]
    wide = [(x, width) for x, width in widths if width > WANTED_HALF_WIDTH]
    if wide:
        worst = max(width for _, width in wide)
        yield (
            f"the expected half-width of a collapse at {plan.named(*(x for x, _ in wide))} is beyond "
            f"{WANTED_HALF_WIDTH:g} dex ({f'up to {worst:.2f}' if worst < np.inf else 'open at one end'}); "
            "add doses near it, seeds or facts"
        )
    yield from _short_law(plan, told)


def _unseen(plan: Layout, tried: Sequence[tuple[float, TruePlace]]) -> Iterable[str]:
    """Where a collapse would go unseen, or might have no plateau before it; a sentence for each reason."""
    far = [(x, here) for x, here in tried if here.found < SEEN and x + TAIL > plan.last]
    bare = [pair for pair in tried if pair not in far and on_plateau(plan, pair[0]) < 2]
    faint = [pair for pair in tried if pair not in [*far, *bare] and pair[1].found < SEEN]
    if far:
        yield (
            f"this design cannot see a collapse at {_found(plan, far)}: its largest dose, {plan.named(plan.last)}, is "
            f"too small; add doses up to {plan.named(far[-1][0] + TAIL)}"
        )
    if bare:
        yield (
            f"fewer than two doses lie on the typical plateau below a collapse at {_found(plan, bare)}; add doses "
            f"between {plan.named(plateau(plan, bare[0][0]), bare[-1][0])}"
        )
    if faint:
        yield (
            f"this design cannot see a collapse at {_found(plan, faint)}: the noise is too large; add seeds (now "
            f"{plan.seeds}), facts (now {plan.facts}) or doses beyond it"
        )


def _short_law(plan: Layout, told: Power) -> Iterable[str]:
    """Why the law would say little."""
    sizes = len({cell.size for cell in plan.cells})
    if sizes == 1:
        yield "one size only, so what size does to the collapse cannot be told; add at least two sizes"
    elif told.exponent is None:
        yield f"no law of the collapse comes out of {sizes} sizes; fix the doses first"
    for reach in told.reaches:
        if sizes > 1 and reach.width is not None and reach.width > PREDICTION:
            yield (
                f"the collapse predicted at {reach.size:,} parameters and {reach.tokens:,} tokens is expected to be "
                f"{reach.width:.1f} dex wide, more than {PREDICTION:g}; add sizes, or doses and seeds near the collapse"
            )


def _found(plan: Layout, tried: Sequence[tuple[float, TruePlace]]) -> str:
    """`a share of 0.93 (found in only 22 %) and 0.97 (found in only 0 %)`."""
    notes = [f"found in {'only ' if here.found < SEEN else ''}{_percent(here.found)}" for _, here in tried]
    return plan.named(*(x for x, _ in tried), notes=notes)


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"
