"""Turn specs into records: train a batch of models together, and write each run's folder in a fixed order.

`spec.json` and `ledger.json` first, then metrics and checkpoints while it trains, then `probes.json` and the weights,
and `record.json` last and atomically: if it is there, the run is complete.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.documents import by_file
from infusionlaw.corpus.facts import Fact
from infusionlaw.corpus.infusion.mixture import Ledger, Mixture
from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, write_json
from infusionlaw.processes import processor
from infusionlaw.runs.names import is_measured
from infusionlaw.runs.outcomes import LOSSES
from infusionlaw.runs.record import RunRecord, RunSpec, read_spec
from infusionlaw.training import checkpoint
from infusionlaw.training.export import export
from infusionlaw.training.group import leads
from infusionlaw.training.loop import Row, Status, train
from infusionlaw.training.model import Model
from infusionlaw.training.probe import Probes, measure
from infusionlaw.training.recipe import Recipe, Shape
from infusionlaw.training.resolve import doses_of, mixture_of, models_of, recipe_of, stable_phase_of
from infusionlaw.training.sharded import placed
from infusionlaw.training.start import export_started, keep_measured, measured, read_kept
from infusionlaw.training.trainable import Trainable

SCORES = ("recall", "cloze", "margin", "verbatim_recall", "retention", "unseen_recall", "val_bpb")


@cache
def device_name() -> str:
    """Return the kind of processor that trains here, as its maker names it."""
    if best_device().type == "cuda":
        return torch.cuda.get_device_name()
    return processor()


def best_device() -> torch.device:
    """Return the GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def execute_together(
    specs: Sequence[RunSpec],
    corpus: Corpus,
    probes: Probes,
    folder: Path,
    *,
    checkpoint_every: int,
    on_progress: Callable[[int, Sequence[Row]], None] = lambda step, rows: None,
) -> Iterator[RunRecord]:
    """Train, probe and record runs that differ only in dose and seed, going on from their checkpoints if there are any.

    `folder` is the study's. The checkpoints that they go on from must be of the same step (`schedule`). Each record is
    yielded as it is written.
    """
    if others := {spec.data for spec in specs} - {corpus.id}:
        raise InputError(
            f"{corpus.folder}: is corpus {corpus.id}, and the runs are of corpus {min(others)}; run the study file "
            "again, and no other study in this folder meanwhile"
        )
    folders = [folder / "runs" / spec.id for spec in specs]
    stable = [folder / "stable" / phase for spec in specs if (phase := stable_phase_of(spec, corpus))]
    recipe = recipe_of(specs[0], corpus)
    doses = [doses_of(spec, recipe, corpus) for spec in specs]
    mixtures = [mixture_of(spec, recipe, corpus) for spec in specs]
    for spec, mixture, run in zip(specs, mixtures, folders, strict=True) if leads() else ():
        write_json(run / "spec.json", asdict(spec))
        write_json(run / "ledger.json", ledger_json(mixture, recipe.tokens, corpus, spec.settings.prior_questions))
    model = placed(lambda: models_of(specs, recipe, corpus), recipe, best_device())
    ends = train(
        model, recipe, mixtures, folders, stable=stable, checkpoint_every=checkpoint_every, on_progress=on_progress
    )
    for member, (spec, dose, status, run) in enumerate(zip(specs, doses, ends, folders, strict=True)):
        scores: dict[str, Any] = {}
        if status == "ok":
            scores = _probed(model.alone(member), corpus, probes, recipe, run)
        record = record_of(spec, recipe, dose, corpus, status, scores | start_scores(spec, corpus))
        if leads():
            write_json(run / "record.json", asdict(record))
            checkpoint.remove(run)
        yield record


def measure_start(spec: RunSpec, corpus: Corpus, probes: Probes, folder: Path) -> None:
    """Measure the checkpoint that a run begins from, and keep its scores in the study's folder."""
    recipe, start = recipe_of(spec, corpus), spec.settings.start
    assert start is not None
    model = placed(lambda: models_of([spec], recipe, corpus), recipe, best_device())
    scores = measure(model.alone(0), corpus, probes, recipe.block)
    if leads():
        keep_measured(folder, start, corpus.id, recipe.block, scores)


def start_scores(spec: RunSpec, corpus: Corpus) -> dict[str, float]:
    """Return the scores of the checkpoint that a run began from, as columns; none of a run from scratch."""
    start, study = spec.settings.start, corpus.folder.parent
    if start is None:
        return {}
    scores = measured(study, start, corpus.id, spec.settings.block) or {}
    columns = {f"start_{name}": value for name, value in scores.items() if is_measured(f"start_{name}")}
    tokens = read_kept(study, start).tokens
    return columns | ({"start_tokens": tokens} if tokens else {})


