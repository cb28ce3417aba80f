"""Put the questions of a study to a model of any maker: the same scores as those of the study's own runs."""

from dataclasses import replace
from pathlib import Path

from infusionlaw.corpus.corpus import Corpus
from infusionlaw.corpus.tasks import reader_of
from infusionlaw.errors import InputError
from infusionlaw.runners.execute import as_fields, best_device, record_of, start_scores
from infusionlaw.runs.asked import NEAR
from infusionlaw.runs.record import RunRecord, RunSpec
from infusionlaw.training.probe import build_probes, measure
from infusionlaw.training.resolve import doses_of, recipe_of
from infusionlaw.training.start import checked, load_folder, shape_in


def score(model: Path, corpus: Corpus, block: int, spec: RunSpec | None = None) -> RunRecord:
    """Return the row of a table for the model of a Hugging Face folder.

    block: of the study's training; spec: the run of the study that it is. Without one the row says tokens 0, as a start
    does. A model with another tokenizer is asked in its own tokens, and its losses are in bits per byte all the same.
    """
    tokenizer = reader_of(model).tokenizer
    found = checked(model, tokenizer.vocabulary)
    row = _row(model, found.size, corpus, spec)
    same = tokenizer.path.read_bytes() == corpus.tokenizer.path.read_bytes()
    probes = build_probes(corpus, block, None if same else tokenizer)
    network = load_folder(found, shape_in(found), block).to(best_device())
    fields = as_fields(measure(network, corpus, probes, block))
    more = (*fields.pop("more"), *row.more)
    return replace(row, size=found.size, total_size=found.total_size, more=more, **fields)


def _row(model: Path, size: int, corpus: Corpus, spec: RunSpec | None) -> RunRecord:
    """The row without scores; InputError where the model is too large or small for the run."""
    if spec is None:
        return RunRecord(size=size, tokens=0, run=model.resolve().name)
    recipe = recipe_of(spec, corpus)
    if abs(size / recipe.shape.size - 1) > NEAR["size"]:
        raise InputError(
            f"{model}: has {size:,} parameters without the embedding, and run {spec.id} has {recipe.shape.size:,}; "
            "name the run that it is"
        )
    return record_of(spec, recipe, doses_of(spec, recipe, corpus), corpus, "ok", start_scores(spec, corpus))
