"""Resolve a run's spec on a corpus: its recipe, model, doses, token stream and stable phase."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.corpus.infusion.pacing import TILTS
from infusionlaw.errors import InputError
from infusionlaw.runs.record import RunSpec
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import RECIPES, Recipe, recipe_for
from infusionlaw.training.start import read_kept, started
from infusionlaw.training.trainable import Trainable


def recipe_of(spec: RunSpec, corpus: Corpus) -> Recipe:
    """Return the recipe of a run; InputError when its size or token count cannot be trained."""
    settings = spec.settings
    start = read_kept(corpus.folder.parent, settings.start) if settings.start else None
    try:
        return recipe_for(
            spec.size,
            spec.tokens,
            vocabulary=corpus.tokenizer.vocabulary,
            block=settings.block,
            learning_rate_factor=settings.learning_rate_factor * (settings.start_rate or 1.0),
            batch_factor=settings.batch_factor,
            weight_decay=settings.weight_decay,
            shortest=settings.shortest,
            rules=RECIPES[settings.recipe],
            shape=start.shape if start else None,
        )
    except ValueError as error:
        raise InputError(f"size {spec.size}, token count {spec.tokens}: {error}; change [design]") from error


def models_of(specs: Sequence[RunSpec], recipe: Recipe, corpus: Corpus) -> Trainable:
    """Return the models of runs that train together, as they are before the first step."""
    start = specs[0].settings.start
    if start:
        return started(corpus.folder.parent, start, recipe, len(specs))
    return Model(recipe.own_shape, [torch.Generator().manual_seed(spec.seed) for spec in specs])


def doses_of(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> tuple[float, float]:
    """Return share and exposures of a run, k = share·D / (S · tokens per fact).

    InputError for a share of 1 or more, for more exposures than the study's cap, and for a positive dose that cannot
    state every fact once.
    """
    facts = len(corpus.facts.domain)
    once = facts * corpus.tokens_per_fact
    share = spec.dose if spec.unit == "share" else spec.dose * once / recipe.tokens
    exposures = share * recipe.tokens / once
    cap = spec.settings.max_exposures
    if share >= 1:
        raise InputError(
            f"a dose of {spec.dose:g} ({spec.unit}) takes {share * recipe.tokens:,.0f} tokens of the token count of "
            f"{recipe.tokens:,}, which leaves no general text; lower the dose or raise the token count"
        )
    if exposures > cap:
        raise InputError(
            f"share {share:g} of {recipe.tokens:,} tokens would state each of {facts} facts {exposures:,.0f} times, "
            f"more than max_exposures = {cap}; infuse more facts, lower the share or raise the cap"
        )
    if 0 < exposures < 1:
        raise InputError(
            f"share {share:g} of {recipe.tokens:,} tokens is {share * recipe.tokens:,.0f} tokens, but stating each of "
            f"{facts} facts once takes {once:,.0f}; raise the token count or the dose, or infuse fewer facts"
        )
    return share, exposures


def mixture_of(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> Mixture:
    """Return the token stream of a run."""
    settings = spec.settings
    share, _ = doses_of(spec, recipe, corpus)
    return corpus.mixture(
        share,
        settings.prior_share,
        spec.seed,
        questions=settings.prior_questions,
        tilt=TILTS[settings.schedule],
        tokens=recipe.tokens,
    )


def stable_phase_of(spec: RunSpec, corpus: Corpus) -> str:
    """Return the id of the stable phase that a run shares with others, "" where it shares none.

    Runs share one when they differ in nothing but the token count. Doses in exposures are another share, and so another
    stream, at every token count. Streams infused early or late share no prefix either.
    """
    if not spec.settings.shortest or spec.settings.schedule != "even":
        return ""
    share, _ = doses_of(spec, recipe_of(spec, corpus), corpus)
    return replace(spec, tokens=0, dose=share, unit="share").id
