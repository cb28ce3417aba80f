"""The search for the collapse: which runs next, a pure function of the study file and the runs that are done.

A curve (one size and token count) starts from a few doses, once each, and then takes runs in rounds, always those that
are expected to tell most of where recall collapses (`law/points/next_dose.py`). A dose may come again, and every run
of a curve has a seed of its own.

A collapse is located when its interval is narrow enough in two successive rounds, by every form of curve that the data
do not rule out, with two doses on the plateau: narrow intervals are met early by luck, and stopping at the first would
keep the lucky ones.

The two smallest sizes come first, together; a larger one then starts around the collapse that the law of the smaller
ones predicts. Rounds are replayed from the first one: each is a function of the records of those before it, so that it
does not matter where a study was stopped. How many runs a round has is the study file's, not the machine's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from infusionlaw.law.design.next_dose import for_plateau, most_telling
from infusionlaw.law.dose import LEVEL, Array, Interval, Scale, log_odds, scale_of, unit_of, x_at
from infusionlaw.law.likelihood import Likelihood
from infusionlaw.law.points.curves import Curve
from infusionlaw.law.points.detect import Sketch, locate, sketches
from infusionlaw.law.points.find import UNSURE, falls, find_points, observed, with_pools
from infusionlaw.law.points.levels import Observed
from infusionlaw.law.points.pooling import Pool
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.runs.record import DoseUnit, RunRecord, RunSpec
from infusionlaw.settings import StudyFile
from infusionlaw.study.design import run_spec

CurvePlace = tuple[int, int]  # size and token count of a curve
Rows = tuple[tuple[RunRecord, ...], ...]  # the records of every curve so far
Find = Callable[[RunSpec], RunRecord | None]
# Between two of the doses it starts from a search may try others, at most so far apart (dex).
SPACING = 0.1
# A larger size starts at the predicted interval and so far (dex) to its sides: two doses on the plateau, one beyond.
AROUND = (-0.6, -0.3, 0.3)
# A round has a part of the runs that a curve already has: what few runs more cannot tell is not asked of a few.
ROUND_GROWTH = 3
# Rounds after which a curve that never leaves guessing is given up; runs at the largest dose that must show no fall.
PATIENCE, ON_TOP = 2, 6
# A form whose best shape is less likely by more than this (log) is ruled out.
RIVAL = 3.0
NOWHERE = Interval()
LOCATED, NONE, BEFORE_GRID = "located", "no collapse up to the largest dose", "it collapses before the smallest dose"
SPENT, UNLEARNED, DEAD = "its runs are spent", "recall never leaves guessing", "fewer than two doses could be measured"


@dataclass(frozen=True)
class State:
    """Where the search of one curve stands: runs asked for, its collapse in x so far, why it is over ("": it is not).

    unit: what x is the coordinate of.
    """

    size: int
    tokens: int
    runs: int = 0
    unit: DoseUnit = "share"
    x: Interval = NOWHERE
    over: str = ""


@dataclass(frozen=True)
class Round:
    """Runs to be made at once, and the states of the curves as they begin. No runs: the search is over."""

    specs: tuple[RunSpec, ...]
    states: tuple[State, ...]


def rounds(study: StudyFile, data: str, record: Find) -> Iterator[Round]:
    """The rounds of a search, as far as the records go: the last one lacks some, or has no runs.

    data: id of the corpus; record: the record of a run, None while there is none. Records of a round are looked for
    when the next round is, so they may be made in between.
    """
    asked: dict[CurvePlace, list[RunSpec]] = {}
    states: dict[CurvePlace, State] = {}
    for stage in _stages(study):
        rows = _rows(asked.values(), record)
        wanted = {place: _opening(study, place, rows) for place in stage}
        narrow: set[CurvePlace] = set()
        while any(wanted.values()):
            batch = []
            for place, own in wanted.items():
                known = asked.setdefault(place, [])
                known += [_run(study, data, place, dose, len(known) + i) for i, dose in enumerate(own)]
                batch += known[-len(own) :]
                states[place] = replace(states.get(place, State(*place)), runs=len(known))
            yield Round(tuple(batch), tuple(states.values()))
            if any(record(spec) is None for spec in batch):
                return
            rows = _rows(asked.values(), record)
            at = list(asked)
            found = {place: _look(study, rows, at.index(place), place in narrow) for place in wanted}
            narrow = {place for place, look in found.items() if look.narrow}
            states |= {
                place: replace(states[place], unit=look.unit, x=look.x, over=look.over) for place, look in found.items()
            }
            wanted = {place: look.doses for place, look in found.items() if look.doses}
    yield Round((), tuple(states.values()))


def opening(study: StudyFile, data: str) -> list[RunSpec]:
    """What curves start from where nothing is known: each dose once, dose 0 included."""
    places = [place for stage in _stages(study) for place in stage]
    return [_run(study, data, at, dose, i) for at in places for i, dose in enumerate(_opening(study, at, ()))]


def judged(study: StudyFile, rows: Rows, at: int) -> State:
    """How a search would judge one curve of any design: rows of every curve, and which of them it is."""
    look, own = _look(study, rows, at, was_narrow=True, plans=False), rows[at]
    return State(int(own[0].size), int(own[0].tokens), len(own), look.unit, look.x, look.over)


def most_runs(study: StudyFile) -> int:
    """The most runs of a curve: those of the study file, but never fewer than it starts from."""
    return max(study.search.runs, len(_given(study)) + 1)


def tried(study: StudyFile) -> tuple[float, ...]:
    """All doses above 0 that a search may try, ascending: those of the study file, and evenly between them in x."""
    given = _given(study)
    x, found = x_at(given, study.unit), []
    for i, (low, high) in enumerate(pairwise(x)):
        steps = int(np.ceil((high - low) / SPACING - 1e-9))
        between = Scale(study.unit).dose(np.linspace(low, high, steps + 1)[1:-1])
        found += [given[i], *(float(f"{dose:.5g}") for dose in between)]
    return (*found, given[-1])


def _given(study: StudyFile) -> list[float]:
    return sorted({*study.design.shares, *study.design.exposures} - {0.0})


def _stages(study: StudyFile) -> list[list[CurvePlace]]:
    """Curves that are searched together: of the two smallest sizes, then of each larger one."""
    sizes, token_counts = sorted(set(study.design.sizes)), sorted(set(study.design.tokens))
    return [[(n, d) for n in part for d in token_counts] for part in (sizes[:2], *([n] for n in sizes[2:]))]


def _run(study: StudyFile, data: str, place: CurvePlace, dose: float, number: int) -> RunSpec:
    """The run of that number on a curve: the seeds listed first, then on from the largest."""
    seeds = sorted(set(study.design.seeds))
    seed = seeds[number] if number < len(seeds) else seeds[-1] + 1 + number - len(seeds)
    return run_spec(study, data, *place, dose, seed)


def _rows(asked: Iterable[Sequence[RunSpec]], record: Find) -> Rows:
    """The records of each curve; all are there."""
    return tuple(tuple(found for spec in specs if (found := record(spec)) is not None) for specs in asked)


@lru_cache(maxsize=256)
def _opening(study: StudyFile, place: CurvePlace, rows: Rows) -> tuple[float, ...]:
    """Doses that a curve starts from: around what the law of the others predicts, else those of the study file."""
    doses = np.array(tried(study))
    x = _predicted(place, [replace(row, retention=None, val_bpb=None) for own in rows for row in own])
    if x.value is None or x.low is None or x.high is None:
        return (0.0, *_given(study))
    wanted = [x.low + AROUND[0], x.low + AROUND[1], x.low, x.value, x.high, x.high + AROUND[2]]
    at = _x_of_doses(study, doses, [row for own in rows for row in own if row.tokens == place[1]])
    near = sorted({int(np.argmin(np.abs(at - want))) for want in wanted})
    return (0.0, *(float(doses[i]) for i in near))


def _predicted(place: CurvePlace, rows: Sequence[RunRecord]) -> Interval:
    """The collapse that the law of some rows predicts at a place; nothing where they have no law of it."""
    if not any(row.recall is not None for row in rows):
        return Interval()
    points = [point for point in find_points(rows) if point.kind == "collapse"]
    return fit_law(rows, points).predict_point("collapse", *place).x


def _x_of_doses(study: StudyFile, doses: Array, rows: Sequence[RunRecord]) -> Array:
    """Doses (G,) of the study's unit as x of a table's: the table may know the share of an exposure."""
    if study.unit == "exposures" and rows and unit_of(rows) == "share":
        per_share = scale_of(rows, "share").per_share
        return log_odds(np.minimum(doses / per_share, 1 - 1e-9)) if per_share else np.log10(doses)
    return x_at(doses, study.unit)


@dataclass(frozen=True)
class _Look:
    """What a curve says: its collapse in the coordinate of a unit, why it is over, and the doses of its next round."""

    unit: DoseUnit
    x: Interval
    over: str
    narrow: bool = False
    doses: tuple[float, ...] = ()


@lru_cache(maxsize=1024)
def _look(study: StudyFile, rows: Rows, at: int, was_narrow: bool, plans: bool = True) -> _Look:
    """Look at one curve of all that there are.

    was_narrow: whether its interval was narrow enough a round ago; plans: whether to choose doses for its next round.
    """
    own = rows[at]
    every = tuple(row for part in rows for row in part)
    curve, pool = next(pair for pair in with_pools(every, "recall") if _is_of(pair[0], own[0]))
    unit = curve.scale.unit
    if len(curve.x) < 2:
        return _Look(unit, NOWHERE, DEAD)
    data, doses = pool.seen_by(observed(curve)), np.array(tried(study))
    rough = sketches(data, pool)
    place = locate(data, "fall", rough)
    x = _x_of_doses(study, doses, own)
    bare = for_plateau(curve, rough, x)
    narrow = not bare and _is_narrow(data, pool, place, rough, study.search.width) and falls(place)
    left = most_runs(study) - len(own)
    if narrow and (was_narrow or left <= 0):
        return _Look(unit, place.interval(), LOCATED)
    over = _outside(study, curve, data, pool, place, rough, float(x[-1])) or (SPENT if left <= 0 else "")
    if over or not plans:
        return _Look(unit, place.interval(), over)
    count = min(max(study.search.round, len(own) // ROUND_GROWTH), left)
    chosen = [*bare, *most_telling(curve, rough, x, count)][:count]
    return _Look(unit, place.interval(), "", narrow, tuple(float(doses[i]) for i in chosen))


def _is_of(curve: Curve, row: RunRecord) -> bool:
    return (curve.size, curve.tokens) == (row.size, row.tokens)


def _is_narrow(data: Observed, pool: Pool, place: Likelihood, rough: Sketch, width: float) -> bool:
    """Whether half the interval is at most `width`, and also that over all forms which the data do not rule out."""
    if _ends(place)[1] - _ends(place)[0] > 2 * width:
        return False
    forms = [Sketch(tuple(part for part in rough.parts if part[2].form == form), pool) for form, _ in pool.forms]
    left = [sketch for sketch in forms if sketch.peak >= rough.peak - RIVAL]
    lows, highs = zip(*(_ends(locate(data, "fall", sketch)) for sketch in left), strict=True)
    return bool(max(highs) - min(lows) <= 2 * width)


def _ends(place: Likelihood) -> tuple[float, float]:
    return place.quantile((1 - LEVEL) / 2), place.quantile((1 + LEVEL) / 2)


def _outside(
    study: StudyFile, curve: Curve, data: Observed, pool: Pool, place: Likelihood, rough: Sketch, top: float
) -> str:
    """Why no collapse is to be found in range; "" while one may. top: x of the largest dose there is."""
    (low, high), runs = _ends(place), sum(curve.seeds)
    patient = runs >= len(_given(study)) + PATIENCE * study.search.round
    if locate(data, "rise", rough).masses[-1] > UNSURE:
        return UNLEARNED if patient else ""
    if curve.x[-1] > top - SPACING / 2:
        no_fall = curve.seeds[-1] >= ON_TOP and high == np.inf and not falls(place)
        if low >= curve.x[-1] - study.search.width or no_fall:
            return NONE
    return BEFORE_GRID if high <= curve.x[0] + study.search.width else ""
