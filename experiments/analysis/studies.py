"""What the pages of single studies need."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log10
from pathlib import Path
from statistics import fmean, geometric_mean, pstdev
from typing import Any

from experiments.analysis.evidence import BITS, plan_of
from experiments.analysis.explanations import moves
from experiments.analysis.findings import EXPLANATIONS, FALLS, NAMES, Findings, recall_alone
from experiments.analysis.pairs import Pair, between_seeds, changes, paired
from infusionlaw.files import read_json
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.planning.compare import ComparedPoint, Comparison, compare
from infusionlaw.law.planning.rules import HUBBLE
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law
from infusionlaw.law.uncertainty import interval_of
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table
from infusionlaw.runs.tabular import read_rows

NEAR = 0.7  # shares from here on lie near the collapses
COPIES = 0.2  # bits a token by which a second reading must be better than the first, for a model that copies
DECADES = (7, 12)  # of tokens, between which two rules of acquisition are compared
Content = dict[str, Any]


def reference(findings: Findings) -> Content:
    """The first grid's prediction, and the same runs on a CPU."""
    reference, retuned, extended = (findings.experiment(name) for name in ("reference", "retuned", "extended"))
    cpu = read_table(reference.folder / "cpu.csv", unit=BITS)
    rows = []
    for name, pairs, base in (
        ("fp32, below half a million", paired(cpu, reference.rows), reference.fitted),
        ("bf16, above", paired(retuned.rows, extended.rows), extended.rows),
    ):
        spread = {score: between_seeds(base, pairs, score) for score in changes(pairs)}
        rows.append({"name": name, "runs": len(pairs), "changes": changes(pairs), "seeds": spread})
    return {"comparison": findings.comparisons["reference"], "devices": rows, "points": _summary(findings)}


def _summary(findings: Findings) -> list[Content]:
    """Of each collapse how many were found in the reference."""
    points = findings.fitted_points("reference")
    own = {kind: [point.status == "found" for point in points if point.kind == kind] for kind in FALLS}
    return [{"name": NAMES[kind], "found": sum(found), "count": len(found)} for kind, found in own.items()]


def repaired(findings: Findings) -> Content:
    """The fixed law's prediction, and what the first law says of the same target."""
    repaired = findings.experiment("repaired")
    # The first law was asked for a size and token count in round numbers, the prediction for what they come to.
    target = repaired.prediction.predictions[0].plan.target
    plan = replace(plan_of(read_json(repaired.folder / "first-law.json")), target=target)
    written = replace(repaired.prediction.predictions[0], plan=plan)
    content = replace(repaired.prediction, predictions=(written,))
    first = compare(content, findings.tested("repaired"), repaired.held_out)
    return {"comparison": findings.comparisons["repaired"], "first": first}


def retuned(findings: Findings) -> Content:
    """The learning rate by size: the same runs at other factors of the first recipe's rate."""
    base = [*findings.experiment("reference").rows, *findings.experiment("repaired").rows]
    rates = findings.experiment("rates").folder
    tables = {
        "× 2": findings.explanation("rate-double").rows,
        "× ½": [*findings.explanation("rate-half").rows, *read_table(rates / "half.csv", unit=BITS)],
        "× ¼": read_table(rates / "quarter.csv", unit=BITS),
    }
    shortest = min(row.tokens for row in base)
    pairs = {name: [pair for pair in paired(base, rows) if pair[0].tokens == shortest] for name, rows in tables.items()}
    sizes = sorted({was.size for each in pairs.values() for was, _ in each if not was.share})
    scores = ("val_bpb", "retention")
    rows = [
        {"size": size, "changes": [_mean_change(each, size, score) for score in scores for each in pairs.values()]}
        for size in sizes
    ]
    return {"comparison": findings.comparisons["retuned"], "tokens": shortest, "rates": rows, "factors": list(pairs)}


def _mean_change(pairs: Sequence[Pair], size: float, score: str) -> float | None:
    """The mean change over seeds without a dose at one size."""
    moved = [getattr(now, score) - getattr(was, score) for was, now in pairs if was.size == size and not was.share]
    return fmean(moved) if moved else None


def extended(findings: Findings) -> Content:
    """Many heads or few: the same runs in the main grid, by size, where they are not the very same."""
    main = findings.experiment("reshaped").fitted
    rows = []
    for size in sorted({row.size for row in main}):
        pairs = paired(findings.experiment("extended").fitted, [row for row in main if row.size == size], NEAR)
        if any(was.recall != now.recall for was, now in pairs):
            rows.append({"size": size, "runs": len(pairs), "changes": changes(pairs)})
    return {"comparison": findings.comparisons["extended"], "rows": rows, "near": NEAR}


