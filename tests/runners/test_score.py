"""Questions of a study put to models that are not its own: the study's scores, as rows of its table."""

import json
import math
from dataclasses import replace

import pytest
import torch

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.corpus.tokens import Tokenizer, train_tokenizer
from infusionlaw.errors import InputError
from infusionlaw.pipeline import open_study, score_model
from infusionlaw.runners.local import Lab
from infusionlaw.runs.table import append_row, read_table
from infusionlaw.study.study import open_folder
from infusionlaw.training.export import export
from infusionlaw.training.model import Model
from infusionlaw.training.probe import build_probes, measure
from infusionlaw.training.resolve import recipe_of

transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def study(material, tmp_path_factory):
    """The small study, prepared and not trained."""
    return open_study(material / "study.toml", tmp_path_factory.mktemp("study") / "out", Lab())


@pytest.fixture(scope="module")
def model(study, tmp_path_factory):
    """A model such as the study's third run has, as a Hugging Face folder, and the same model as ours."""
    corpus = open_corpus(study.folder / "corpus")
    recipe = recipe_of(study.fitted[2], corpus)
    own = Model(recipe.own_shape, [torch.Generator().manual_seed(5)])
    folder = tmp_path_factory.mktemp("models") / "mine"
    export(own, corpus.tokenizer.path, corpus.tokenizer.end_of_text, recipe.block, folder)
    return folder, own


def test_a_scored_folder_is_a_run_of_the_study_done_elsewhere(study, model, tmp_path) -> None:
    folder, own = model
    run, corpus = study.fitted[2], open_corpus(study.folder / "corpus")
    table = tmp_path / "runs.csv"
    record = score_model(folder, study.folder, run.id, table)
    probes = build_probes(corpus, 128)
    ours = measure(own, corpus, probes, 128)
    for name in ("recall", "verbatim_recall", "retention", "unseen_recall", "val_bpb", "cloze", "margin"):
        assert record.score(name) == pytest.approx(ours[name]) and record.error(name) == pytest.approx(
            ours[f"{name}_se"]
        )
    assert (record.share, record.seed, record.chance, record.facts) == (run.dose, run.seed, 1 / 8, 8)
    assert read_table(table) == [record]
    (study.folder / "runs.csv").write_bytes(table.read_bytes())
    try:
        assert run not in open_folder(study.folder).missing(study.fitted)
    finally:
        (study.folder / "runs.csv").unlink()
    with pytest.raises(InputError, match=f'has the run "{run.id}" already'):
        score_model(folder, study.folder, run.id, table)


def test_a_model_that_is_not_the_run_is_refused(study, model) -> None:
    other = next(spec for spec in study.fitted if spec.size != study.fitted[2].size)
    with pytest.raises(InputError, match=f"run {other.id} has .*; name the run that it is"):
        score_model(model[0], study.folder, other.id)
    with pytest.raises(InputError, match='has no run "nothing"'):
        score_model(model[0], study.folder, "nothing")


def test_a_model_that_no_run_is_becomes_a_start(study, model, tmp_path) -> None:
    record = score_model(model[0], study.folder)
    assert (record.tokens, record.run, record.share) == (0, "mine", None)
    append_row(tmp_path / "runs.csv", record)
    append_row(tmp_path / "runs.csv", replace(record, run="x", tokens=3e5, share=0.1, exposures=3.0, val_bpb=2.0))
    (row,) = read_table(tmp_path / "runs.csv")
    assert row.val_bpb == 2.0 and row.start("val_bpb") == pytest.approx(record.val_bpb)
    (tmp_path / "runs.csv").write_text("size,recall\n1,2\n")
    with pytest.raises(InputError, match="has other columns"):
        append_row(tmp_path / "runs.csv", record)


def test_a_model_of_another_maker_is_asked_in_its_own_tokens(study, material, tmp_path) -> None:
    """One that finds all tokens equally likely has a loss of log2 V bits a token, whatever its tokenizer."""
    train_tokenizer([(material / "text.jsonl").read_text()], 400, "</s>", tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    config = transformers.GPT2Config(vocab_size=400, n_embd=8, n_layer=1, n_head=1, n_positions=256, eos_token_id=0)
    network = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    network.save_pretrained(tmp_path)
    record = score_model(tmp_path, study.folder)
    corpus = open_corpus(study.folder / "corpus")
    tokens, header = corpus.validation[""]
    texts = corpus.tokenizer.backend.decode(tokens.tolist(), skip_special_tokens=False).split(corpus.end_of_text)
    count = sum(len(ids) + 1 for ids in Tokenizer(tmp_path / "tokenizer.json", "</s>").encode(texts[:-1]))
    assert len(texts) - 1 == header.documents
    assert record.val_bpb == pytest.approx(math.log2(400) * count / header.text_bytes, rel=1e-5)
    assert record.recall == record.chance == 1 / 8  # the shortest option, whoever is asked about