def _probed(model: Trainable, corpus: Corpus, probes: Probes, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Measure one model, write the scores beside its weights and return them."""
    scores = measure(model, corpus, probes, recipe.block)
    weights = {name: weight.cpu() for name, weight in model.weights_of(0).items()}
    if leads():
        write_json(folder / "probes.json", scores)
        with atomic_path(folder / "model.safetensors") as part:
            save_file(weights, part)
    return scores


def record_of(
    spec: RunSpec, recipe: Recipe, dose: tuple[float, float], corpus: Corpus, status: Status, scores: dict[str, Any]
) -> RunRecord:
    """Return the record of a run with what `measure` found."""
    share, exposures = dose
    return RunRecord(
        run=spec.id,
        size=recipe.shape.size,
        total_size=recipe.shape.total_size,
        tokens=recipe.tokens,
        share=share,
        exposures=exposures,
        facts=len(corpus.facts.domain) or None,
        tokens_per_fact=corpus.tokens_per_fact or None,
        seed=spec.seed,
        held_out=spec.held_out,
        status=status,
        trained_on=device_name(),
        **as_fields(scores),
    )


def as_fields(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `measure` found as fields of a record."""
    return {
        **{key: scores.get(key) for name in SCORES for key in (name, f"{name}_se")},
        "chance": scores.get("chance"),
        "more": tuple((name, value) for name, value in scores.items() if _is_more(name) and value is not None),
    }


def _is_more(name: str) -> bool:
    """Whether a score has no field of its own in a record."""
    measure = name.removesuffix("_se")
    return ":" in measure or measure in LOSSES or measure.startswith("start_")


def ledger_json(mixture: Mixture, tokens: int, corpus: Corpus, questions: bool = True) -> dict[str, Any]:
    """Return the ledger of a run of so many tokens in names.

    Tokens by source, exposures by fact and by document, renderings by template. questions: whether prior facts were
    stated in questions too.
    """
    ledger = mixture.ledger(tokens)
    prior_templates = corpus.prior_templates(questions)

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
        "passes_by_source": dict(zip(corpus.text, ledger.by_source, strict=True)) if len(corpus.text) > 1 else {},
        "documents": _documents_json(mixture, ledger, corpus),
        "domain": source(corpus.facts.domain, ledger.domain_exposures, ledger.domain_forms, corpus.domain_templates),
        "prior": source(corpus.facts.prior, ledger.prior_exposures, ledger.prior_forms, prior_templates),
    }


def _documents_json(mixture: Mixture, ledger: Ledger, corpus: Corpus) -> dict[str, Any] | None:
    """Return what was read of the domain documents: tokens, and how often each was read to its end, by file.

    `read` numbers the documents in the order of domain.bin, from 0, where a run draws from a part of them; None: all.
    """
    if mixture.documents is None or corpus.documents is None:
        return None
    read = mixture.documents.documents
    return {
        "tokens": ledger.document_tokens,
        "by_file": by_file(corpus.documents, read, ledger.document_exposures),
        "read": None if read.chosen is None else read.chosen.tolist(),
        "exposures": list(ledger.document_exposures),
    }


def export_run(run: Path, out: Path) -> None:
    """Write a finished run of a study as a Hugging Face folder; `run` is its folder, runs/ID of the study."""
    if not (run / "model.safetensors").exists():
        raise InputError(f"{run}: has no model.safetensors; name the folder of a finished run, such as STUDY/runs/ID")
    spec, corpus = read_spec(run / "spec.json"), open_corpus(run.parent.parent / "corpus")
    if spec.data != corpus.id:
        raise InputError(
            f"{run}: was trained on corpus {spec.data}, and {corpus.folder} is {corpus.id} now, with another tokenizer "
            "perhaps; put back the facts, text and settings that it was trained on and run the study file again"
        )
    recipe = recipe_of(spec, corpus)
    weights = load_file(run / "model.safetensors")
    if isinstance(recipe.shape, Shape):
        model = Model(recipe.shape, [torch.Generator().manual_seed(0)]).load(0, weights)
        export(model, corpus.tokenizer.path, corpus.tokenizer.end_of_text, recipe.block, out)
    else:
        assert spec.settings.start is not None
        export_started(corpus.folder.parent, spec.settings.start, run / "model.safetensors", out)
