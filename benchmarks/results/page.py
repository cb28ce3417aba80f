"""The page: the main grid and what was predicted from it, the second family, and how both came to be."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.results.copying import copying
from benchmarks.results.devices import devices
from benchmarks.results.explanations import explanations
from benchmarks.results.family import second_family
from benchmarks.results.fresh import Fresh, read_fresh, runs_so_far
from benchmarks.results.grid import Grid, read_grid, shown, study_of
from benchmarks.results.heads import heads
from benchmarks.results.longer import longer
from benchmarks.results.onset import onset
from benchmarks.results.predictions import predictions
from benchmarks.results.repaired import read_repaired, repaired
from benchmarks.results.retuned import read_retuned, retuned
from benchmarks.results.seeds import seeds
from benchmarks.results.trials import Trial
from benchmarks.results.verdicts import verdicts
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.runs.record import RunRecord

HEAD = """# Results
Does memory collapse scale, and does the law of small models predict larger ones? Everything here is made from the
tables in `results/` by `scripts/reproduce`; a point is the share of the token count beyond which a score falls, with
its 90 % interval, and the study files are in `studies/`, each under the name of its folder of tables."""

FIRST = """## The first law: what it said, and what came
The sections from here on tell how the main grid came to be as it is. The first grid (`reference/runs.csv`) has the same
design under the first recipe, and eight sizes up to 452 k; up to 160 k its runs are those of the main grid. Its law was
asked for three targets. What might explain the collapse away was tried with that grid too."""

MADE_FROM = "## Made from"
# Folders of results: the grid that was run first and the one that is now, the second family, and the same with prior
# facts stated oftener.
FIRST_GRID, MAIN, FAMILY, OFTENER = "reference", "reshaped", "larger", "millions"
# Predictions of the main grid's law as it was fixed first, and then again, of which there are two.
LONGER = ("longer", "longer-again", "longer-larger")
OTHER_SEEDS = "other-seeds"  # one of the law that has the deviation between seeds


@dataclass(frozen=True)
class _Shown:
    """A grid, and how the page shows it: "" where it is read for its points only."""

    grid: Grid
    text: str


def page(results: Path, figures: Path, processes: int = 1) -> str:
    """The whole page; its figures are written into folders beside it. processes: how many read and draw the grids."""
    main = MAIN if (results / MAIN / "runs.csv").exists() else FIRST_GRID
    drawn = {main: figures / "main", FAMILY: figures / "second"}
    names = list(dict.fromkeys((main, FIRST_GRID, FAMILY, OFTENER)))  # the one that takes longest first
    jobs = [(results / name, drawn.get(name)) for name in names]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = dict(zip(names, (pool.map if processes > 1 else map)(_read, *zip(*jobs, strict=True)), strict=True))
    first = found[FIRST_GRID]
    parts = [HEAD, *(_of_grids(found, first, found[main] or first, results) if first else []), _made_from(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _read(folder: Path, figures: Path | None) -> _Shown | None:
    grid = read_grid(folder)
    return _Shown(grid, shown(grid, figures) if figures else "") if grid else None


def _of_grids(found: Mapping[str, _Shown | None], begun: _Shown, now: _Shown, results: Path) -> list[str]:
    """begun: the reference as it was run first, which the explanations and the first predictions are of; now: the main
    grid, which took its place."""
    first, main, family, often = begun.grid, now.grid, found[FAMILY], found[OFTENER]
    mended, third = read_repaired(results / "repaired", first), read_retuned(results / "retuned", first)
    many_heads = runs_so_far(results / "extended" / "runs.csv")
    fourth, fifth = (_outcome(results / name) for name in ("extended", "rarer"))
    longer_runs, again, larger = (_outcome(results / name, main.fitted_rows) for name in LONGER)
    others = _fresh(results / OTHER_SEEDS, main.fitted_rows)
    trials = {
        "first grid": first.comparison,
        "first grid, law fixed": mended.mended if mended else None,
        "first grid up to 267 k, recipe fixed": third,
        "grid with many heads": fourth,
        "main grid": main.comparison if main is not first else None,
        "second family up to 4 M": fifth,
        "main grid, law fixed": longer_runs,
        "main grid, law fixed again": again,
        "second family up to 16 M": family.grid.comparison if family else None,
        "main grid, law fixed again: larger sizes": larger,
        "main grid, deviation between seeds in its law": others.comparison if others else None,
    }
    return [
        verdicts(
            main, family.grid if family else None, [Trial(law, outcome) for law, outcome in trials.items() if outcome]
        ),
        "## The main grid",
        now.text,
        onset(runs_so_far(results / "onset" / "runs.csv"), main),
        predictions(main, "## Predictions before outcomes"),
        longer(longer_runs, again, larger, main),
        copying(results / "copying" / "runs.csv"),
        seeds(main.fitted_rows, others),
        second_family(family.grid, fifth, often.grid if often else None, family.text) if family else "",
        predictions(first, FIRST) if main is not first else "",
        repaired(mended, first),
        retuned(third, results, first),
        heads(fourth, many_heads, main),
        explanations(results / "explanations", first),
        devices(results, first, many_heads),
    ]


def _outcome(folder: Path, fitted: Sequence[RunRecord] = ()) -> Comparison | None:
    """A folder's prediction, from `fitted` or its own runs, beside its held-out runs; None without one."""
    fresh = _fresh(folder, fitted)
    return fresh.comparison if fresh else None


def _fresh(folder: Path, fitted: Sequence[RunRecord]) -> Fresh | None:
    return read_fresh(folder, fitted, study_of(folder.name).law.tolerance)


def _made_from(results: Path) -> str:
    """The files that the page was made from, each with the start of its SHA-256."""
    files = sorted(path for pattern in ("*/*.csv", "*/*.json") for path in results.glob(pattern))
    lines = [f"- `{file.relative_to(results)}` {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}" for file in files]
    return "\n".join([MADE_FROM, *(lines or ["nothing yet"])])
