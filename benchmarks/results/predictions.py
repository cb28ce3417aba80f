"""What was predicted before the held-out runs were trained, beside what came of them."""

from typing import Any

from benchmarks.markdown import table
from benchmarks.results.grid import NAMES, Grid
from infusionlaw.law.dose import Interval
from infusionlaw.records import RunRecord
from infusionlaw.report.numbers import bracket, count, number, share, when


def predictions(grid: Grid) -> str:
    """The tables of points, scores and regrets, and what the advice would have saved; "" without a prediction."""
    comparison = grid.comparison
    if "written" not in comparison:
        return ""
    known = comparison["held_out_runs_already_known"]
    ahead = "before any held-out run was trained" if not known else f"when {known} held-out runs were already known"
    parts = [
        "## Predictions before outcomes",
        f"Written {when(comparison['written'])}, {ahead}, from the table whose SHA-256 begins with "
        f"`{comparison['table_sha256'][:12]}`.",
        _points(comparison) or "No held-out run has been trained yet.",
        _scores(comparison),
        *(_regret(row) for row in comparison["regret"]),
        _saved(grid),
    ]
    return "\n\n".join(part for part in parts if part)


def _points(comparison: dict[str, Any]) -> str:
    rows = []
    for row in comparison["points"]:
        show = share if row["unit"] == "share" else count
        seen = row["observed"]
        where = bracket(Interval(seen["value"], seen["low"], seen["high"]), show)
        rows.append(
            [
                NAMES[row["kind"]],
                number(row["size"]),
                number(row["tokens"]),
                bracket(Interval(**row["predicted"]), show),
                where if seen["status"] == "found" else f"{seen['status']}: {where}",
                "–" if row["error_dex"] is None else f"{row['error_dex']:+.2f}",
                hit(row["inside"]),
            ]
        )
    head = ["point", "size", "budget", "predicted", "observed", "error, dex", ""]
    return table(head, rows) if rows else ""


def _scores(comparison: dict[str, Any]) -> str:
    rows = [
        [
            number(row["size"]),
            number(row["tokens"]),
            f"{row['name']} ({share(row['share'])})",
            row["score"].replace("_", " "),
            bracket(Interval(**row["predicted"]), "{:.2f}".format),
            f"{row['observed']['value']:.2f} ± {row['observed']['se']:.2f}",
            f"{row['error']:+.2f}",
            hit(row["inside"]),
        ]
        for row in comparison["scores"]
    ]
    head = ["size", "budget", "dose (share)", "score", "predicted", "measured", "error", ""]
    return table(head, rows) if rows else ""


def _regret(row: dict[str, Any]) -> str:
    return (
        f"Regret at {number(row['size'])} parameters and {number(row['tokens'])} tokens: recall {row['recall']:.2f} at "
        f"the advised share of {share(row['share'])}, {row['best_recall']:.2f} at the best share run, "
        f"{share(row['best_share'])}: {row['regret']:.2f} given away."
    )


def _saved(grid: Grid) -> str:
    """What the grid of small models cost, beside the same doses and seeds at the largest target."""
    held = [row for row in grid.rows if row.held_out]
    if not held:
        return ""
    largest = max(held, key=lambda row: (row.total_size or row.size) * row.tokens)
    doses = len({(round(row.share or 0.0, 3), row.seed) for row in grid.fitted_rows})
    small, large = sum(map(operations, grid.fitted_rows)), doses * operations(largest)
    return (
        f"The grid took {small:.2g} floating-point operations (6 a parameter and token, each run counted whole); as "
        f"many doses and seeds at {number(largest.size)} parameters and {number(largest.tokens)} tokens would have "
        f"taken {large:.2g}, {large / small:.1f} times as many."
    )


def operations(row: RunRecord) -> float:
    """Floating-point operations of a run: 6 a parameter and token."""
    return 6 * (row.total_size or row.size) * row.tokens


def hit(inside: bool | None) -> str:
    """Hit or miss in a word."""
    return {True: "hit", False: "**miss**", None: "cannot be said"}[inside]
