"""One run from spec to record: the folder of a run and what is written there, in what order.

`spec.json` and `ledger.json` first, then metrics and checkpoints while it trains, then `probes.json` and the weights,
and `record.json` last and atomically: if it is there, the run is complete.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, write_json
from infusionlaw.lab.corpus import Corpus, open_corpus
from infusionlaw.lab.export import export
from infusionlaw.lab.knowledge import Fact
from infusionlaw.lab.mixture import Ledger
from infusionlaw.lab.model import Model
from infusionlaw.lab.probe import Probes, measure
from infusionlaw.lab.recipe import Recipe, recipe_for, shape_for
from infusionlaw.lab.train import remove_checkpoints, train
from infusionlaw.records import RunRecord, RunSpec, read_spec

SCORES = ("recall", "cloze", "margin", "surface_recall", "retention", "unseen_recall", "general_loss")


def best_device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def recipe_of(spec: RunSpec, corpus: Corpus) -> Recipe:
    """The recipe of a run; InputError when size or budget cannot be trained."""
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
        )
    except ValueError as error:
        raise InputError(f"size {spec.size}, budget {spec.tokens}: {error}; change [design]") from error


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
            f"a dose of {spec.dose:g} ({spec.unit}) takes {share * recipe.tokens:,.0f} tokens of the budget of "
            f"{recipe.tokens:,}, which leaves no general text; lower the dose or raise the budget"
        )
    if exposures > float(cap):
        raise InputError(
            f"share {share:g} of {recipe.tokens:,} tokens would state each of {facts} facts {exposures:,.0f} times, "
            f"more than max_exposures = {cap}; infuse more facts, lower the share or raise the cap"
        )
    if 0 < exposures < 1:
        raise InputError(
            f"share {share:g} of {recipe.tokens:,} tokens is {share * recipe.tokens:,.0f} tokens, but stating each of "
            f"{facts} facts once takes {once:,.0f}; raise the budget or the dose, or infuse fewer facts"
        )
    return share, exposures


def execute_one(
    spec: RunSpec,
    corpus: Corpus,
    probes: Probes,
    folder: Path,
    *,
    checkpoint_every: int,
    on_progress: Callable[[int], None] = lambda step: None,
) -> RunRecord:
    """Train, probe and record one run in `folder`, going on from its checkpoint if there is one."""
    options = dict(spec.options)
    recipe, device = recipe_of(spec, corpus), best_device()
    share, exposures = doses_of(spec, recipe, corpus)
    mixture = corpus.mixture(share, float(options["prior_share"]), spec.seed)
    write_json(folder / "spec.json", asdict(spec))
    write_json(folder / "ledger.json", ledger_json(mixture.ledger(recipe.tokens), corpus))
    model = Model(recipe.shape, torch.Generator().manual_seed(spec.seed)).to(device)
    status = train(model, recipe, mixture, folder, checkpoint_every=checkpoint_every, on_progress=on_progress)
    scores: dict[str, Any] = {}
    if status == "ok":
        scores = measure(model, corpus, probes, recipe.block)
        write_json(folder / "probes.json", scores)
        with atomic_path(folder / "model.safetensors") as part:
            save_file({name: weight.detach().cpu() for name, weight in model.named_parameters()}, part)
    record = RunRecord(
        run=spec.id,
        size=recipe.shape.size,
        total_size=recipe.shape.total_size,
        tokens=recipe.tokens,
        share=share,
        exposures=exposures,
        facts=len(corpus.facts.domain),
        tokens_per_fact=corpus.statement_tokens,
        seed=spec.seed,
        held_out=spec.held_out,
        status=status,
        **{key: scores.get(key) for name in SCORES for key in (name, f"{name}_se")},
        chance=scores.get("chance"),
    )
    write_json(folder / "record.json", asdict(record))
    remove_checkpoints(folder)
    return record


def ledger_json(ledger: Ledger, corpus: Corpus) -> dict[str, Any]:
    """The ledger in names: tokens by source, exposures by fact, statements by template."""

    def source(facts: Sequence[Fact], exposures: Sequence[int], forms: Any, templates: list[list[str]]) -> Any:
        used: dict[str, Counter[str]] = {}
        for fact, counts, texts in zip(facts, forms, templates, strict=True):
            for form, count in counts.items():
                used.setdefault(fact.relation, Counter())[texts[form]] += count
        return {
            "exposures": [
                {"subject": fact.subject, "relation": fact.relation, "exposures": count}
                for fact, count in zip(facts, exposures, strict=True)
            ],
            "templates": {relation: dict(sorted(counts.items())) for relation, counts in sorted(used.items())},
        }

    return {
        "tokens": {
            "all": ledger.tokens,
            "domain": ledger.domain_tokens,
            "prior": ledger.prior_tokens,
            "general": ledger.general_tokens,
        },
        "general_passes": ledger.general_passes,
        "domain": source(corpus.facts.domain, ledger.domain_exposures, ledger.domain_forms, corpus.domain_templates),
        "prior": source(corpus.facts.prior, ledger.prior_exposures, ledger.prior_forms, corpus.prior_templates),
    }


def export_run(run: Path, out: Path) -> None:
    """Write a finished run of a study as a Hugging Face folder; `run` is its folder, runs/ID of the study."""
    if not (run / "model.safetensors").exists():
        raise InputError(f"{run}: has no model.safetensors; name the folder of a finished run, such as STUDY/runs/ID")
    spec, corpus = read_spec(run / "spec.json"), open_corpus(run.parent.parent / "corpus")
    shape = shape_for(spec.size, corpus.tokenizer.vocabulary)
    model = Model(shape, torch.Generator().manual_seed(0))
    model.load_state_dict(load_file(run / "model.safetensors"))
    export(model, corpus.tokenizer.path, corpus.tokenizer.end_of_text, int(dict(spec.options)["block"]), out)