def millions(findings: Findings) -> Content:
    """Where retention collapses, and how many statements of a prior fact are left there, with few and with more."""
    first, second = (_retention(findings, name) for name in ("larger", "millions"))
    rows: list[Content] = []
    for at in sorted(first.keys() & second.keys()):
        left = [_left(findings, name, *at, each[at]) for name, each in (("larger", first), ("millions", second))]
        odds = second[at] / (1 - second[at]) / (first[at] / (1 - first[at]))
        rows.append({"place": at, "shares": (first[at], second[at]), "left": left, "odds": odds})
    return {
        "rows": rows,
        "prior": [findings.experiment(name).study.infusion.prior_share for name in ("larger", "millions")],
        "odds": geometric_mean(row["odds"] for row in rows),
        "statements": geometric_mean(row["left"][0] / row["left"][1] for row in rows),
    }


def _retention(findings: Findings, name: str) -> dict[tuple[float, float], float]:
    """By size and token count the share at which retention collapses, where it was found."""
    found = [point for point in findings.fitted_points(name) if point.kind == "retention" and point.status == "found"]
    return {(point.size, point.tokens): point.share.value for point in found if point.share.value is not None}


def _left(findings: Findings, name: str, size: float, tokens: float, dose: float) -> float:
    """Statements of a prior fact over a token count at a dose; a statement is as long as one of a domain fact."""
    experiment = findings.experiment(name)
    facts = experiment.study.facts.prior * len(experiment.study.facts.relations)
    tokens_per_fact = next(row.tokens_per_fact for row in experiment.rows if row.tokens_per_fact)
    return (1 - dose) * tokens * experiment.study.infusion.prior_share / (facts * tokens_per_fact)


def longer(findings: Findings) -> Content:
    """The law with a new form for validation loss: what both forms say of the main grid's targets, and fresh ones."""
    rows = findings.experiment("reshaped").fitted
    targets = [
        {"score": score, "now": _loss(findings.law("reshaped"), score.size, score.tokens)}
        for score in findings.comparisons["reshaped"].scores
        if score.score == "val_bpb" and not score.share
    ]
    sizes = sorted({row.size for row in rows})
    gains = [(size, _gain([row for row in rows if row.size == size])) for size in (sizes[0], sizes[-1])]
    return {"comparison": findings.comparisons["longer"], "targets": targets, "gains": gains}


def _loss(law: Law, size: float, tokens: float) -> Interval:
    """Validation loss without a dose by the law as it is now."""
    draws = law.zero_dose.loss(size, tokens, 4000, 0) if law.zero_dose else None
    return Interval() if draws is None else interval_of(draws)


def _gain(rows: Sequence[RunRecord]) -> float:
    """What the longest token count gains over the shortest in validation loss, without a dose."""
    losses: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        if not row.share and row.val_bpb is not None:
            losses[row.tokens].append(row.val_bpb)
    return fmean(losses[min(losses)]) - fmean(losses[max(losses)])


def other_seeds(findings: Findings) -> Content:
    """How far a seed's runs lie from the mean over seeds, and runs of seeds that the law had not seen."""
    return seeds(findings.experiment("reshaped").fitted, findings.comparisons["other-seeds"],
                 findings.experiment("other-seeds").held_out)  # fmt: skip


def seeds(fitted: Sequence[RunRecord], comparison: Comparison, held: Sequence[RunRecord]) -> Content:
    """What a seed does to validation loss without a dose, and single runs of other seeds beside what was predicted."""
    predicted = {
        (score.size, score.tokens): score.predicted
        for score in comparison.scores
        if score.score == "val_bpb" and not score.share
    }
    others = {at: losses for at, losses in _losses(held).items() if at in predicted}
    each = [(predicted[at], loss) for at, losses in others.items() for loss in losses.values()]
    apart = [loss - fmean(losses.values()) for losses in others.values() for loss in losses.values()]
    return {
        "comparison": comparison,
        "shifts": _shifts(_losses(fitted)),
        "others": sorted(others.items()),
        "predicted": predicted,
        "seeds": sorted({seed for losses in others.values() for seed in losses}),
        "inside": sum((where.low or 0.0) <= loss <= (where.high or 0.0) for where, loss in each),
        "count": len(each),
        "apart": fmean(value**2 for value in apart) ** 0.5,
        "reach": fmean(((where.high or 0.0) - (where.low or 0.0)) / 2 for where, _ in each),
    }


def _losses(rows: Sequence[RunRecord]) -> dict[tuple[float, float], dict[int, float]]:
    """Validation loss without a dose by size and token count, and there by seed."""
    losses: dict[tuple[float, float], dict[int, float]] = defaultdict(dict)
    for row in rows:
        if not row.share and row.seed is not None and row.val_bpb is not None:
            losses[row.size, row.tokens][row.seed] = row.val_bpb
    return losses


def _shifts(losses: Mapping[tuple[float, float], Mapping[int, float]]) -> list[Content]:
    """By token count how far each seed lies from the mean over seeds: mean and deviation over sizes."""
    names = sorted({seed for each in losses.values() for seed in each})
    whole = {at: each for at, each in losses.items() if len(each) == len(names)}
    out = []
    for tokens in sorted({tokens for _, tokens in whole}):
        here = [each for at, each in whole.items() if at[1] == tokens]
        own = {seed: [each[seed] - fmean(each.values()) for each in here] for seed in names}
        out.append({"tokens": tokens, "sizes": len(here), "seeds": {s: (fmean(v), pstdev(v)) for s, v in own.items()}})
    return out


