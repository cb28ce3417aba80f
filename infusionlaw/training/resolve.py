"""Resolve a run's spec on a corpus: its recipe, model, doses, token stream and stable phase."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.export.source import Stream
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


def domain_tokens_of(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> float | None:
    """Return the tokens of the domain documents that a run draws from; None: all.

    A run that is matched to a planned one of T tokens draws from D / T of the domain, and so repeats it as often.
    """
    if spec.settings.matched_to is None or corpus.documents is None:
        return None
    whole = spec.settings.corpus_tokens or len(corpus.documents.tokens)
    return whole * recipe.tokens / spec.settings.matched_to


def doses_of(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> tuple[float, float]:
    """Return share and exposures of a run, k = share·D / tokens that state every fact and read every document once.

    InputError for a share of 1 or more, for more exposures than the study's cap, for a positive dose that cannot state
    every fact once, and for one that has not the tokens of one document.
    """
    once = corpus.tokens_per_exposure(domain_tokens_of(spec, recipe, corpus))
    share = spec.dose if spec.unit == "share" else spec.dose * once / recipe.tokens
    infused = share * recipe.tokens
    exposures = infused / once
    cap = spec.settings.max_exposures
    facts, documents = len(corpus.facts.domain), corpus.documents
    what = " and ".join([*([f"each of {facts} facts"] if facts else []), *(["each document"] if documents else [])])
    if share >= 1:
        raise InputError(
            f"a dose of {spec.dose:g} ({spec.unit}) takes {infused:,.0f} tokens of the token count of "
            f"{recipe.tokens:,}, which leaves no general text; lower the dose or raise the token count"
        )
    if exposures > cap:
        raise InputError(
            f"share {share:g} of {recipe.tokens:,} tokens would give {what} {exposures:,.0f} times, more than "
            f"max_exposures = {cap}; infuse more, lower the share or raise the cap"
        )
    if facts and 0 < exposures < 1:
        raise InputError(
            f"share {share:g} of {recipe.tokens:,} tokens is {infused:,.0f} tokens, but giving {what} once takes "
            f"{once:,.0f}; raise the token count or the dose, or infuse less"
        )
    if documents and 0 < infused < len(documents.tokens) / documents.count:
        raise InputError(
            f"share {share:g} of {recipe.tokens:,} tokens is {infused:,.0f} tokens, fewer than a domain document has "
            f"({len(documents.tokens) / documents.count:,.0f} on average); raise the token count or the dose"
        )
    return share, exposures


def general_tokens(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> float:
    """Return the tokens of general text that a run reads."""
    prior = spec.settings.prior_share if corpus.facts.prior else 0.0
    return (1 - doses_of(spec, recipe, corpus)[0]) * (1 - prior) * recipe.tokens


def check_text(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> None:
    """InputError where a text is shorter than a block, or general text would be read beyond its most_passes."""

    def named(name: str, what: str) -> str:
        return f'{what} of the source "{name}"' if name else f"{what} of general text"

    texts = [(named(name, "tokens"), len(tokens), "") for name, tokens in corpus.text.items()]
    held = [(named(name, "validation tokens"), text[0], "[text]") for name, text in corpus.validation.items()]
    if documents := corpus.documents:
        texts.append(("tokens of domain documents", len(documents.tokens), ""))
        held.append(("held-out tokens of domain documents", documents.validation[0], "[domain]"))
    texts += [(what, len(tokens), f", raise validation in {section}") for what, tokens, section in held]
    for what, length, more in texts:
        if length < recipe.block + bool(more):  # a block that a loss is measured on is followed by one token more
            raise InputError(
                f"{corpus.folder}: {length:,} {what} are fewer than a block of {recipe.block:,}; give more "
                f"text{more}, or lower block in [training]"
            )
    passes = corpus.passes(general_tokens(spec, recipe, corpus))
    for name, most in corpus.most_passes.items():
        if passes[name] > most:
            raise InputError(
                f'a run of {recipe.tokens:,} tokens would read the source "{name}" {passes[name]:.1f} times, more than '
                f"its most_passes = {most:g}; give it less weight, or more text"
            )


def stream_of(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> Stream:
    """Return the training data of a run, as other trainers get it."""
    settings = spec.settings
    share, _ = doses_of(spec, recipe, corpus)
    return Stream(
        corpus.folder,
        share,
        recipe.tokens,
        spec.seed,
        settings.prior_share,
        questions=settings.prior_questions,
        tilt=TILTS[settings.schedule],
        domain_tokens=domain_tokens_of(spec, recipe, corpus),
        block=recipe.block,
    )


def mixture_of(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> Mixture:
    """Return the token stream of a run."""
    return stream_of(spec, recipe, corpus).mixture(corpus)


def stable_phase_of(spec: RunSpec, corpus: Corpus) -> str:
    """Return the id of the stable phase that a run shares with others, "" where it shares none.

    Runs share one when they differ in nothing but the token count. Doses in exposures are another share, and so another
    stream, at every token count. Streams infused early or late share no prefix either, nor do those that draw from
    another part of the documents.
    """
    if not spec.settings.shortest or spec.settings.schedule != "even" or spec.settings.matched_to:
        return ""
    share, _ = doses_of(spec, recipe_of(spec, corpus), corpus)
    return replace(spec, tokens=0, dose=share, unit="share").id
