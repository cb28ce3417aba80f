"""The terms of a run: what its spec means on a corpus, as recipe, doses, token stream, and the trunk it belongs to."""

from dataclasses import replace

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.corpus.infusion.pacing import TILTS
from infusionlaw.errors import InputError
from infusionlaw.runs.record import RunSpec
from infusionlaw.training.recipe import Recipe, recipe_for


def recipe_of(spec: RunSpec, corpus: Corpus) -> Recipe:
    """The recipe of a run; InputError when size or token count cannot be trained."""
    options = dict(spec.options)
    try:
        return recipe_for(
            spec.size,
            spec.tokens,
            vocabulary=corpus.tokenizer.vocabulary,
            block=int(options["block"]),
            learning_rate_factor=float(options["learning_rate_factor"]),
            batch_factor=float(options["batch_factor"]),
            weight_decay=float(options["weight_decay"]),
            trunk=int(options.get("trunk", 0)),
            version=int(options.get("recipe", 1)),
        )
    except ValueError as error:
        raise InputError(f"size {spec.size}, token count {spec.tokens}: {error}; change [design]") from error


def doses_of(spec: RunSpec, recipe: Recipe, corpus: Corpus) -> tuple[float, float]:
    """Share and exposures of a run, k = share·D / (S · tokens per statement); InputError when it cannot be infused.

    Refused: a share of 1 or more, more exposures than the study's cap, and a positive dose that cannot state every fact
    once.
    """
    facts = len(corpus.facts.domain)
    once = facts * corpus.statement_tokens
    share = spec.dose if spec.unit == "share" else spec.dose * once / recipe.tokens
    exposures = share * recipe.tokens / once
    cap = dict(spec.options)["max_exposures"]
    if share >= 1:
        raise InputError(
            f"a dose of {spec.dose:g} ({spec.unit}) takes {share * recipe.tokens:,.0f} tokens of the token count of "
            f"{recipe.tokens:,}, which leaves no general text; lower the dose or raise the token count"
        )
    if exposures > float(cap):
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
    """The token stream of a run."""
    options = dict(spec.options)
    share, _ = doses_of(spec, recipe, corpus)
    return corpus.mixture(
        share,
        float(options["prior_share"]),
        spec.seed,
        questions=asks_prior(spec),
        tilt=TILTS[str(options.get("schedule", "even"))],
        tokens=recipe.tokens,
    )


def asks_prior(spec: RunSpec) -> bool:
    """Whether a run states prior facts in questions too."""
    return bool(dict(spec.options).get("prior_questions", True))


def trunk_of(spec: RunSpec, corpus: Corpus) -> str:
    """The id of a run's trunk, "" when it is on its own: the same for runs that differ in nothing but the token count.

    Doses in exposures are another share, and so another stream, at every token count: such runs share no trunk. Nor do
    runs infused early or late, since a prefix of such a stream is another stream.
    """
    if "trunk" not in dict(spec.options) or "schedule" in dict(spec.options):
        return ""
    share, _ = doses_of(spec, recipe_of(spec, corpus), corpus)
    return replace(spec, tokens=0, dose=share, unit="share").id
