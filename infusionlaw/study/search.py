"""Search for the collapse: choose the next runs, a pure function of the study file and the runs that are done.

A curve (one size and token count) starts from a few doses, once each, and then takes runs in rounds, always those that
are expected to tell most of where recall collapses (`law/design/look.py`). A dose may come again, and every run
of a curve has a seed of its own.

The two smallest sizes come first, together; a larger one then starts around the collapse that the law of the smaller
ones predicts. Rounds are replayed from the first one: each is a function of the records of those before it, so that it
does not matter where a study was stopped. How many runs a round has is the study file's, not the machine's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from infusionlaw.law.design.look import NOWHERE, SPACING, Look, Rows, Wanted, look, x_of_doses
from infusionlaw.law.dose import Interval, Scale, x_at
from infusionlaw.law.points.find import find_points
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.runs.record import DoseUnit, RunRecord, RunSpec
from infusionlaw.settings import StudyFile
from infusionlaw.study.design import run_spec

CurvePlace = tuple[int, int]  # size and token count of a curve
Find = Callable[[RunSpec], RunRecord | None]
# A larger size starts at the predicted interval and so far (dex) to its sides: two doses on the plateau, one beyond.
AROUND = (-0.6, -0.3, 0.3)
# A round has a part of the runs that a curve already has: what few runs more cannot tell is not asked of a few.
ROUND_GROWTH = 3
PATIENCE = 2  # rounds after which a curve that never leaves guessing is given up


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
    """Yield the rounds of a search, as far as the records go: the last one lacks some, or has no runs.

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
    """Return the runs that curves start from where nothing is known: each dose once, dose 0 included."""
    places = [place for stage in _stages(study) for place in stage]
    return [_run(study, data, at, dose, i) for at in places for i, dose in enumerate(_opening(study, at, ()))]


def judged(study: StudyFile, rows: Rows, at: int) -> State:
    """Return how a search would judge one curve of any design: rows of every curve, and which of them it is."""
    look, own = _look(study, rows, at, was_narrow=True, plans=False), rows[at]
    return State(int(own[0].size), int(own[0].tokens), len(own), look.unit, look.x, look.over)


def most_runs(study: StudyFile) -> int:
    """Return the most runs of a curve: those of the study file, but never fewer than it starts from."""
    return max(study.search.runs, len(_given(study)) + 1)


def tried(study: StudyFile) -> tuple[float, ...]:
    """Return all doses above 0 that a search may try, ascending: those of the file, and evenly between them in x."""
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
    """Return the curves that are searched together: of the two smallest sizes, then of each larger one."""
    sizes = sorted(set(study.design.sizes))
    return [list(study.design.places_of(part)) for part in (sizes[:2], *([n] for n in sizes[2:]))]


def _run(study: StudyFile, data: str, place: CurvePlace, dose: float, number: int) -> RunSpec:
    """Return the run of that number on a curve: the seeds listed first, then on from the largest."""
    seeds = sorted(set(study.design.seeds))
    seed = seeds[number] if number < len(seeds) else seeds[-1] + 1 + number - len(seeds)
    return run_spec(study, data, *place, dose, seed)


def _rows(asked: Iterable[Sequence[RunSpec]], record: Find) -> Rows:
    """Return the records of each curve; all are there."""
    return tuple(tuple(found for spec in specs if (found := record(spec)) is not None) for specs in asked)


@lru_cache(maxsize=256)
def _opening(study: StudyFile, place: CurvePlace, rows: Rows) -> tuple[float, ...]:
    """Return the doses that a curve starts from: around what the law of the others predicts, else those of the file."""
    doses = np.array(tried(study))
    x = _predicted(place, [replace(row, retention=None, val_bpb=None) for own in rows for row in own])
    if x.value is None or x.low is None or x.high is None:
        return (0.0, *_given(study))
    wanted = [x.low + AROUND[0], x.low + AROUND[1], x.low, x.value, x.high, x.high + AROUND[2]]
    at = x_of_doses(study.unit, doses, [row for own in rows for row in own if row.tokens == place[1]])
    near = sorted({int(np.argmin(np.abs(at - want))) for want in wanted})
    return (0.0, *(float(doses[i]) for i in near))


def _predicted(place: CurvePlace, rows: Sequence[RunRecord]) -> Interval:
    """Return the collapse that the law of some rows predicts at a place; nothing where they have no law of it."""
    if not any(row.recall is not None for row in rows):
        return Interval()
    points = [point for point in find_points(rows) if point.kind == "collapse"]
    return fit_law(rows, points).predict_point("collapse", *place).x


def _look(study: StudyFile, rows: Rows, at: int, was_narrow: bool, plans: bool = True) -> Look:
    """Look at one curve of all that there are.

    was_narrow: whether its interval was narrow enough a round ago; plans: whether to choose doses for its next round.
    """
    own = rows[at]
    left = most_runs(study) - len(own)
    return look(
        rows,
        at,
        Wanted(
            doses=tried(study),
            unit=study.unit,
            width=study.search.width,
            left=left,
            count=min(max(study.search.round, len(own) // ROUND_GROWTH), left) if plans else 0,
            patience=len(_given(study)) + PATIENCE * study.search.round,
            was_narrow=was_narrow,
        ),
    )
