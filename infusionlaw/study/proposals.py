"""Which runs of a study to train next: those that are worth their FLOPs, and why.

Of a search they are the runs of its present round. Of a grid they are chosen as a search would choose, but among the
runs that the grid asks for: every curve (one size and token count) starts from each of its doses once, and then takes
those runs that tell most of where recall collapses, until it is located or not in range. Held-out runs come when all
others are there and the prediction is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from infusionlaw.law.design.look import Look, Rows, Wanted, look
from infusionlaw.runs.record import RunSpec
from infusionlaw.study.search import PATIENCE, ROUND_GROWTH
from infusionlaw.study.study import Study

OPENS, TELLS, LACKS = "opens a curve", "tells most of where recall collapses", "has no result yet"
HELD_OUT = "is held out; its prediction is written"


@dataclass(frozen=True)
class Proposal:
    """A run to train next, and why."""

    spec: RunSpec
    why: str

    @property
    def flops(self) -> float:
        """6 N D."""
        return 6.0 * self.spec.size * self.spec.tokens


@dataclass(frozen=True)
class Proposals:
    """Runs to train next, the cheapest first, and those of a grid that are not worth it now, with the reason.

    predict_first: whether only held-out runs are missing, and their prediction is not written yet.
    """

    runs: tuple[Proposal, ...]
    left: tuple[Proposal, ...] = ()
    predict_first: bool = False


def proposals(study: Study) -> Proposals:
    """Return which runs of a study to train next."""
    missing = study.missing(study.fitted)
    if missing and study.searches:
        opened = {(spec.size, spec.tokens) for spec in study.fitted if study.record(spec) is not None}
        whys = [TELLS if (spec.size, spec.tokens) in opened else OPENS for spec in missing]
        return Proposals(_cheapest_first(map(Proposal, missing, whys)))
    if missing:
        return _of_grid(study, missing)
    held_out = [Proposal(spec, HELD_OUT) for spec in study.missing(study.held_out)]
    if held_out and study.journal.latest(f"predictions/{study.prediction.name}") is None:
        return Proposals((), predict_first=True)
    return Proposals(_cheapest_first(held_out))


def _of_grid(study: Study, missing: Sequence[RunSpec]) -> Proposals:
    chosen: list[Proposal] = []
    left: list[Proposal] = []
    places = list(dict.fromkeys((spec.size, spec.tokens) for spec in study.fitted))
    asked = [[spec for spec in study.fitted if (spec.size, spec.tokens) == place] for place in places]
    known = [tuple(study.records(own)) for own in asked]
    begun = tuple(rows for rows in known if rows)
    for own, rows in zip(asked, known, strict=True):
        lacking = [spec for spec in own if spec in missing]
        if not lacking:
            continue
        done = {spec.dose for spec in own if spec not in missing}
        opening = [spec for spec in _once_each(lacking) if spec.dose not in done]
        if opening or all(row.recall is None for row in rows):
            chosen += [Proposal(spec, OPENS) for spec in opening] or [Proposal(spec, LACKS) for spec in lacking]
            continue
        seen = _look(study, begun, begun.index(rows), own, len(lacking))
        best = _of_doses(lacking, seen.doses)
        if not best and not seen.over:  # what would tell more was done as often as the grid asks
            chosen += [Proposal(spec, LACKS) for spec in lacking]
            continue
        chosen += [Proposal(spec, TELLS) for spec in best]
        left += [Proposal(spec, seen.over or "tells less") for spec in lacking if spec not in best]
    return Proposals(_cheapest_first(chosen), tuple(left))


def _look(study: Study, rows: Rows, at: int, own: Sequence[RunSpec], lacking: int) -> Look:
    doses = tuple(sorted({spec.dose for spec in own if spec.dose}))
    return look(
        rows,
        at,
        Wanted(
            doses=doses,
            unit=study.file.unit,
            width=study.file.search.width,
            left=lacking,
            count=min(max(study.file.search.round, len(rows[at]) // ROUND_GROWTH), lacking),
            patience=len(doses) + PATIENCE * study.file.search.round,
            was_narrow=True,
        ),
    )


def _once_each(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """The first of the runs of each dose."""
    return list({spec.dose: spec for spec in reversed(specs)}.values())[::-1]


def _of_doses(lacking: Sequence[RunSpec], doses: Sequence[float]) -> list[RunSpec]:
    """Return a run that is lacking for each of these doses; where none of a dose is left, none."""
    left = list(lacking)
    found = []
    for dose in doses:
        if spec := next((spec for spec in left if spec.dose == dose), None):
            left.remove(spec)
            found.append(spec)
    return found


def _cheapest_first(found: Iterable[Proposal]) -> tuple[Proposal, ...]:
    return tuple(sorted(found, key=lambda proposal: proposal.flops))
