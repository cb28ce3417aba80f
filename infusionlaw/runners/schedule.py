"""Decide which runs train together, and which one after another.

Runs that share a stable phase go in order of their token counts, each from where the one before began to decay. Runs
that differ only in dose and seed train as a batch of models, as many as there is room for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.runs.begun import begun_step
from infusionlaw.runs.record import RunSpec
from infusionlaw.training.recipe import Shape
from infusionlaw.training.resolve import recipe_of, stable_phase_of

Task = tuple[tuple[RunSpec, ...], ...]
MOST = 0.8  # of a GPU's free memory is taken


def schedule(
    specs: Sequence[RunSpec], corpus: Corpus, folder: Path | None, room: float, workers: int = 1
) -> list[Task]:
    """Return the tasks that do the runs of a study's folder, the longest first: batches of models, one after another.

    folder: None for tasks that go on from nothing. room: bytes for one batch of models. Its members have one size,
    token count and settings, and go on from the same step. workers: batches are halved, the longest first, until each
    worker has one, since models train faster together, but not on a GPU that stands idle.
    """
    groups: dict[Any, list[list[RunSpec]]] = {}
    for phase, chain in _chains(specs, corpus).items():
        places = [f"stable/{phase}", *(f"runs/{spec.id}" for spec in chain)]
        starts = [begun_step(folder / place) for place in places] if folder else []
        token_counts = tuple(spec.tokens for spec in chain)
        groups.setdefault((chain[0].size, chain[0].settings, token_counts, *starts), []).append(chain)
    parts: list[list[list[RunSpec]]] = []
    for chains in groups.values():
        recipe = recipe_of(chains[0][0], corpus)
        most = max(1, int(room / recipe.memory)) if isinstance(recipe.shape, Shape) else 1
        parts += [chains[first : first + most] for first in range(0, len(chains), most)]
    while len(parts) < workers and any(len(part) > 1 for part in parts):
        longest = max((part for part in parts if len(part) > 1), key=_work)
        parts.remove(longest)
        parts += [longest[::2], longest[1::2]]
    tasks: list[Task] = [tuple(zip(*part, strict=True)) for part in parts]
    return sorted(tasks, key=lambda task: -task[-1][0].size * task[-1][0].tokens)


def _work(part: Sequence[Sequence[RunSpec]]) -> float:
    """Parameters times tokens of a batch of chains, the last run of each being its longest."""
    return sum(float(chain[-1].size) * chain[-1].tokens for chain in part)


def starts(specs: Sequence[RunSpec], corpus: Corpus) -> list[int]:
    """Return the step that each run begins at when shorter runs of its stable phase come first and nothing is done."""
    begins: dict[str, int] = {}
    for chain in _chains(specs, corpus).values():
        decays = [recipe_of(spec, corpus).decay_start for spec in chain]
        begins |= zip((spec.id for spec in chain), [0, *decays], strict=False)
    return [begins[spec.id] for spec in specs]


def _chains(specs: Sequence[RunSpec], corpus: Corpus) -> dict[str, list[RunSpec]]:
    """Group runs by stable phase, in order of their token counts; a run on its own is alone under its own id."""
    chains: dict[str, list[RunSpec]] = {}
    for spec in specs:
        chains.setdefault(stable_phase_of(spec, corpus) or spec.id, []).append(spec)
    return {phase: sorted(chain, key=lambda spec: spec.tokens) for phase, chain in chains.items()}