def onset(findings: Findings) -> Content:
    """Acquisition with smaller doses beside what the main grid and its law say of it."""
    law = findings.law("reshaped")
    before = {(p.size, p.tokens): p for p in findings.fitted_points("reshaped") if p.kind == "acquisition"}
    now = {(p.size, p.tokens): p for p in findings.fitted_points("onset") if p.kind == "acquisition"}
    rows: list[Content] = [
        {"place": at, "was": before[at], "law": law.predict_point("acquisition", *at).share, "now": now[at]}
        for at in sorted(before.keys() & now.keys())
    ]
    bounded = [row for row in rows if row["was"].status != "found"]
    then, own = acquisition_exponents(findings)
    published = HUBBLE.tokens or 0.0
    first, last = DECADES
    return {
        "rows": rows,
        "largest": max(row.share or 0.0 for row in findings.experiment("onset").rows),
        "bounded": len(bounded),
        "found": sum(row["now"].status == "found" for row in bounded),
        "inside": sum(_side(row["law"], row["now"]) == "inside" for row in bounded),
        "agreeing": sum(_agrees(row["law"], row["now"]) for row in bounded),
        "then": then,
        "now": own,
        "published": published,
        "decades": DECADES,
        # The rule's exponent is of statements, ours of the odds of a share; statements go as tokens to one power more.
        "orders": (last - first) * (published - 1 - (own["tokens"].value or 0.0)),
    }


def acquisition_exponents(findings: Findings) -> tuple[Mapping[str, Interval], Mapping[str, Interval]]:
    """Exponents of the odds at acquisition by the main grid alone, and with the smaller doses."""
    points = {(p.size, p.tokens): p for p in findings.fitted_points("reshaped") if p.kind == "acquisition"}
    points |= {(p.size, p.tokens): p for p in findings.fitted_points("onset") if p.kind == "acquisition"}
    rows = recall_alone(findings.experiment("reshaped").fitted)
    then, now = findings.law("reshaped"), fit_law(rows, list(points.values()))
    return then.of("acquisition").coefficients, now.of("acquisition").coefficients


def _side(said: Interval, point: Point) -> str:
    """Where a point's best value lies beside an interval, whatever its own is; "" where it was not found."""
    value = point.share.value
    if point.status != "found" or value is None:
        return ""
    if value < (said.low or 0.0):
        return "below"
    return "above" if said.high is not None and value > said.high else "inside"


def _agrees(said: Interval, point: Point) -> bool:
    """Whether the errors of both together account for the difference; no where it was not found."""
    if point.status != "found" or point.share.value is None or said.value is None:
        return False
    error = float(log_odds(point.share.value) - log_odds(said.value))
    at = (point.kind, point.size, point.tokens)
    return bool(ComparedPoint(*at, "share", said, point.share, point.status, error, None).agrees)


def copying(findings: Findings) -> Content:
    """Every run's losses, which of them copy, and the most that a second reading gains in those that do not."""
    return second_readings(findings.experiment("copying").folder / "runs.csv")


def second_readings(path: Path) -> Content:
    """The same from a table."""
    rows: list[Content] = [{name: float(value) for name, value in row.items()} for row in read_rows(path)[1].values()]
    for row in rows:
        row["gain"] = row["first"] - row["again"]
        row["copies"] = row["gain"] > COPIES
    others = [row["gain"] for row in rows if not row["copies"]]
    return {"rows": rows, "least": COPIES, "copying": [row for row in rows if row["copies"]], "most": max(others)}


def explanations(findings: Findings) -> Content:
    """Each study beside the runs of the reference that differ from it in one setting."""
    base = findings.experiment("reference")
    rows, moved = [], []
    for name, label in EXPLANATIONS.items():
        each = list(moves(findings.fitted_points("reference"), findings.fitted_points(name)))
        told = [move for move in each if move.odds is not None]
        clear = [move for move in told if move.odds is not None and move.odds.clear]
        pairs = paired(base.rows, findings.explanation(name).rows, NEAR)
        counts = {"told": len(told), "count": len(each), "moved": len(clear)}
        rows.append({"name": label, "changes": changes(pairs), **counts})
        moved += [{"name": label, "move": move} for move in clear]
    double = moves(findings.fitted_points("reference"), findings.fitted_points("facts-double"))
    both = [(move.odds.moved, move.exposures.moved) for move in double if move.odds and move.exposures]
    odds, exposures = (fmean(each) for each in zip(*both, strict=True)) if both else (0.0, 0.0)
    return {
        "rows": rows,
        "moved": moved,
        "near": NEAR,
        "double": {"count": len(both), "odds": odds, "exposures": exposures, "half": log10(0.5)},
    }
