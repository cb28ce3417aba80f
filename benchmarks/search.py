"""What a search saves beside the full grid, and whether stopping early costs coverage, on simulated studies.

Every study is drawn by `benchmarks.studies`. All runs that either design could ask for are
simulated first, and both read them: grid and search see the same world, dose by dose and seed by seed. A curve is done,
for either, when half the 90 % interval of its collapse of recall is at most 0.1 dex by the search's rules, or when they
say that no collapse lies in range and that is so (to 0.1 dex). There is a family of grids: the study's doses with two
seeds, then more seeds and gaps halved, each about twice the one before. Two are compared with. One is the cheapest in
which the curve at hand is done, a choice that only hindsight has. The other is one for all curves: the one
that is done with about as many of them as the search is. FLOPs are 6 N D a run.

    python -m benchmarks.search --studies 25 --seed 2 --out docs/search.md
    python -m benchmarks.search --compare runs/search demo          # two finished folders, a search and a grid
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import inf, sqrt
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.markdown import table
from benchmarks.studies import DESIGNS, Design, Study, draw
from infusionlaw.files import write_text
from infusionlaw.law.design.look import BEFORE_GRID, LOCATED, NONE, UNLEARNED
from infusionlaw.law.design.simulate import Truth, simulate
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.numbers import bracket, number, share
from infusionlaw.law.points.point import read_points
from infusionlaw.runs.record import RunRecord
from infusionlaw.settings import StudyFile
from infusionlaw.study.search import State, judged, most_runs, rounds, tried
from infusionlaw.study.study import open_folder

KINDS = "abcdfijl"  # the others differ from these in how many seeds or curves they have
# The grids, cheapest first: how often the gaps between the study's doses are halved, and seeds.
RUNS = 96
FAMILY = ((0, 2), (0, 4), (1, 4), (1, 8), (2, 8), (2, 16))
OUTSIDE = (NONE, BEFORE_GRID, UNLEARNED)
Table = dict[tuple[int, int, float, int], RunRecord]


@dataclass(frozen=True)
class Outcome:
    """One curve under one design. flops of all its runs; over: why it ended there; truth: x, None: never.

    within: whether that lies in the range of doses, more than the width asked for from its ends.
    """

    runs: int
    flops: float
    over: str
    x: Interval
    truth: float | None
    within: bool

    @property
    def done(self) -> bool:
        """Whether the interval is narrow enough, or nothing is in range and that is said."""
        return self.over == LOCATED or (self.over in OUTSIDE and not self.within)

    @property
    def given_up(self) -> bool:
        """Whether it is said that nothing is in range where something is."""
        return self.over in OUTSIDE and self.within

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth; one that never happens lies beyond every dose."""
        low, high = -inf if self.x.low is None else self.x.low, inf if self.x.high is None else self.x.high
        return low <= (inf if self.truth is None else self.truth) <= high


@dataclass(frozen=True)
class Pair:
    """One curve: what the search made of it, and what the grids did, cheapest first."""

    kind: str
    study: int
    search: Outcome
    grids: tuple[Outcome, ...]

    @property
    def grid(self) -> Outcome:
        """The cheapest grid in which it is done, else the largest."""
        return next((grid for grid in self.grids if grid.done), self.grids[-1])


def compared(design: Design, number: int, seed: int, runs: int = RUNS) -> list[Pair]:
    """The curves of one simulated study under both designs. runs: the most of a curve that the search may take."""
    rng = np.random.default_rng([seed, ord(design.letter), number])
    study = draw(design, rng)
    file = study_file(study, runs)
    table, truth = _table(study, file, rng)
    found = _searched(file, table, truth)
    return [Pair(design.letter, number, found[at], grids) for at, grids in _gridded(file, table, truth).items()]


def study_file(study: Study, runs: int) -> StudyFile:
    """The search of a simulated study."""
    sizes, token_counts = ([int(value) for value in values] for values in (study.sizes, study.token_counts))
    design = {
        "design": "search",
        "sizes": sizes,
        "tokens": token_counts,
        "shares": study.shares[1:],
        "seeds": [0],
    }
    return StudyFile.model_validate({"name": "simulated", "design": design, "search": {"runs": runs}})


def _table(study: Study, file: StudyFile, rng: np.random.Generator) -> tuple[Table, Truth]:
    """Every run that a design may ask for, and the true points."""
    doses, seeds = (0.0, *tried(file)), most_runs(file)
    rows, truth = simulate(study.world, study.sizes, study.token_counts, doses, seeds, rng)
    keys = ((n, d, *rest) for n, d in file.design.places for rest in product(doses, range(seeds)))
    bare = (replace(row, retention=None, val_bpb=None) for row in rows)
    return dict(zip(keys, bare, strict=True)), truth


