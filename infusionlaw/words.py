"""Results as plain text: numbers for people, the state of a study, points, a plan, and the verdict a report opens with.

Everything here returns plain text; a page escapes it. Needs no torch.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.files import read_json
from infusionlaw.law.dose import Interval
from infusionlaw.law.fit import Law
from infusionlaw.law.points import Point
from infusionlaw.plan import Plan
from infusionlaw.records import DoseUnit, RunRecord, RunSpec
from infusionlaw.study import Study
from infusionlaw.studyfile import StudyFile

MARKS = {"done": "+", "in training": "~", "missing": ".", "diverged": "x"}


def number(value: float) -> str:
    """A count for people: 28 000 is "28k", 1 500 000 "1.5M"."""
    value = float(f"{value:.3g}")
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def share(value: float) -> str:
    """A share with two decimals, more only where it is near 0 or 1: 0.87, 0.975, 0.0034."""
    edge = min(value, 1 - value)
    if edge <= 0:
        return f"{value:.0f}"
    decimals = 2 if edge >= 0.05 else min(6, 1 - math.floor(math.log10(edge)))
    text = f"{value:.{decimals}f}"
    return text if decimals == 2 else text.rstrip("0").ljust(4, "0")


def count(value: float) -> str:
    """Exposures to three digits, written out: 340, 2,170, 4.2."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def bracket(interval: Interval, show: Callable[[float], str]) -> str:
    """`value [low, high]`; "above" or "below" for a bound, "open" for an end the data do not set, "-" for nothing."""
    if interval.value is None:
        if interval.low is not None:
            return f"above {show(interval.low)}"
        return f"below {show(interval.high)}" if interval.high is not None else "-"
    low, high = ("open" if end is None else show(end) for end in (interval.low, interval.high))
    return f"{show(interval.value)} [{low}, {high}]"


def dose(interval: Interval, unit: DoseUnit) -> str:
    """A dose with its interval in its unit: "a share of 0.87 [0.80, 0.91]", "340 [210, 520] exposures"."""
    if unit == "share":
        return f"a share {'' if interval.value is None else 'of '}{bracket(interval, share)}"
    return f"{bracket(interval, count)} exposures"


def listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def points_text(points: Sequence[Point]) -> str:
    """An aligned table of points: kind, size, tokens, status, share and exposures with 90 % intervals."""
    header = ("kind", "size", "tokens", "status", "share", "exposures")
    return aligned([header, *(point_cells(point) for point in points)]) if points else "no points"


def point_cells(point: Point) -> tuple[str, ...]:
    """One point as the cells of a table: kind, size, tokens, status, share, exposures."""
    where = (number(point.size), number(point.tokens))
    return (point.kind, *where, point.status, bracket(point.share, share), bracket(point.exposures, count))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as left-aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def plan_text(plan: Plan) -> str:
    """A plan in a few sentences, one a line: the dose, the points it rests on, its status and its flags."""
    facts = [f"{number(plan.facts)} facts"] if plan.facts else []
    target = listed([f"{number(plan.size)} parameters", f"{number(plan.tokens)} tokens", *facts])
    lines = [f"Plan for {target} (status: {plan.status}; intervals are 90 %).", _dose_sentence(plan)]
    if plan.dose.x.value is not None:
        lines.append(f"Recall is expected to collapse at {_both_units(plan.collapse)}.")
        if plan.acquisition.x.value is not None:
            lines.append(f"The facts are expected to be learned from {_both_units(plan.acquisition)} on.")
        lines += _retention_sentence(plan)
    return "\n".join([*lines, *(f"Note: {note}." for note in plan.notes)])


