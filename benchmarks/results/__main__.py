"""The command line, and the page around its parts."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.explanations import explanations
from benchmarks.results.grid import Grid, main_grid, read_grid
from benchmarks.results.predictions import predictions
from benchmarks.results.verdicts import verdicts
from infusionlaw.files import write_text

HEAD = """# Results
Does memory collapse scale, and does the law of small models predict larger ones? Everything here is made from the
tables in `results/` by `scripts/reproduce`; a point is the share of the budget beyond which a score falls, with its
90 % interval, and the study files are `studies/reference.toml` and `studies/explanations/`."""


def page(results: Path, figures: Path) -> str:
    """The whole page; its figures are written into a folder beside it."""
    grid = read_grid(results)
    parts = [HEAD, *(([*_of_grid(grid, figures)]) if grid else []), explanations(results / "explanations", grid)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _of_grid(grid: Grid, figures: Path) -> list[str]:
    return [verdicts(grid), main_grid(grid, figures), predictions(grid)]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description="Write the page of results.")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--check", action="store_true", help="fail if the page is not what it was")
    given = parser.parse_args(arguments)
    before = given.out.read_text(encoding="utf8") if given.out.exists() else ""
    after = page(given.results, given.out.with_suffix(""))
    write_text(given.out, after)
    print(f"wrote {given.out}, {'the same as before' if after == before else 'which is not what it was'}")
    if given.check and after != before:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
