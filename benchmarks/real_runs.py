"""Would today's law have held what came of this project's own predictions? And what does it predict next?

Each law is fitted again to the rows that a committed prediction was made from, and asked for the same targets at the
same doses. Its answers, those of the time and those of two simple methods are compared with one set of outcomes.

    python -m benchmarks.real_runs              # writes docs/real-runs.md
    python -m benchmarks.real_runs --predict    # first writes the prediction of experiments/DATE-next again
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from math import inf
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from scipy.stats import binom

import infusionlaw
from benchmarks.baselines import drop, line, trapezoid
from benchmarks.calibration import code_hash
from benchmarks.markdown import table
from experiments.analysis.evidence import TRIALS, Trial, bare_plan, curves_of, experiment, fitted_to
from experiments.analysis.findings import FALLS, NAMES
from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_json, write_text
from infusionlaw.law.dose import LEVEL, Interval, same_doses, unit_of, x_at, x_of
from infusionlaw.law.numbers import bracket, listed, number, share, when
from infusionlaw.law.planning.at_target import AtTarget
from infusionlaw.law.planning.compare import ComparedPoint, ComparedScore, Comparison, compare
from infusionlaw.law.planning.forecast import forecast
from infusionlaw.law.planning.plan import Plan, predict
from infusionlaw.law.planning.predictions import WrittenPredictions
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law, Prediction
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import table_hash

TOLERANCE = 0.5  # of validation loss, bits per byte: that of every study here
TODAY, THEN, TRAPEZOID, DROP = "today's law", "committed prediction", "trapezoid", "first 10 % drop"
METHODS = (TODAY, THEN, TRAPEZOID, DROP)
BASELINES: Mapping[str, Callable[..., float | None]] = {TRAPEZOID: trapezoid, DROP: drop}
SCORE_OF: dict[Kind, str] = {"collapse": "recall", "retention": "retention"}


@dataclass(frozen=True)
class Bet:
    """A target that no curve has been run at: whose law is asked, the folder of that law, size and tokens."""

    family: str
    base: str
    size: float
    tokens: float


# Twice the longest token count; the corner of the second family's grid that has not been run; six times its largest
# size.
BETS = (
    Bet("main grid", "reshaped", 1_804_176, 11_999_232),
    Bet("second family", "larger", 16_005_504, 39_997_440),
    Bet("second family", "larger", 99_875_776, 9_999_360),
    Bet("second family", "larger", 99_875_776, 19_998_720),
)


@dataclass(frozen=True)
class Seen:
    """What was seen of one collapse at one target, and what each method said of it."""

    law: str
    point: Point
    said: Mapping[str, ComparedPoint]


@dataclass(frozen=True)
class Outcome:
    """All that was seen in the trials, beside what was said.

    scores: whether each score that was predicted at the time was held, by the methods that say something of scores.
    """

    seen: tuple[Seen, ...]
    scores: Mapping[str, tuple[bool, ...]]


class Laws:
    """The laws of experiments, each fitted when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._laws: dict[tuple[str, float], Law] = {}

    def rows(self, base: str, largest: float = inf) -> list[RunRecord]:
        """The rows that a law is fitted to: runs of whole curves that were not held out."""
        return [row for row in experiment(self.root, base).fitted if row.size <= largest]

    def law(self, base: str, largest: float = inf) -> Law:
        """Today's law of those rows."""
        if (base, largest) not in self._laws:
            rows = self.rows(base, largest)
            self._laws[base, largest] = fit_law(rows, find_points(rows, tolerance=TOLERANCE))
        return self._laws[base, largest]


def outcome(laws: Laws, trials: Sequence[Trial] = TRIALS) -> Outcome:
    """What was seen in all trials, beside what each method says of it."""
    found = [_tested(trial, laws) for trial in trials]
    scores = {name: tuple(held for _, by in found for held in _scores(by[name], by[THEN])) for name in (TODAY, THEN)}
    return Outcome(tuple(seen for each, _ in found for seen in each), scores)