def _dose_sentence(plan: Plan) -> str:
    advised = plan.dose
    if advised.x.value is None:
        return "No dose can be advised."
    units = [
        text
        for known, text in (
            (advised.share, f"a share of {bracket(advised.share, share)}"),
            (advised.exposures, f"{bracket(advised.exposures, count)} exposures of each fact"),
            (advised.tokens, f"{bracket(advised.tokens, number)} infused tokens"),
        )
        if known.value is not None
    ]
    lead = "The largest dose safe from collapse would be" if plan.status == "no safe dose" else "Advised dose:"
    return f"{lead} {', '.join(units)}; it has at most a 5 % probability of lying beyond the collapse of recall."


def _both_units(point: Any) -> str:
    texts = [f"a share of {bracket(point.share, share)}"] if point.share.value is not None else []
    texts += [f"{bracket(point.exposures, count)} exposures"] if point.exposures.value is not None else []
    return f"{texts[0]} ({texts[1]})" if len(texts) == 2 else "".join(texts)


def _retention_sentence(plan: Plan) -> list[str]:
    if plan.retention.x.value is None or plan.dose.x.value is None:
        return []
    beyond = plan.dose.x.value > plan.retention.x.value
    warning = ", which is below the advised dose: expect to lose some of them" if beyond else ""
    return [f"Retention of prior facts is expected to fall from {_both_units(plan.retention)} on{warning}."]


def verdict(law: Law, comparison: dict[str, Any], plan: Plan) -> list[str]:
    """What a study found, in a few paragraphs of plain words, failures included."""
    return [
        *_falls(law.of("collapse").points, "Recall of the infused facts collapses", "collapse of recall"),
        *_falls(law.of("retention").points, "Prior facts begin to be lost", "collapse of retention"),
        *_direction(law),
        *_outcomes(comparison),
        " ".join([*plan_text(plan).split("\n")[:2], *_far(plan)]),
    ]


def _place(point: Point, points: Sequence[Point]) -> str:
    """The size of a point, with its budget where several were tried."""
    several = max(p.tokens for p in points) > 1.06 * min(p.tokens for p in points)
    return f"{number(point.size)} parameters" + (f" and {number(point.tokens)} tokens" if several else "")


def _far(plan: Plan) -> list[str]:
    flag = plan.support.flag
    return [f"Mind that {flag}."] if flag and plan.dose.x.value is not None else []


def _falls(points: Sequence[Point], lead: str, name: str) -> list[str]:
    """Where a score falls at each size, and for which sizes that could not be placed, with the reason."""
    located = [p for p in points if p.x.value is not None]
    missing = [p for p in points if p.x.value is None]
    texts = []
    if located:
        where = [f"{dose(_in_unit(p), p.unit)} for {_place(p, points)}{_doubt(p)}" for p in located]
        texts.append(f"{lead} beyond {listed(where)}.")
    if missing:
        reasons = dict.fromkeys(f"{p.status}: {p.note}" for p in missing)
        groups = [
            f"{listed([_place(p, points) for p in missing if f'{p.status}: {p.note}' == reason])} ({reason})"
            for reason in reasons
        ]
        texts.append(f"No {name} {'was found' if not located else 'could be placed'} for {listed(groups)}.")
    return [" ".join(texts)] if texts else []


def contrast(rows: Sequence[RunRecord]) -> str:
    """What is left at the largest dose of the fitted runs: surface recall beside recall and guessing; "" if unknown."""
    runs = [row for row in rows if not row.held_out and row.recall is not None and row.surface_recall is not None]
    doses = [row.share if row.share is not None else row.exposures or 0.0 for row in runs]
    last = [row for row, dose in zip(runs, doses, strict=True) if dose >= 0.999 * max(doses)]
    if not last:
        return ""
    recall, surface, unseen = (
        [value for row in last if (value := getattr(row, name)) is not None]
        for name in ("recall", "surface_recall", "unseen_recall")
    )
    guessing = f"; guessing gives {_mean(unseen)}" if unseen else ""
    return (
        f"At the largest dose, over all fitted sizes, the mean surface recall is {_mean(surface)} and the mean recall "
        f"{_mean(recall)}{guessing}."
    )


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.2f}"


