"""Which runs train together, and which one after another.

Runs of one trunk go in order of their token counts, each from where the one before began to decay. Runs that differ
only in dose and seed are a cohort, as many as there is room for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.runs.record import RunSpec
from infusionlaw.training import checkpoint
from infusionlaw.training.terms import recipe_of, trunk_of

Task = tuple[tuple[RunSpec, ...], ...]


def schedule(specs: Sequence[RunSpec], corpus: Corpus, folder: Path, room: float) -> list[Task]:
    """The tasks that do the runs of a study's folder, the longest first: cohorts that follow one another.

    room: bytes for one cohort. The members of a cohort have one size, token count and options, and go on from the same
    step.
    """
    groups: dict[Any, list[list[RunSpec]]] = {}
    for trunk, chain in _chains(specs, corpus).items():
        places = [folder / "trunks" / trunk, *(folder / "runs" / spec.id for spec in chain)]
        starts = [checkpoint.step_of(place) for place in places]
        token_counts = tuple(spec.tokens for spec in chain)
        groups.setdefault((chain[0].size, chain[0].options, token_counts, *starts), []).append(chain)
    tasks: list[Task] = []
    for chains in groups.values():
        most = max(1, int(room / recipe_of(chains[0][0], corpus).memory))
        parts = [chains[first : first + most] for first in range(0, len(chains), most)]
        tasks += [tuple(zip(*part, strict=True)) for part in parts]
    return sorted(tasks, key=lambda task: -task[-1][0].size * task[-1][0].tokens)


def starts(specs: Sequence[RunSpec], corpus: Corpus) -> list[int]:
    """The step that each run begins at when the shorter runs of its trunk come first and nothing is done yet."""
    begins: dict[str, int] = {}
    for chain in _chains(specs, corpus).values():
        stems = [recipe_of(spec, corpus).stem for spec in chain]
        begins |= zip((spec.id for spec in chain), [0, *stems], strict=False)
    return [begins[spec.id] for spec in specs]


def _chains(specs: Sequence[RunSpec], corpus: Corpus) -> dict[str, list[RunSpec]]:
    """By trunk its runs, in order of their token counts; a run on its own is a chain of one, under its own id."""
    trunks: dict[str, list[RunSpec]] = {}
    for spec in specs:
        trunks.setdefault(trunk_of(spec, corpus) or spec.id, []).append(spec)
    return {trunk: sorted(chain, key=lambda spec: spec.tokens) for trunk, chain in trunks.items()}
