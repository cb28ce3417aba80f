"""Every prediction that runs have tested, in one table: what each law was asked for, and what held."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.markdown import table
from benchmarks.results.grid import FALLS, NAMES
from infusionlaw.law.numbers import listed, number
from infusionlaw.law.planning.compare import ComparedPoint, Comparison
from infusionlaw.law.points.point import Kind

COLUMNS = ("law of", "asked for", *(NAMES[kind] for kind in FALLS), "scores", "recall given up")


@dataclass(frozen=True)
class Trial:
    """A law that was asked for targets before their runs were trained; `law` says which, as the table has it."""

    law: str
    comparison: Comparison

    @property
    def tested(self) -> bool:
        """Whether any of its targets has been run."""
        return bool(self.comparison.points or self.comparison.scores)


def summary(trials: Sequence[Trial]) -> str:
    """The table of those that were tested, in the order given; how many held in all; "" without any."""
    tested = [trial for trial in trials if trial.tested]
    if not tested:
        return ""
    return f"{_in_all(tested)}\n\n{table(COLUMNS, [_row(trial) for trial in tested])}"


def _in_all(trials: Sequence[Trial]) -> str:
    counts, agreeing = [], []
    for kind in FALLS:
        points = [point for trial in trials for point in _judged(trial, kind)]
        counts.append(
            f"{sum(bool(point.inside) for point in points)} of {len(points)} predictions of the {NAMES[kind]}"
        )
        agreeing.append(f"{sum(bool(point.agrees) for point in points)} of {len(points)}")
    scores = [score for trial in trials for score in trial.comparison.scores]
    counts.append(f"{sum(score.inside for score in scores)} of {len(scores)} scores at the doses looked at")
    return (
        f"In all trials together the 90 % intervals held {listed(counts)}. What is seen of a collapse is an estimate "
        f"too, often of one seed; with its error combined, as that of scores is, {listed(agreeing)} agree. Each row is "
        "a prediction that was written before its runs, in the order of time; in brackets are errors in dex."
    )


def _row(trial: Trial) -> list[str]:
    comparison = trial.comparison
    seen = [target for target in comparison.targets if target not in comparison.untried]
    by_size: dict[float, list[str]] = {}
    for size, tokens in seen:
        by_size.setdefault(size, []).append(number(tokens))
    asked = "; ".join(f"{number(size)} at {listed(tokens)}" for size, tokens in by_size.items())
    scores = comparison.scores
    right = f"{sum(score.inside for score in scores)} of {len(scores)}" if scores else "–"
    regrets = [f"{max(regret.regret, 0.0):.2f}" for regret in comparison.regrets]
    return [trial.law, asked, *(_held(trial, kind) for kind in FALLS), right, ", ".join(regrets) or "–"]


def _held(trial: Trial, kind: Kind) -> str:
    points = _judged(trial, kind)
    if not points:
        return "–"
    errors = [f"{point.error_dex:+.2f}" for point in points if point.error_dex is not None]
    return f"{sum(bool(point.inside) for point in points)} of {len(points)}" + (
        f" ({', '.join(errors)})" if errors else ""
    )


def _judged(trial: Trial, kind: Kind) -> list[ComparedPoint]:
    return [point for point in trial.comparison.of(kind) if point.inside is not None]
