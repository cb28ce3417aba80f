"""The same runs on a CPU: what another machine's arithmetic changes, beside what another seed does."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from benchmarks.markdown import table
from benchmarks.results.fresh import runs_so_far
from benchmarks.results.grid import Grid
from benchmarks.results.pairs import HEADINGS, SCORES, Pair, changes, paired, place
from infusionlaw.runs.record import RunRecord


def devices(results: Path, first: Grid, larger: Sequence[RunRecord]) -> str:
    """How the scores of runs on a CPU differ from those of the same runs on a GPU, in fp32 and in bf16; "" without.

    larger: runs on a GPU, among them such above half a million parameters.
    """
    small = paired(runs_so_far(results / "reference" / "cpu.csv"), first.rows, 0.0)
    large = paired(runs_so_far(results / "retuned" / "runs.csv"), larger, 0.0)
    rows = []
    for name, pairs, base in (("fp32, below half a million", small, first.fitted_rows), ("bf16, above", large, larger)):
        if pairs:
            seeds = [f"{_between_seeds(base, pairs, score):.3f}" for score in SCORES]
            trunks, *cells = changes(pairs)
            rows += [[name, str(len(pairs)), trunks, *cells], ["between seeds", "", "", *seeds]]
    if not rows:
        return ""
    return "\n\n".join(
        [
            "## The same runs on a CPU",
            "The grids were trained on GPUs, models below half a million parameters in fp32 and larger ones with "
            "products in bf16. Some runs were done on a CPU too, in fp32, the same to the last token: mean difference, "
            "GPU - CPU, ± standard error over trunks, and the deviation between seeds at the same sizes, token counts "
            "and doses.",
            table(["GPU - CPU", "runs", *HEADINGS], rows),
        ]
    )


def _between_seeds(rows: Sequence[RunRecord], pairs: Sequence[Pair], score: str) -> float:
    """Root mean square of the deviations between seeds over the places of the pairs."""
    groups: dict[tuple[float, float, float], list[float]] = {place(was): [] for was, _ in pairs}
    for row in rows:
        if place(row) in groups and (value := getattr(row, score)) is not None:
            groups[place(row)].append(value)
    spreads = [stdev(values) ** 2 for values in groups.values() if len(values) > 1]
    return fmean(spreads) ** 0.5 if spreads else 0.0