def _searched(file: StudyFile, table: Table, truth: Truth) -> dict[tuple[int, int], Outcome]:
    *_, last = rounds(file, "", lambda spec: table[spec.size, spec.tokens, spec.dose, spec.seed])
    return {(state.size, state.tokens): _outcome(file, state, truth) for state in last.states}


def _gridded(file: StudyFile, table: Table, truth: Truth) -> dict[tuple[int, int], tuple[Outcome, ...]]:
    """Each curve in every grid of the family."""
    places = file.design.places
    found: dict[tuple[int, int], tuple[Outcome, ...]] = dict.fromkeys(places, ())
    for halvings, seeds in FAMILY:
        doses = _halved(file, halvings)
        rows = tuple(tuple(table[(*at, dose, k)] for dose in doses for k in range(seeds)) for at in places)
        for i, at in enumerate(places):
            found[at] += (_outcome(file, judged(file, rows, i), truth),)
    return found


def _halved(file: StudyFile, halvings: int) -> list[float]:
    """Dose 0, the study's doses and those half way between them, so many times; of the doses a search may try."""
    doses = tried(file)
    at = [doses.index(dose) for dose in sorted(file.design.shares)]
    for _ in range(halvings):
        at = sorted({*at, *((a + b) // 2 for a, b in pairwise(at))})
    return [0.0, *(doses[i] for i in at)]


def _outcome(file: StudyFile, state: State, truth: Truth) -> Outcome:
    flops, x = 6.0 * state.size * state.tokens * state.runs, truth["collapse", state.size, state.tokens]
    low, high = log_odds([min(file.design.shares), max(file.design.shares)])
    within = x is not None and bool(low + file.search.width < x < high - file.search.width)
    return Outcome(state.runs, flops, state.over, state.x, x, within)


def ratio(pairs: Sequence[Pair]) -> float | None:
    """FLOPs of the search over those of the grids, where one of the two is done with all of these curves.

    inf where only the grids are; where only the search is, the largest grid stands in, so the true ratio is smaller.
    None where neither is: then there is nothing to compare.
    """
    if all(pair.search.done for pair in pairs):
        return sum(pair.search.flops for pair in pairs) / sum(pair.grid.flops for pair in pairs)
    return inf if all(pair.grid.done for pair in pairs) else None


def tables(pairs: Sequence[Pair]) -> str:
    """The comparison in Markdown: by kind, curve by curve, then of whole studies, then of collapses out of range."""
    header = [
        "kind",
        "curves",
        "done: search",
        "done: grid",
        "runs: search",
        "runs: grid",
        "ratio of FLOPs",
        "compared",
        "given up, though in range",
    ]
    header += ["held: search", "held where located", "held: grid"]
    groups = [("all", pairs), *((f"{k}: {_words(k)}", [p for p in pairs if p.kind == k]) for k in _kinds(pairs))]
    rows = [[name, *_numbers(own)] for name, own in groups]
    return "\n\n".join([table(header, rows), _fixed_text(pairs), _studies_text(pairs), _outside_text(pairs)])


def fixed(pairs: Sequence[Pair]) -> int:
    """Place in the family of the grid whose number of curves done is nearest to the search's, the cheaper of two."""
    aim = sum(pair.search.done for pair in pairs)
    counts = [sum(pair.grids[i].done for pair in pairs) for i in range(len(pairs[0].grids))]
    return min(range(len(counts)), key=lambda i: (abs(counts[i] - aim), i))


def _fixed_text(pairs: Sequence[Pair]) -> str:
    """The comparison with that one grid: the search's FLOPs over its, curve by curve."""
    chosen = fixed(pairs)
    one = [replace(pair, grids=(pair.grids[chosen],)) for pair in pairs]
    ratios = [value for pair in one if (value := ratio([pair])) is not None]
    all_flops = sum(pair.search.flops for pair in pairs) / sum(pair.grid.flops for pair in one)
    shares = [np.mean([outcome(pair).done for pair in one]) for outcome in _BOTH]
    return (
        f"One grid for all, {median(pair.grid.runs for pair in one):g} runs a curve: done with {shares[1]:.2f} of the "
        f"curves (search {shares[0]:.2f}); median ratio of FLOPs {_median(ratios)} over the {len(ratios)} curves with "
        f"which one of the two is done; of all curves together, done or not, {all_flops:.2f}."
    )


def _kinds(pairs: Sequence[Pair]) -> list[str]:
    return sorted({pair.kind for pair in pairs})


def _words(letter: str) -> str:
    return next(design.words for design in DESIGNS if design.letter == letter)


def _numbers(pairs: Sequence[Pair]) -> list[str]:
    ratios = [value for pair in pairs if (value := ratio([pair])) is not None]
    located = [pair.search for pair in pairs if pair.search.over == LOCATED]
    return [
        str(len(pairs)),
        *(f"{np.mean([outcome(pair).done for pair in pairs]):.2f}" for outcome in _BOTH),
        *(f"{median(outcome(pair).runs for pair in pairs):g}" for outcome in _BOTH),
        _median(ratios),
        str(len(ratios)),
        str(sum(pair.search.given_up for pair in pairs)),
        _rate([pair.search.held for pair in pairs]),
        _rate([outcome.held for outcome in located]),
        _rate([pair.grid.held for pair in pairs]),
    ]


_BOTH: tuple[Callable[[Pair], Outcome], ...] = (lambda pair: pair.search, lambda pair: pair.grid)


def _median(values: Sequence[float]) -> str:
    middle = median(values) if values else None
    return "–" if middle is None else "more" if middle == inf else f"{middle:.2f}"


def _rate(held: Sequence[bool]) -> str:
    if not held:
        return "–"
    p = float(np.mean(held))
    return f"{p:.3f} ± {sqrt(p * (1 - p) / len(held)):.3f}"


def _studies_text(pairs: Sequence[Pair]) -> str:
    """The same comparison where a study is done when all its curves are, the grid being one for each curve."""
    studies = [[p for p in pairs if (p.kind, p.study) == key] for key in sorted({(p.kind, p.study) for p in pairs})]
    ratios = [value for own in studies if (value := ratio(own)) is not None]
    counts = [sum(all(outcome(pair).done for pair in own) for own in studies) for outcome in _BOTH]
    return (
        f"Whole studies: the search is done with every curve in {counts[0]} of {len(studies)}, the grids in "
        f"{counts[1]}; median ratio of FLOPs {_median(ratios)} over the {len(ratios)} in which one of them is."
    )


def _outside_text(pairs: Sequence[Pair]) -> str:
    never = [pair.search for pair in pairs if pair.search.truth is None]
    said, runs = [outcome for outcome in never if outcome.over == NONE], [outcome.runs for outcome in never]
    if not never:
        return "Every curve collapses."
    return (
        f"Curves that never collapse: {len(said)} of {len(never)} are told so, "
        f"{sum(outcome.over == LOCATED for outcome in never)} are given a place; median {median(runs):g} runs."
    )


def folders(search: Path, grid: Path) -> str:
    """A finished search beside a finished grid of the same data: FLOPs, and each collapse with its interval.

    FLOPs are 6 N D a run, N being the total parameters where the table tells them.
    """
    rows, totals = [], []
    for name, folder in (("search", search), ("grid", grid)):
        study = open_folder(folder)
        records = study.records(study.fitted)
        points = [p for p in read_points(folder / "points.json") if p.kind == "collapse"]
        for size, tokens in sorted({(row.size, row.tokens) for row in records}):
            own = [row for row in records if (row.size, row.tokens) == (size, tokens)]
            point = next(p for p in points if (p.size, p.tokens) == (size, tokens))
            half = None if point.x.low is None or point.x.high is None else (point.x.high - point.x.low) / 2
            where = bracket(point.share, share) if point.share != Interval() else bracket(point.exposures, number)
            width = "open" if half is None else f"{half:.2f}"
            rows.append(
                [name, number(size), number(tokens), str(len(own)), f"{_flops(own):.2e}", point.status, where, width]
            )
        totals.append(_flops(records))
    rows.sort(key=lambda row: [row[1:3], row[0]])
    header = ["design", "size", "tokens", "runs", "FLOPs", "collapse", "at", "half width, dex"]
    total = f"FLOPs: search {totals[0]:.2e}, grid {totals[1]:.2e}, ratio {totals[0] / totals[1]:.2f}"
    return f"{table(header, rows)}\n\n{total}"


def _flops(rows: Sequence[RunRecord]) -> float:
    return sum(6.0 * (row.total_size or row.size) * row.tokens for row in rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=25, help="of each kind")
    parser.add_argument("--kinds", default=KINDS, help="letters, as in benchmarks/studies.py")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=RUNS, help="the most runs of a curve that the search may take")
    parser.add_argument("--out", type=Path, help="a Markdown file to write the tables to")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("SEARCH", "GRID"), help="finished folders")
    options = parser.parse_args(arguments)
    if options.compare:
        print(folders(*options.compare))
        return
    start, pairs = time.perf_counter(), []
    for number_ in range(options.studies):
        for design in (design for design in DESIGNS if design.letter in options.kinds):
            pairs += compared(design, number_, options.seed, options.runs)
        count, took = (number_ + 1) * len(options.kinds), time.perf_counter() - start
        head = f"{count} studies, seed {options.seed}, at most {options.runs} runs of a curve, {took:.0f} s"
        text = f"{head}\n\n{tables(pairs)}"
        print(f"{count} studies after {took:.0f} s", file=sys.stderr, flush=True)
        if options.out:  # what there is so far, so that a run cut short is not lost
            write_text(options.out, f"# Search and grid\n{(__doc__ or '').strip()}\n\n{text}\n")
    print(text)


if __name__ == "__main__":
    main()
