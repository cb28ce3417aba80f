"""Decay branches of a stable phase beside runs of their own: recall and validation loss, paired by seed.

Every token count is trained twice at every size, dose and seed: as a decay branch of the stable phase that the three
token counts share, and as a study of that token count alone would (its own batch, warm-up and decay over 20 %). For
each size and token count the table has the mean difference, branch less own, with its standard error over pairs, beside
the deviation between seeds of runs that are the same in all else. Facts and text are the demonstration's. A second call
goes on where the first one stopped.

    python -m benchmarks.decay_branches FOLDER
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.markdown import table
from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.runners.local import Lab
from infusionlaw.runners.schedule import starts
from infusionlaw.runs.record import RunRecord, RunSpec
from infusionlaw.settings import StudyFile, read_study_file
from infusionlaw.study.design import grid
from infusionlaw.study.study import Study
from infusionlaw.training.resolve import recipe_of

TOKEN_COUNTS = (500_000, 1_000_000, 2_000_000)
SIZES, SHARES, SEEDS = (14_000, 28_000), (0.35, 0.75, 0.92), (1, 2, 3)
STUDY = Path(__file__).parent.parent / "examples" / "demo" / "study.toml"
Pair = tuple[RunRecord, RunRecord]
Key = tuple[int, int]
HEADINGS = ["size", "tokens", "pairs", "recall, branch − own", "seeds", "validation loss, branch − own", "seeds"]


def designs(file: StudyFile, data: str) -> tuple[list[RunSpec], list[RunSpec]]:
    """Return the runs that share stable phases, and the same ones each as a study of its token count alone has it."""

    def runs(token_counts: tuple[int, ...]) -> list[RunSpec]:
        design = {"sizes": SIZES, "tokens": token_counts, "shares": SHARES, "seeds": SEEDS}
        return grid(file.model_copy(update={"design": file.design.model_copy(update=design)}), data)

    return runs(TOKEN_COUNTS), [spec for tokens in TOKEN_COUNTS for spec in runs((tokens,))]


def cost(folder: Path, specs: Sequence[RunSpec]) -> float:
    """Tokens trained for all token counts over those of the longest, shorter runs of a stable phase coming first."""
    corpus = open_corpus(folder / "corpus")
    spent = longest = 0
    for spec, start in zip(specs, starts(specs, corpus), strict=True):
        recipe = recipe_of(spec, corpus)
        spent += recipe.tokens - start * recipe.batch * recipe.block
        longest += recipe.tokens * (spec.tokens == max(TOKEN_COUNTS))
    return spent / longest


def pairs(study: Study, branches: Sequence[RunSpec], own: Sequence[RunSpec]) -> dict[Key, dict[float, list[Pair]]]:
    """Records of branch and own run, by size and token count, then by dose."""
    place = {(spec.size, spec.tokens, spec.dose, spec.seed): spec for spec in own}
    found: dict[Key, dict[float, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for spec in branches:
        both = study.record(spec), study.record(place[spec.size, spec.tokens, spec.dose, spec.seed])
        if both[0] and both[1]:
            found[spec.size, spec.tokens][spec.dose].append((both[0], both[1]))
    return found


def row(key: Key, doses: dict[float, list[Pair]]) -> list[str]:
    """One row: size, token count, pairs; of recall and of validation loss the difference and the deviation between
    seeds."""
    cells = [f"{key[0]:,}", f"{key[1]:,}", str(sum(map(len, doses.values())))]
    for name, digits in (("recall", 3), ("val_bpb", 4)):
        measured = {
            dose: np.array([[getattr(one, name) for one in pair] for pair in same]) for dose, same in doses.items()
        }
        difference = np.concatenate([scores[:, 0] - scores[:, 1] for scores in measured.values()])
        error = difference.std(ddof=1) / math.sqrt(len(difference))
        between = math.sqrt(np.mean([scores.var(axis=0, ddof=1).mean() for scores in measured.values()]))
        cells += [f"{difference.mean():+.{digits}f} ± {error:.{digits}f}", f"{between:.{digits}f}"]
    return cells


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decay_branches", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    file, lab = read_study_file(STUDY), Lab()
    study = Study(file, folder, lab.prepare(file, folder))
    branches, own = designs(file, study.data)
    for number, record in enumerate(lab.execute(file, folder, study.missing([*branches, *own])), 1):
        print(number, record.run, record.status, flush=True)
    spent = [cost(folder, specs) for specs in (branches, own)]
    print(f"Tokens over those of the longest token count: shared {spent[0]:.2f}, own {spent[1]:.2f}\n")
    print(table(HEADINGS, [row(key, doses) for key, doses in sorted(pairs(study, branches, own).items())]))


if __name__ == "__main__":
    main()