def _in_unit(point: Point) -> Interval:
    return point.share if point.unit == "share" else point.exposures


def _doubt(point: Point) -> str:
    return f" (ambiguous: {point.note})" if point.status == "ambiguous" else ""


def _direction(law: Law) -> list[str]:
    """What size and budget do to the collapse point, each with the interval of its exponent."""
    collapse = law.of("collapse")
    if collapse.form is None:
        return [f"No law of the collapse point was fitted: {collapse.reason}."]
    if not collapse.form.size_varied:
        return ["Only one size has a collapse point, so nothing is known of how it moves with size."]
    causes = [("size", "Larger models", "parameters")]
    causes += [("tokens", "Models trained for longer", "training tokens")] if collapse.form.tokens_varied else []
    what = "odds of the share" if law.unit == "share" else "exposures"
    return [_sentence(collapse.coefficients[name], who, cause, what) for name, who, cause in causes]


def _sentence(exponent: Interval, who: str, cause: str, what: str) -> str:
    factor = bracket(exponent.map(lambda end: 10.0**end), lambda end: f"{end:.2f}" if end < 10 else number(end))
    numbers = f"ten times the {cause} multiply the {what} at collapse by {factor}"
    exact = f"(exponent {bracket(exponent, '{:.2f}'.format)})"
    if (exponent.low or 0.0) > 0:
        return f"{who} collapse at larger doses: {numbers} {exact}."
    if (exponent.high or 0.0) < 0:
        return f"{who} collapse at smaller doses: {numbers} {exact}."
    return (
        f"Whether {who[0].lower()}{who[1:]} collapse at larger or smaller doses is not settled by these runs: "
        f"{numbers} {exact}, and the interval holds both directions."
    )


def _outcomes(comparison: dict[str, Any]) -> list[str]:
    rows = [row for row in comparison["points"] if row["kind"] == "collapse"]
    if not rows:
        return ["No held-out model was compared with a prediction."]
    several = len({row["tokens"] for row in rows}) > 1
    return [_outcome(row, f" at {number(row['tokens'])} tokens" if several else "", comparison) for row in rows]


def _outcome(row: dict[str, Any], budget: str, comparison: dict[str, Any]) -> str:
    name, written = f"held-out {number(row['size'])} model{budget}", when(comparison["written"])
    expected, seen = Interval(**row["predicted"]), row["observed"]
    observed = _observed(Interval(seen["value"], seen["low"], seen["high"]), seen["status"], row["unit"])
    if expected.value is None:
        return f"For the {name} nothing was predicted, for want of a law; observed: {observed}."
    known = comparison["held_out_runs_already_known"]
    before = (
        f"{known} of its runs were already known when this was written ({written}), so it is no true prediction"
        if known
        else f"written {written}, before any of its runs was trained"
    )
    return (
        f"For the {name} the law predicted collapse at {dose(expected, row['unit'])} ({before}). "
        f"Observed: {observed}. {hit(row)}."
    )


def _observed(seen: Interval, status: str, unit: DoseUnit) -> str:
    if seen.value is not None:
        return f"{dose(seen, unit)}{' (ambiguous)' if status == 'ambiguous' else ''}"
    if seen.low is None and seen.high is None:
        return f"nothing could be placed ({status})"
    return f"no collapse within the doses tried ({status}: {dose(seen, unit)})"


def hit(row: dict[str, Any]) -> str:
    """Whether a predicted interval held the observed point, in words, with the distance in dex."""
    if row["inside"] is None:
        return "Neither hit nor miss: there is nothing to compare"
    if row["error_dex"] is None:
        return "A hit: the bound does not contradict the interval" if row["inside"] else "A miss: the bound excludes it"
    side = "above" if row["error_dex"] >= 0 else "below"
    distance = f"{abs(row['error_dex']):.2f} dex {side} the prediction"
    return f"A hit, {distance}" if row["inside"] else f"A miss, {distance} and outside its interval"


