"""From rows to dose-response curves: the mean score by dose of one (N, D), each mean with its standard deviation.

A curve holds what the detectors need and what a figure draws: doses in x (ascending, dose 0 apart), means over seeds,
standard deviations of those means (over facts and seeds, see `noise`), and the guessing level.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from infusionlaw.law.dose import Array, Scale, same_doses, scale_of, unit_of, x_of
from infusionlaw.law.merging import merged
from infusionlaw.law.numbers import listed
from infusionlaw.law.points.noise import (
    SeedNoise,
    Squares,
    about_curve,
    between_seeds,
    effective_dof,
    growth,
    relative_noise,
    run_error,
    within_doses,
)
from infusionlaw.runs.outcomes import Outcome, PointKind
from infusionlaw.runs.record import RunRecord

# What seeds differ by before any were compared, and the least error over questions, by scale.
SPREAD = {"proportion": 0.05, "bits per byte": 0.02}
LEAST_ERROR = {"proportion": 0.01, "bits per byte": 0.002}
# The unseen facts are other facts than the domain facts: their guessing level may differ by this much.
OTHER_FACTS = 0.05
CHANCE_SD = 0.1  # how far a model that knows nothing may lie from what chance gives


@dataclass(frozen=True)
class Zero:
    """Dose 0 of a curve: mean and its deviation, runs, and known and squares as in `Curve`."""

    mean: float
    sd: float
    runs: int
    known: float
    squares: float
    each: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """One outcome of one (N, D, S) by dose. x, mean, sd: (J,); seeds: runs a dose; known: variance of one run's score
    over questions; squares: of the runs of a dose about their mean (J,); each: their scores; guessing: (mean, sd), None
    where it is not stated.

    left_out: the runs without this score, in words; start: the score of the checkpoint that all its runs began from;
    loss_unit: as in `RunRecord`; held_out: whether its runs are.
    """

    outcome: Outcome
    size: float
    tokens: float
    facts: float | None
    tokens_per_fact: float | None
    scale: Scale
    x: Array
    mean: Array
    sd: Array
    seeds: tuple[int, ...]
    known: Array
    squares: Array
    each: tuple[tuple[float, ...], ...]
    zero: Zero | None
    guessing: tuple[float, float] | None
    dof: float
    left_out: str
    start: float | None = None
    loss_unit: str = "bits per byte"
    held_out: bool = False

    @property
    def kinds(self) -> list[PointKind]:
        """The kinds of points that it can have: against a start only where it has one."""
        lacking = {"learned": self.learned is None, "fallen": self.start is None}
        return [kind for kind in self.outcome.points if not lacking.get(kind.change)]

    @property
    def learned(self) -> PointKind | None:
        """The point where it is learned from the dose; a larger number of facts teaches nothing by itself."""
        return None if self.scale.unit == "facts" else self.outcome.point("learned")


@dataclass(frozen=True)
class _Doses:
    """The runs of one (N, D) by dose: x and, for each, the values and errors of its runs."""

    rows: tuple[RunRecord, ...]
    scale: Scale
    x: tuple[float, ...]
    runs: tuple[tuple[Array, Array], ...]
    left_out: str


def curves(rows: Sequence[RunRecord], outcome: Outcome) -> list[Curve]:
    """The curves of one outcome, by size, token count and number of facts.

    Sizes, or token counts, within 1 % are one, and copies of a run are left out (`law.merging`). A place without a
    single recall has an empty recall curve, unless the table has losses alone; one without a value of another outcome
    has no curve of it. Held-out rows get curves of their own and do not inform the noise of the others.
    """
    places = _by_size_and_tokens(merged(rows)[0], outcome)
    seen = [not all(row.held_out for row in place.rows) for place in places]
    seen = seen if any(seen) else [True] * len(places)
    grows = growth([place.runs for place, is_seen in zip(places, seen, strict=True) if is_seen])
    scales = [relative_noise(place.runs, grows if _is_loss(outcome) else np.inf) for place in places]
    squares = [_squares(place, scale, outcome) for place, scale in zip(places, scales, strict=True)]
    found = []
    for i, (place, scale) in enumerate(zip(places, scales, strict=True)):
        others = [squares[j] for j in range(len(places)) if seen[j] and j != i]
        found.append(_curve(place, outcome, scale, between_seeds(squares[i], others, SPREAD[outcome.scale])))
    return found


def _is_loss(outcome: Outcome) -> bool:
    return outcome.scale == "bits per byte"


def _by_size_and_tokens(rows: Sequence[RunRecord], outcome: Outcome) -> list[_Doses]:
    """The runs that have the outcome, by (size, tokens, facts, held out or not) and, within, by ascending dose."""
    unit = unit_of(rows)

    def place(row: RunRecord) -> tuple[float, float, float, bool]:
        return row.size, row.tokens, 0.0 if unit == "facts" else row.facts or 0.0, row.held_out

    def dose(row: RunRecord) -> float:
        return x_of(row, unit)

    groups = [tuple(group) for _, group in groupby(sorted(rows, key=place), key=place)]
    found = []
    for group in groups:
        good = sorted((row for row in group if _finite(row.score(outcome.name))), key=dose)
        same = same_doses([dose(row) for row in good])
        runs = tuple(_values([good[i] for i in members], outcome) for members in same)
        x = tuple(float(np.mean([dose(good[i]) for i in members])) for members in same)
        found.append(_Doses(group, scale_of(group, unit), x, runs, _left_out(group, outcome)))
    measured = any(doses.x for doses in found)
    others = any(row.more or row.val_bpb is not None or row.retention is not None for row in rows)
    asked = outcome.questions_from_facts and (measured or not others)
    return [doses for doses in found if doses.x or asked]


def _left_out(rows: Sequence[RunRecord], outcome: Outcome) -> str:
    """The runs without an outcome, in words: `2 diverged runs and 1 run without recall`."""
    lacking = [row for row in rows if not _finite(row.score(outcome.name))]
    parts = []
    for status, n in Counter(row.status for row in lacking).items():
        runs = "run" if n == 1 else "runs"
        parts.append(f"{n} {runs} without {outcome.title}" if status == "ok" else f"{n} {status} {runs}")
    return listed(sorted(parts, key=lambda part: "without" in part))


def _values(rows: Sequence[RunRecord], outcome: Outcome) -> tuple[Array, Array]:
    values = np.array([row.score(outcome.name) for row in rows], dtype=float)
    return values, np.array([_run_error(row, outcome) for row in rows])


def _run_error(row: RunRecord, outcome: Outcome) -> float:
    """The error of one run's score that is its own: all runs read the same general text, so its errors cancel."""
    least, value = LEAST_ERROR[outcome.scale], row.score(outcome.name)
    if _is_loss(outcome) or value is None:
        return least
    facts = row.facts if outcome.questions_from_facts else None
    return run_error(value, row.error(outcome.name), facts, least)


