"""Predictions against what came of them: plain cells for any table, and the part of a report that holds them."""

from typing import Any

from infusionlaw.law.dose import Interval
from infusionlaw.report.html import paragraph, table
from infusionlaw.report.numbers import bracket, count, number, share, when

POINTS = ("kind", "size", "tokens", "unit", "predicted", "observed", "error, dex", "interval holds it")
SCORES = ("size", "tokens", "dose", "share", "score", "predicted", "measured", "error", "interval holds it")
HIT = {True: "hit", False: "miss", None: "cannot be said"}


def point_rows(comparison: dict[str, Any]) -> list[tuple[str, ...]]:
    """Predicted and observed points as cells of the columns POINTS."""
    return [
        (
            row["kind"],
            number(row["size"]),
            number(row["tokens"]),
            row["unit"],
            bracket(Interval(**row["predicted"]), share if row["unit"] == "share" else count),
            _seen(row),
            "-" if row["error_dex"] is None else f"{row['error_dex']:+.2f}",
            HIT[row["inside"]],
        )
        for row in comparison["points"]
    ]


def _seen(row: dict[str, Any]) -> str:
    seen = row["observed"]
    text = bracket(Interval(seen["value"], seen["low"], seen["high"]), share if row["unit"] == "share" else count)
    return text if seen["status"] == "found" else f"{seen['status']}: {text}"


def score_rows(comparison: dict[str, Any]) -> list[tuple[str, ...]]:
    """Predicted and measured scores at the doses that the prediction looks at, as cells of the columns SCORES."""
    return [
        (
            number(row["size"]),
            number(row["tokens"]),
            row["name"],
            "-" if row["share"] is None else share(row["share"]),
            row["score"].replace("_", " "),
            bracket(Interval(**row["predicted"]), "{:.3g}".format),
            f"{row['observed']['value']:.3g} ± {row['observed']['se']:.2g}",
            f"{row['error']:+.2g}",
            HIT[row["inside"]],
        )
        for row in comparison.get("scores", ())
    ]


def regrets(comparison: dict[str, Any]) -> list[str]:
    """What the advised dose gave away at each target, a sentence each."""
    return [
        f"At {number(row['size'])} parameters and {number(row['tokens'])} tokens the advised dose gave a recall of "
        f"{row['recall']:.2f} where the best dose run, {_dose_of(row)}, gave {row['best_recall']:.2f}."
        for row in comparison.get("regret", ())
    ]


def _dose_of(row: dict[str, Any]) -> str:
    known = row["best_share"]
    return f"{count(row['best_exposures'])} exposures" if known is None else f"a share of {share(known)}"


def comparison_part(comparison: dict[str, Any]) -> str:
    """Predicted beside observed, and how far the prediction can be called one."""
    rows = point_rows(comparison)
    if not rows:
        return paragraph("No size was held out, so no prediction was put to the test.")
    written = f"The prediction was written {when(comparison['written'])}"
    ahead = "" if comparison["held_out_runs_already_known"] else ", before any held-out run was trained"
    tables = table(POINTS, rows) + table(SCORES, score_rows(comparison))
    told = "".join(map(paragraph, regrets(comparison)))
    return paragraph(f"{written}{ahead}.") + already_known(comparison) + tables + told


def already_known(comparison: dict[str, Any]) -> str:
    """A warning where held-out runs were known when the prediction was written."""
    known = comparison["held_out_runs_already_known"]
    if not known:
        return ""
    runs = "1 held-out run was" if known == 1 else f"{known} held-out runs were"
    return paragraph(f"{runs} already known when the prediction was written: it was no true prediction.", "warning")
