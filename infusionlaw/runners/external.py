"""Run a study with somebody else's trainer: prepare the corpus, say what each run is, and wait for the results.

`infusionlaw runs` lists the runs, `infusionlaw tell` takes the results in, and the study goes on from there.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.export.stream import write_stream
from infusionlaw.errors import InputError, Waiting
from infusionlaw.processes import cores
from infusionlaw.runners import local
from infusionlaw.runners.lab import checked_recipes
from infusionlaw.runs.asked import AskedRun
from infusionlaw.runs.record import Estimate, Progress, RunRecord, RunSpec
from infusionlaw.settings import StudyFile
from infusionlaw.training.recipe import Shape
from infusionlaw.training.resolve import doses_of, recipe_of, stream_of
from infusionlaw.training.start import read_kept


class Lab(local.Lab):
    """Prepares and checks runs as ours does, on any machine, and leaves their training to others."""

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]:
        """The (N, D) that each run will really have; InputError for the first one that cannot be done."""
        return [(recipe.shape.size, recipe.tokens) for recipe in checked_recipes(folder, specs)]

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]:
        """InputError: how long another trainer takes is not known here."""
        raise InputError(
            f"{folder}: its runs are trained elsewhere, so nothing can be timed here; see what each is with "
            f"infusionlaw runs {folder}"
        )

    def execute(
        self,
        study: StudyFile,
        folder: Path,
        specs: Sequence[RunSpec],
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[RunRecord]:
        """Wait for the results of runs, if there are any: they come with `infusionlaw tell`."""
        if specs:
            runs = "1 run" if len(specs) == 1 else f"{len(specs)} runs"
            raise Waiting(
                f"{folder} waits for the results of {runs}. See which come next: infusionlaw ask {folder}. Train them "
                f"with your trainer, bring the results: infusionlaw tell {folder} FILE..., and give this command again."
            )
        yield from ()


def asked_runs(folder: Path, specs: Sequence[RunSpec], told: Callable[[RunSpec], bool]) -> list[AskedRun]:
    """Return what another trainer needs of runs of a study's folder. told: whether a run has its result."""
    corpus = open_corpus(folder / "corpus")
    return [_asked(spec, folder, told(spec), corpus) for spec in specs]


def write_corpora(
    folder: Path, specs: Sequence[RunSpec], form: str, out: Path, say: Callable[[str], None] = lambda text: None
) -> None:
    """Write the training data of runs of a study's folder, each to a folder of its id; what is complete stays.

    form: the name of a format.
    """
    corpus = open_corpus(folder / "corpus")
    for spec in specs:
        stream = stream_of(spec, recipe_of(spec, corpus), corpus)
        write_stream(stream, form, out / spec.id, workers=cores())
        say(f"wrote {out / spec.id}")


def _asked(spec: RunSpec, folder: Path, told: bool, corpus: Corpus) -> AskedRun:
    recipe = recipe_of(spec, corpus)
    shape, start = recipe.shape, spec.settings.start
    share, exposures = doses_of(spec, recipe, corpus)
    return AskedRun(
        run=spec.id,
        held_out=spec.held_out,
        told=told,
        size=shape.size,
        total_size=shape.total_size,
        tokens=recipe.tokens,
        share=share,
        exposures=exposures,
        seed=spec.seed,
        layers=shape.layers,
        width=shape.d_model,
        heads=shape.heads if isinstance(shape, Shape) else None,
        feed_width=shape.d_ff,
        vocabulary=shape.vocabulary,
        sequence=recipe.block,
        batch=recipe.batch,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        warmup=recipe.warmup,
        decay=recipe.decay,
        weight_decay=recipe.weight_decay,
        beta1=recipe.betas[0],
        beta2=recipe.betas[1],
        clip=recipe.clip,
        facts=len(corpus.facts.domain) or None,
        tokens_per_fact=corpus.tokens_per_fact or None,
        start=os.path.normpath(folder / read_kept(folder, start).folder) if start else None,
    )