def _tested(trial: Trial, laws: Laws) -> tuple[list[Seen], dict[str, Comparison]]:
    """What was seen in one trial, and each method's comparison with it."""
    rows, tested = fitted_to(laws.root, trial), experiment(laws.root, trial.name)
    then, held = tested.prediction, tested.held_out
    points = find_points([*rows, *curves_of(held)], tolerance=TOLERANCE, only_held_out=True)
    asked, law = [item.plan for item in then.predictions], laws.law(trial.base, trial.largest)
    plans = {TODAY: [_today(law, plan) for plan in asked], THEN: asked}
    plans |= {name: [_baseline(name, rows, law, plan) for plan in asked] for name in BASELINES}
    by = {name: compare(_with(then, plans[name]), points, held) for name in plans}
    return list(_seen(trial, points, by)), by


def _with(then: WrittenPredictions, plans: Sequence[Plan]) -> WrittenPredictions:
    """The same prediction with other plans. A collapse that one says nothing of has no value."""
    whole = [replace(plan, points={kind: _nothing(plan, kind) for kind in FALLS} | plan.points) for plan in plans]
    written = tuple(replace(item, plan=plan) for item, plan in zip(then.predictions, whole, strict=True))
    return replace(then, predictions=written)


def _nothing(plan: Plan, kind: Kind) -> Prediction:
    return Prediction(kind, plan.target.size, plan.target.tokens, Interval(), Interval(), Interval())


def _today(law: Law, then: Plan) -> Plan:
    """Today's plan for the target of an earlier one, with a forecast at the doses that were looked at then."""
    plan = predict(law, then.target.size, then.target.tokens, tolerance=TOLERANCE, extrapolate=True)
    at = AtTarget(law, plan.target)
    doses = [(float(x_at(getattr(row, law.unit), law.unit)), row.name) for row in then.forecast]
    return replace(plan, forecast=tuple(forecast(at, x, name) for x, name in doses))


def _baseline(name: str, rows: Sequence[RunRecord], law: Law, then: Plan) -> Plan:
    """What a simple method says of both collapses at a target: a place a curve, then least squares."""
    size, tokens = then.target.size, then.target.tokens
    scale, points = law.scale(tokens), {}
    for kind in FALLS:
        found = [(place, at) for place, x, y in _means(rows, kind) if (at := _place(name, x, y)) is not None]
        where = line([place for place, _ in found], [at for _, at in found], (size, tokens))
        points[kind] = Prediction(kind, size, tokens, where, scale.share(where), scale.exposures(where))
    return bare_plan(then.target, points)


Doses = tuple[float, ...]


@cache
def _place(name: str, x: Doses, y: Doses) -> float | None:
    """Where a simple method sees a curve fall; grids share many curves."""
    return BASELINES[name](np.array(x), np.array(y))


def _means(rows: Sequence[RunRecord], kind: Kind) -> Iterator[tuple[tuple[float, float], Doses, Doses]]:
    """Each curve: (size, tokens), x of its doses above 0, and the mean score over seeds at each."""
    unit = unit_of(rows)
    curves: dict[tuple[float, float], list[tuple[float, float]]] = {}
    for row in rows:
        value, x = getattr(row, SCORE_OF[kind]), x_of(row, unit)
        if value is not None and np.isfinite(x):
            curves.setdefault((row.size, row.tokens), []).append((x, value))
    for place, runs in curves.items():
        runs.sort()
        doses = [[runs[i] for i in group] for group in same_doses([x for x, _ in runs])]
        yield (
            place,
            tuple(fmean(x for x, _ in dose) for dose in doses),
            tuple(fmean(y for _, y in dose) for dose in doses),
        )


def _scores(said: Comparison, then: Comparison) -> Iterator[bool]:
    """Whether a method held each score that was predicted at the time; one that it says nothing of it did not hold."""
    held = {_key(score) for score in said.scores if score.inside}
    return (_key(score) in held for score in then.scores)


def _key(score: ComparedScore) -> tuple[float, float, str, str]:
    return score.size, score.tokens, score.name, score.score


def _seen(trial: Trial, points: Sequence[Point], by: Mapping[str, Comparison]) -> Iterator[Seen]:
    """The collapses that were seen, or of which a bound was."""
    for point in points:
        if point.kind in FALLS and point.x != Interval():
            place = point.kind, point.size, point.tokens
            said = {
                name: next(each for each in by[name].points if (each.kind, each.size, each.tokens) == place)
                for name in METHODS
            }
            yield Seen(trial.law, point, said)


