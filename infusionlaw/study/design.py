"""Turn a study file into the runs it asks for. Pure functions, no files, no torch."""

from collections.abc import Sequence

from infusionlaw.runs.record import RunSettings, RunSpec
from infusionlaw.settings import StudyFile


def grid(study: StudyFile, data: str) -> list[RunSpec]:
    """Return every size × token count × dose × seed of [design], dose 0 included, sorted in that order.

    `data` is the corpus id. The doses of `once` have the first seed only.
    """
    design = study.design
    doses = design.shares or design.exposures
    runs = _runs(study, data, design.places, doses, design.seeds, False)
    once = _runs(study, data, design.places, design.once, design.seeds[:1], False)
    unique = {run.id: run for run in [*runs, *once]}
    return sorted(unique.values(), key=lambda run: (run.size, run.tokens, run.dose, run.seed))


def held_out(study: StudyFile, data: str) -> list[RunSpec]:
    """Return the runs of [held_out], which are predicted before they are trained; what it leaves out is as in [design].

    A size and token count that the law is fitted to is skipped.
    """
    if study.held_out is None:
        return []
    design, held = study.design, study.held_out
    places = [(n, d) for n in sorted(set(held.sizes)) for d in sorted(set(held.tokens))]
    asked = _runs(
        study,
        data,
        places or design.places_of(held.sizes),
        held.doses or design.shares or design.exposures,
        held.seeds or design.seeds,
        True,
    )
    return [spec for spec in asked if (spec.size, spec.tokens) not in design.places]


def run_spec(
    study: StudyFile, data: str, size: int, tokens: int, dose: float, seed: int, is_held_out: bool = False
) -> RunSpec:
    """Return one run with the study's settings.

    Where [design] has several token counts, all runs have the recipe of the shortest, so that they can share a stable
    phase.
    """
    training, infusion, token_counts = study.training, study.infusion, set(study.design.tokens)
    start = study.start_of(size)
    domain = study.domain if study.domain and study.domain.matched else None
    settings = RunSettings(
        recipe=training.recipe,
        block=training.block,
        learning_rate_factor=training.learning_rate_factor,
        batch_factor=training.batch_factor,
        weight_decay=training.weight_decay,
        shortest=min(token_counts) if len(token_counts) > 1 else 0,
        prior_share=infusion.prior_share,
        prior_questions=infusion.prior_questions,
        schedule=infusion.schedule,
        max_exposures=infusion.max_exposures,
        start=start.sha256 if start else None,
        start_rate=study.start.rate if study.start else None,
        matched_to=domain.target_tokens if domain else None,
        corpus_tokens=domain.corpus_tokens if domain else None,
    )
    return RunSpec(size, tokens, dose, study.unit, seed, data, settings, is_held_out)


def _runs(
    study: StudyFile,
    data: str,
    places: Sequence[tuple[int, int]],
    doses: tuple[float, ...],
    seeds: tuple[int, ...],
    is_held_out: bool,
) -> list[RunSpec]:
    return [
        run_spec(study, data, size, tokens, dose, seed, is_held_out)
        for size, tokens in places
        for dose in sorted({0.0, *doses})
        for seed in sorted(set(seeds))
    ]
