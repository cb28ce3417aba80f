"""The command line, and the page around its parts.

Another processor may round the last digit of a fit another way, so `--check` asks for the same tables and the same
words, not for the same digits.
"""

import argparse
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.devices import devices
from benchmarks.results.explanations import explanations
from benchmarks.results.family import second_family
from benchmarks.results.grid import Grid, read_grid, shown
from benchmarks.results.heads import heads
from benchmarks.results.predictions import predictions
from benchmarks.results.repaired import read_repaired, repaired, trials_of
from benchmarks.results.retuned import read_retuned, retrials_of, retuned
from benchmarks.results.verdicts import verdicts
from infusionlaw.files import write_text

HEAD = """# Results
Does memory collapse scale, and does the law of small models predict larger ones? Everything here is made from the
tables in `results/` by `scripts/reproduce`; a point is the share of the budget beyond which a score falls, with its
90 % interval, and the study files are in `studies/`, each under the name of its folder of tables."""

FIRST = """## The first law: what it said, and what came
The first grid (`reference/runs.csv`) has the same design under the first recipe, and eight sizes up to 452 k; up to
267 k its runs are those of the main grid. Its law was asked for three targets. The sections after this one start from
that grid too."""

MADE_FROM = "## Made from"


def page(results: Path, figures: Path) -> str:
    """The whole page; its figures are written into folders beside it."""
    first, main = read_grid(results / "reference"), read_grid(results / "extended")
    parts = [HEAD, *(_of_grids(first, main or first, results, figures) if first else []), _made_from(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _of_grids(first: Grid, main: Grid, results: Path, figures: Path) -> list[str]:
    """first: the reference as it was run first, which the explanations and the first predictions are of."""
    family = read_grid(results / "millions")
    mended, third = read_repaired(results / "repaired", first), read_retuned(results / "retuned", first)
    trials = [("Of the first law", first.comparison), *trials_of(mended), *retrials_of(third)]
    again = main is not first
    if again:
        trials.append(("Of the main grid's law, asked for four times its largest size", main.comparison))
    return [
        verdicts(main, family, trials),
        "## The main grid",
        shown(main, figures / "main"),
        predictions(main, "## Predictions before outcomes"),
        heads(results / "heads" / "runs.csv", main),
        second_family(family, figures / "second"),
        predictions(first, FIRST) if again else "",
        repaired(mended, first),
        retuned(third, results, first),
        explanations(results / "explanations", first),
        devices(results, first, main),
    ]


def _made_from(results: Path) -> str:
    """The files that the page was made from, each with the start of its SHA-256."""
    files = sorted(path for pattern in ("*/*.csv", "*/*.json") for path in results.glob(pattern))
    lines = [f"- `{file.relative_to(results)}` {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}" for file in files]
    return "\n".join([MADE_FROM, *(lines or ["nothing yet"])])


def agree(before: str, after: str) -> bool:
    """Whether two pages were made from the same files and say the same but for digits."""
    first, second = (page.partition(MADE_FROM) for page in (before, after))
    return first[2] == second[2] and _words(first[0]) == _words(second[0])


def _words(text: str) -> list[str]:
    return re.sub(r"[+-]?\d[\d.,]*", "#", text).split()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description="Write the page of results.")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument(
        "--check", action="store_true", help="fail if the page was made from other tables, or says else"
    )
    given = parser.parse_args(arguments)
    before = given.out.read_text(encoding="utf8") if given.out.exists() else ""
    after = page(given.results, given.out.with_suffix(""))
    write_text(given.out, after)
    print(f"wrote {given.out}, {'the same as before' if after == before else 'which is not what it was'}")
    if given.check and not agree(before, after):
        raise SystemExit(f"{given.out} was out of date; commit it as it is now")


if __name__ == "__main__":
    main()