def _squares(doses: _Doses, scale: Array, outcome: Outcome) -> Squares:
    """What the runs of one place say of the noise between seeds; validation loss also says it by how smooth it is."""
    runs = [(values / unit, errors / unit) for (values, errors), unit in zip(doses.runs, scale, strict=True)]
    within = within_doses(runs)
    if not _is_loss(outcome):
        return within
    return within + about_curve(np.array(doses.x), runs, doses.scale.unit, scale)


def _curve(doses: _Doses, outcome: Outcome, scale: Array, noise: SeedNoise) -> Curve:
    """The curve of one place. scale: its relative noise by dose (J,)."""
    counts = np.array([len(values) for values, _ in doses.runs])
    mean = np.array([values.mean() for values, _ in doses.runs])
    known = np.array([(errors**2).mean() for _, errors in doses.runs])
    between = noise.variance * scale**2
    sd = np.sqrt((known + between) / counts)
    x = np.array(doses.x)
    on = np.isfinite(x)
    squares = np.array([((values - values.mean()) ** 2).sum() for values, _ in doses.runs])
    each = [tuple(values.tolist()) for values, _ in doses.runs]
    at_zero = [
        Zero(float(mean[i]), float(sd[i]), int(counts[i]), float(known[i]), float(squares[i]), each[i])
        for i in np.flatnonzero(~on)
    ]
    first = doses.rows[0]
    return Curve(
        outcome=outcome,
        size=first.size,
        tokens=first.tokens,
        facts=None if doses.scale.unit == "facts" else first.facts,
        tokens_per_fact=first.tokens_per_fact,
        scale=doses.scale,
        x=x[on],
        mean=mean[on],
        sd=sd[on],
        seeds=tuple(counts[on].tolist()),
        known=known[on],
        squares=squares[on],
        each=tuple(values for values, there in zip(each, on, strict=True) if there),
        zero=at_zero[0] if at_zero else None,
        guessing=_guessing(doses.rows, outcome),
        dof=effective_dof(noise.dof, known, between),
        left_out=doses.left_out,
        start=_start(doses.rows, outcome),
        loss_unit=first.loss_unit or "bits per byte",
        held_out=first.held_out,
    )


def _start(rows: Sequence[RunRecord], outcome: Outcome) -> float | None:
    """The mean score of the starts of some runs; None unless every run has one."""
    starts = [start for row in rows if (start := row.start(outcome.name)) is not None]
    return float(np.mean(starts)) if len(starts) == len(rows) else None


def _guessing(rows: Sequence[RunRecord], outcome: Outcome) -> tuple[float, float] | None:
    """Guessing level with its standard deviation: from unseen facts, else from chance; None where neither is stated.

    An outcome whose own level is known, or stated as `chance:NAME`, has that.
    """
    if outcome.guessing != "stated":
        return None if outcome.guessing is None else (outcome.guessing, CHANCE_SD)
    if own := [value for row in rows if _finite(value := row.score(f"chance:{outcome.name}")) and value is not None]:
        return float(np.mean(own)), CHANCE_SD
    if ":" in outcome.name:
        return None
    unseen = [row.unseen_recall for row in rows if row.unseen_recall is not None and _finite(row.unseen_recall)]
    if unseen:
        return float(np.mean(unseen)), float(np.hypot(np.std(unseen) / np.sqrt(len(unseen)), OTHER_FACTS))
    chance = [row.chance for row in rows if row.chance is not None and _finite(row.chance)]
    return (float(np.mean(chance)), CHANCE_SD) if chance else None


def _finite(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))