def when(stamp: str) -> str:
    """An ISO time stamp for people."""
    return stamp.replace("T", " ").replace("+00:00", " UTC")


def open_folder(folder: Path) -> Study:
    """The study that a folder holds; InputError when it is none."""
    path = Path(folder) / "study.json"
    if not path.exists():
        raise InputError(f"{folder}: no study.json here; name the folder of a study, as `infusionlaw run` made it")
    content = read_json(path)
    try:
        return Study(StudyFile.model_validate(content["file"]), Path(folder), content["data"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a study's settings; run the study file again to write it anew") from error


def status_text(folder: Path) -> str:
    """Which runs of a study are done, in training, missing or diverged, and which results are there."""
    study = open_folder(folder)
    parts = [f"study {study.file.name} in {study.folder}"]
    for name, specs in (("fitted", study.fitted), ("held out", study.held_out)):
        if specs:
            parts.append(_runs_text(name, study, specs))
    return "\n\n".join([*parts, _results_text(study.folder)])


def _state(study: Study, spec: RunSpec) -> str:
    record = study.record(spec)
    if record is not None:
        return "done" if record.status == "ok" else "diverged"
    return "in training" if (study.folder / "runs" / spec.id).exists() else "missing"


def _runs_text(name: str, study: Study, specs: Sequence[RunSpec]) -> str:
    """Counts by state, a line a size with one mark a seed under each dose, and the runs that need a word."""
    states = {spec: _state(study, spec) for spec in specs}
    counts = [f"{n} {state}" for state in MARKS if (n := list(states.values()).count(state))]
    doses = sorted({spec.dose for spec in specs})
    show = share if specs[0].unit == "share" else count
    rows: list[list[str]] = [["size", "tokens", f"{specs[0].unit} {show(doses[0])}", *map(show, doses[1:])]]
    for size, tokens in sorted({(spec.size, spec.tokens) for spec in specs}):
        mine = [spec for spec in specs if (spec.size, spec.tokens) == (size, tokens)]
        marks = ["".join(MARKS[states[spec]] for spec in mine if spec.dose == dose) for dose in doses]
        rows.append([number(size), number(tokens), *marks])
    legend = "one mark a seed: " + ", ".join(f"{mark} {state}" for state, mark in MARKS.items())
    words = [
        f"{spec.id}  {number(spec.size)}, {number(spec.tokens)} tokens, {spec.unit} {show(spec.dose)}, "
        f"seed {spec.seed}: {state if state == 'diverged' else _progress(study.folder / 'runs' / spec.id, spec)}"
        for spec, state in states.items()
        if state in ("in training", "diverged")
    ]
    return "\n".join([f"{name}: {len(specs)} runs, {', '.join(counts)}", aligned(rows), legend, *words])


def _progress(run: Path, spec: RunSpec) -> str:
    """How far an unfinished run is on disk: its checkpoint's step, and how much of its tokens the metrics show."""
    if not (run / "checkpoint.json").exists():
        return "begun, no checkpoint yet"
    step, metrics = read_json(run / "checkpoint.json")["step"], run / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf8").splitlines() if metrics.exists() else []
    tokens = max((row["tokens"] for row in map(json.loads, lines) if row["step"] <= step), default=None)
    return f"in training, {step} steps done" + (f" ({tokens / spec.tokens:.0%})" if tokens else "")


def _results_text(folder: Path) -> str:
    written = [read_json(path)["written"] for path in sorted(folder.glob("predictions/*.json"))]
    found = {
        "prediction": f"written {when(max(written))}" if written else "not yet",
        **{name: "there" if (folder / file).exists() else "not yet" for name, file in _RESULTS.items()},
    }
    return "\n".join(f"{name}: {text}" for name, text in found.items())


_RESULTS = {"law": "law.json", "table": "table.csv", "report": "report.html"}