def write_bets(laws: Laws, path: Path, bets: Sequence[Bet] = BETS) -> None:
    """Write what today's laws predict of targets that have not been run; InputError once one of them has been."""
    for bet in bets:
        _check_not_run(bet, laws.root)
    bases = list(dict.fromkeys(bet.base for bet in bets))
    content = {
        "version": 1,
        "table": " and ".join(_table(laws.root, base) for base in bases),
        "table_sha256": table_hash([row for base in bases for row in laws.rows(base)]),
        "law_half": code_hash(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "held_out_runs_already_known": 0,
        "predictions": [_bet_json(bet, laws) for bet in bets],
    }
    write_json(path, content)


def _table(root: Path, base: str) -> str:
    return f"experiments/{experiment(root, base).folder.name}/runs.csv"


def _check_not_run(bet: Bet, root: Path) -> None:
    """InputError where a run with a dose is there at the target, under the recipe of its law."""
    for name in dict.fromkeys((bet.base, *(trial.name for trial in TRIALS if trial.base == bet.base))):
        tested = experiment(root, name)
        if any(
            (row.size, row.tokens) == (bet.size, bet.tokens) and (row.share or row.exposures) for row in tested.rows
        ):
            raise InputError(f"{tested.folder}: {bet.size:,} at {bet.tokens:,} tokens has been run, so it is no bet")


def _bet_json(bet: Bet, laws: Laws) -> dict[str, Any]:
    """A bet under the keys of the committed ones: where it is, and where the points will lie."""
    law = laws.law(bet.base)
    plan = predict(law, bet.size, bet.tokens, tolerance=TOLERANCE, extrapolate=True)
    own = {"family": bet.family, "table": _table(laws.root, bet.base), "table_sha256": law.table}
    where = {"size": bet.size, "tokens": bet.tokens}
    points = {
        kind: {"share": asdict(point.share), "exposures": asdict(point.exposures)}
        for kind, point in plan.points.items()
    }
    return own | {"asked": where, "target": where, "most_rise": TOLERANCE} | points


HEAD = """# Do today's intervals hold what our own runs showed?

These outcomes were known when the code was written, so this page proves nothing. The test is
[predictions for runs that have not been made](#what-it-predicts-next). A 90 % interval should hold nine of ten.

{answer}"""

HOW = """## How to read it

- *Committed prediction*: the one in `experiments/`, made before its runs. Every method is fitted to the same runs as
  that one. The laws are described in [results](results/index.md).
- *Seen*: the collapse that today's code finds in the held-out runs, the same for all methods. The laws are fitted to
  points that the same code finds, which favours them. The 10 % drop marks a later place on a curve.
- *Held*: the 90 % interval holds the value seen. Where only a bound was seen, the interval reaches past it. No interval
  counts as not held. *Agree*: as held, but what was seen has an error too, and this allows for it.
- *Distance*: between seen and predicted, in dex of the odds of the share. 0.3 dex is a factor of 2.
- *Interval score*: the width of the interval in dex, plus 20 times the distance it misses by. Smaller is better.
- *Trapezoid*: a trapezoid is fitted to each curve. *First 10 % drop*: the dose where a score is 10 % below its
  maximum. Both then take least squares in the logs of size and tokens. They give no scores.
- *Scores*: recall, retention and validation loss at the doses that the committed prediction looked at.
- Targets of one law are not independent tests, so 20 of them tell less than 20 separate ones would."""

COLUMNS = (
    *("collapse of", "method", "held", "agree", "no closed interval"),
    *("median distance", "largest distance", "median width", "mean interval score"),
)


def page(found: Outcome, bets: Mapping[str, Any] | None) -> str:
    """The whole page; bets: what is predicted of targets that have not been run, if it has been written."""
    rows = [_row(found, kind, name) for kind in FALLS for name in METHODS]
    scores = [[name, f"{sum(each)} of {len(each)}"] for name, each in found.scores.items()]
    parts = [
        HEAD.format(answer=_answer(found)),
        table(COLUMNS, rows),
        table(["method", "scores held"], scores),
        HOW,
        _bets(bets) if bets else "",
        "## Every target",
        "Shares with 90 % intervals. In brackets: seen minus predicted, in dex. +0.3 means that the collapse came at "
        "twice\nthe odds predicted.",
        table(
            ["law of", "target (parameters at tokens)", "collapse of", "seen", TODAY, THEN],
            [_target(seen) for seen in found.seen],
        ),
        f"Made by `python -m benchmarks.real_runs` from `experiments/`, with infusionlaw {infusionlaw.__version__}\n"
        f"(hash of the law half and of the simulated worlds: {code_hash()}).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer(found: Outcome) -> str:
    told = []
    for kind in FALLS:
        today, then, *simple = (_held(found, kind, name) for name in METHODS)
        told.append(
            f"- **Collapse of {SCORE_OF[kind]}**: {_enough(today, len(_of(found, kind)))}. Today's intervals "
            f"hold {today} of {len(_of(found, kind))}.\n  The committed predictions held {then}. The two simple "
            f"methods hold {listed(list(map(str, simple)))}."
        )
    today, then = (sum(found.scores[name]) for name in (TODAY, THEN))
    told.append(
        f"- **Scores**: today's intervals hold {today} of {len(found.scores[TODAY])}. "
        f"The committed\n  predictions held {then}."
    )
    return "\n".join(told)


def _enough(held: int, count: int) -> str:
    """Whether so many of the 90 % intervals are as many as there should be, give or take their own error."""
    few = binom.cdf(held, count, LEVEL) < 0.1
    return "no, the intervals are too narrow" if few else "yes, as far as so few can tell"


def _of(found: Outcome, kind: Kind) -> list[Seen]:
    return [seen for seen in found.seen if seen.point.kind == kind]


def _held(found: Outcome, kind: Kind, name: str) -> int:
    return sum(bool(seen.said[name].inside) for seen in _of(found, kind))


def _row(found: Outcome, kind: Kind, name: str) -> list[str]:
    said = [seen.said[name] for seen in _of(found, kind)]
    scores = [score for point in said if (score := point.interval_score) is not None]
    errors = [abs(point.error_dex) for point in said if point.error_dex is not None]
    widths = [
        float(np.ptp(x_at([point.predicted.low, point.predicted.high], point.unit)))
        for point in said
        if point.predicted.low is not None and point.predicted.high is not None
    ]
    return [
        SCORE_OF[kind],
        name,
        f"{_held(found, kind, name)} of {len(said)}",
        f"{sum(bool(point.agrees) for point in said)} of {len(said)}",
        str(len(said) - len(scores)),
        *(_told(median, errors), _told(max, errors), _told(median, widths), _told(fmean, scores)),
    ]


def _told(summary: Callable[[list[float]], float], values: list[float]) -> str:
    return f"{summary(values):.2f}" if values else "–"


def _target(seen: Seen) -> list[str]:
    point = seen.point
    where = f"{number(point.size)} at {number(point.tokens)}"
    cells = [_said(seen.said[name]) for name in (TODAY, THEN)]
    return [seen.law, where, SCORE_OF[point.kind], bracket(point.share, share), *cells]


def _said(point: ComparedPoint) -> str:
    error = "" if point.error_dex is None else f" ({point.error_dex:+.2f})"
    missed = " **missed**" if point.inside is False else ""
    return f"{bracket(point.predicted, share)}{error}{missed}"


def _bets(content: Mapping[str, Any]) -> str:
    rows = [
        [
            plan["family"],
            *(number(plan["target"][name]) for name in ("size", "tokens")),
            *(bracket(Interval(**plan[kind]["share"]), share) for kind in FALLS),
        ]
        for plan in content["predictions"]
    ]
    return "\n\n".join(
        [
            "## What it predicts next",
            f"Written {when(content['written'])}, before any infused run was made at these sizes and token counts "
            f"with this\nrecipe, by the law half with hash {content['law_half']}. Shares with 90 % intervals; all of "
            "it is in\n`experiments/2026-11-28-next/prediction.json`.",
            table(["law of", "size", "tokens", *(NAMES[kind] for kind in FALLS)], rows),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_runs", description="Write the page of real runs.")
    parser.add_argument("--experiments", type=Path, default=Path("experiments"))
    parser.add_argument("--out", type=Path, default=Path("docs/real-runs.md"))
    parser.add_argument("--predict", action="store_true", help="write the predictions of what has not been run again")
    given = parser.parse_args(arguments)
    laws, bets = Laws(given.experiments), experiment(given.experiments, "next").folder / "prediction.json"
    if given.predict:
        write_bets(laws, bets)
    write_text(given.out, page(outcome(laws), read_json(bets) if bets.exists() else None))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
