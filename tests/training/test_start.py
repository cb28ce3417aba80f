"""Runs that begin from a checkpoint: the same model as transformers', the same loop as from scratch, one sentence for
a folder that cannot be used."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.errors import InputError
from infusionlaw.files import file_hash
from infusionlaw.pipeline import run_study
from infusionlaw.runners.execute import execute_together, export_run, measure_start
from infusionlaw.runners.local import Lab
from infusionlaw.runs.record import RunSettings, RunSpec
from infusionlaw.runs.table import read_table, write_table
from infusionlaw.settings import read_study_file, with_hashes
from infusionlaw.starts import read_start
from infusionlaw.study.design import grid, held_out
from infusionlaw.study.journal import row_hash
from infusionlaw.study.study import open_folder
from infusionlaw.study.verify import first_break
from infusionlaw.training.export import export
from infusionlaw.training.loop import train
from infusionlaw.training.model import Model
from infusionlaw.training.probe import build_probes
from infusionlaw.training.recipe import Shape, recipe_for
from infusionlaw.training.resolve import models_of, recipe_of
from infusionlaw.training.start import keep_start, measured
from infusionlaw.training.step import Stepper

transformers = pytest.importorskip("transformers")

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}
GROUPED = {**SIZES, "intermediate_size": 40, "num_key_value_heads": 2}
CONFIGS = {
    "ours": lambda v: transformers.LlamaConfig(
        **SIZES, vocab_size=v, intermediate_size=40, rms_norm_eps=1e-5, tie_word_embeddings=True
    ),
    "llama": lambda v: transformers.LlamaConfig(**GROUPED, vocab_size=v),
    "qwen2": lambda v: transformers.Qwen2Config(**GROUPED, vocab_size=v, tie_word_embeddings=True),
    "qwen3": lambda v: transformers.Qwen3Config(**GROUPED, vocab_size=v, head_dim=8),
    "gpt_neox": lambda v: transformers.GPTNeoXConfig(
        **SIZES, vocab_size=v, intermediate_size=40, bos_token_id=0, eos_token_id=0
    ),
    "olmo2": lambda v: transformers.Olmo2Config(**GROUPED, vocab_size=v),
    "gemma2": lambda v: transformers.Gemma2Config(**GROUPED, vocab_size=v, head_dim=8, query_pre_attn_scalar=8),
    "gpt2": lambda v: transformers.GPT2Config(
        vocab_size=v, n_embd=16, n_layer=2, n_head=4, n_positions=256, bos_token_id=0, eos_token_id=0
    ),
}
RATE = RunSettings(start_rate=0.5)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folders(corpus, tmp_path_factory) -> Path:
    """A random checkpoint of each architecture, with the corpus's tokenizer."""
    place = tmp_path_factory.mktemp("checkpoints")
    transformers.utils.logging.disable_progress_bar()
    for number, (name, config) in enumerate(CONFIGS.items()):
        torch.manual_seed(number)
        network = transformers.AutoModelForCausalLM.from_config(config(corpus.tokenizer.vocabulary))
        with torch.no_grad():
            for weight in network.parameters():  # norms of 1 and biases of 0 would hide a weight in another's place
                weight += 0.1 * torch.randn_like(weight)
        network.save_pretrained(place / name, max_shard_size="20KB" if name == "qwen2" else "1GB")
        with_tokenizer(place / name, corpus.tokenizer.path)
    return place


def with_tokenizer(folder: Path, tokenizer: Path) -> None:
    shutil.copy(tokenizer, folder / "tokenizer.json")
    content = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def study(corpus, folders, tmp_path_factory):
    """A study's folder that keeps every checkpoint, as its corpus, and the hash of each."""
    place = tmp_path_factory.mktemp("started")
    shutil.copytree(corpus.folder, place / "corpus")
    hashes = {name: read_start(folders / name).hash for name in CONFIGS}
    for name, value in hashes.items():
        keep_start(place, folders / name, value, corpus.tokenizer.vocabulary)
    return open_corpus(place / "corpus"), hashes


def begun(study, name: str, tokens: int = 20_000, members: int = 1, **settings):
    """The specs, recipe and models of runs from a checkpoint."""
    corpus, hashes = study
    chosen = replace(RATE, start=hashes[name], **settings)
    specs = [RunSpec(20_000, tokens, 0.5, "share", seed, corpus.id, chosen) for seed in range(1, members + 1)]
    recipe = recipe_of(specs[0], corpus)
    return specs, recipe, models_of(specs, recipe, corpus)


def into(steps: list[int]):
    """Progress of which the steps are kept."""
    return lambda step, rows: steps.append(step)


def blocks_of(corpus, count: int) -> torch.Tensor:
    """Training blocks, (count, 129)."""
    return torch.tensor(corpus.mixture(0.5, 0.25, 1).blocks(0, count, 128), dtype=torch.int64)


def theirs(folders: Path, name: str):
    return transformers.AutoModelForCausalLM.from_pretrained(folders / name, dtype=torch.float32).eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_run_begins_with_the_checkpoint_that_transformers_loads(name, study, folders) -> None:
    corpus, _ = study
    _, recipe, model = begun(study, name)
    network = theirs(folders, name)
    ids = blocks_of(corpus, 2)
    with torch.no_grad():
        logits = network(ids[:, :-1]).logits
    value, best = model.log_probabilities(ids, torch.ones_like(ids[:, 1:], dtype=torch.bool))
    expected = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).flatten()
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(best, (logits.argmax(-1) == ids[:, 1:]).flatten())
    blocks = ids[None].expand(model.members, -1, -1)
    torch.testing.assert_close(model.loss(blocks[..., :-1], blocks[..., 1:])[0], -expected.mean(), atol=1e-5, rtol=1e-5)
    assert recipe.shape.total_size == sum(weight.numel() for weight in network.parameters())
    tables = {network.get_input_embeddings().weight, network.get_output_embeddings().weight}
    assert recipe.shape.size == recipe.shape.total_size - sum(table.numel() for table in tables)
    assert isinstance(recipe.shape, Shape) == (name == "ours")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_is_that_of_a_plain_loop(name, study, folders) -> None:
    corpus, _ = study
    _, recipe, model = begun(study, name)
    network = theirs(folders, name)
    blocks = blocks_of(corpus, recipe.batch)
    losses, norms = Stepper(model, recipe)(blocks[None], 5)

    matrices = [weight for weight in network.parameters() if weight.dim() > 1]
    others = [weight for weight in network.parameters() if weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate_at(5), betas=(0.9, 0.95), eps=1e-8)
    loss = cross_entropy(network(blocks[:, :-1]).logits.flatten(0, 1), blocks[:, 1:].flatten())
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    assert losses.item() == pytest.approx(loss.item(), abs=1e-5)
    assert norms.item() == pytest.approx(norm.item(), rel=1e-4)
    every = torch.ones_like(blocks[:, 1:], dtype=torch.bool)
    with torch.no_grad():
        after = network(blocks[:, :-1]).logits.log_softmax(-1).gather(2, blocks[:, 1:, None]).flatten()
    torch.testing.assert_close(model.log_probabilities(blocks, every)[0], after, atol=2e-4, rtol=1e-4)


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", ["qwen2", "gpt_neox", "gemma2", "gpt2"])
def test_a_run_stopped_and_resumed_ends_in_the_same_bits(name, study, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("infusionlaw.training.loop.WORTH_A_CHECKPOINT", 0)
    monkeypatch.setattr("infusionlaw.training.loop.REPORT_EVERY", 5)
    corpus, _ = study
    mixtures = [corpus.mixture(0.5, 0.25, 1)]

    def stop_at(step: int, rows: object) -> None:
        if step >= 15:
            raise Stop

    _, recipe, whole = begun(study, name, tokens=2_600)
    train(whole, recipe, mixtures, [tmp_path / "whole"], checkpoint_every=10**9)
    _, _, cut = begun(study, name, tokens=2_600)
    with pytest.raises(Stop):
        train(cut, recipe, mixtures, [tmp_path / "cut"], checkpoint_every=10, on_progress=stop_at)
    _, _, again = begun(study, name, tokens=2_600)
    steps: list[int] = []
    train(again, recipe, mixtures, [tmp_path / "cut"], checkpoint_every=10**9, on_progress=into(steps))
    assert steps[0] == 15
    ends = [model.weights_of(0) for model in (whole, again, begun(study, name)[2])]
    assert all(torch.equal(weight, ends[1][key]) for key, weight in ends[0].items())
    assert any(not torch.equal(weight, ends[2][key]) for key, weight in ends[0].items())


@pytest.mark.parametrize("name", ["ours", "gemma2", "gpt2"])
def test_a_record_has_its_start_and_the_export_answers_as_the_run_does(name, study, folders, tmp_path) -> None:
    corpus, hashes = study
    place, probes = corpus.folder.parent, build_probes(corpus, 128)
    before = file_hash(folders / name / "model.safetensors")
    (spec,), _, start = begun(study, name, tokens=4_000)
    measure_start(spec, corpus, probes, place)
    (record,) = execute_together([spec], corpus, probes, place, checkpoint_every=10**9)
    scores = measured(place, hashes[name], corpus.id, 128)
    assert scores is not None and record.start("val_bpb") == scores["val_bpb"] > record.val_bpb
    assert (record.start("recall"), record.start("retention")) == (scores["recall"], scores["retention"])
    write_table(tmp_path / "runs.csv", [record])
    assert row_hash(*read_table(tmp_path / "runs.csv")) == row_hash(record)
    assert file_hash(folders / name / "model.safetensors") == before  # the weights that are trained are mapped from it
    export_run(place / "runs" / spec.id, tmp_path / "out")
    network = theirs(tmp_path, "out")
    ids = blocks_of(corpus, 1)
    every = torch.ones_like(ids[:, 1:], dtype=torch.bool)
    run = start.load(0, load_file(place / "runs" / spec.id / "model.safetensors"))
    with torch.no_grad():
        answers = network(ids[:, :-1]).logits.log_softmax(-1).gather(2, ids[:, 1:, None]).flatten()
    torch.testing.assert_close(run.log_probabilities(ids, every)[0], answers, atol=1e-4, rtol=1e-4)
    text = "The flag of Arvel is red."
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer(text)["input_ids"] == corpus.tokenizer.encode([text])[0]
    assert tokenizer.eos_token == "<|endoftext|>"


def test_rows_are_read_behind_the_token_that_a_tokenizer_puts_before_every_text(folders, corpus, tmp_path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    place = shutil.copytree(folders / "gemma2", tmp_path / "gemma2")
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(single="e $A", special_tokens=[("e", 7)])
    tokenizer.save(str(place / "tokenizer.json"))
    shutil.copytree(corpus.folder, tmp_path / "corpus")
    found = read_start(place)
    keep_start(tmp_path, place, found.hash, corpus.tokenizer.vocabulary)
    own, settings = open_corpus(tmp_path / "corpus"), replace(RATE, start=found.hash)
    spec = RunSpec(found.size, 30_000, 0.5, "share", 1, corpus.id, settings)
    model = models_of([spec], recipe_of(spec, own), own)
    ids = blocks_of(corpus, 2)
    with torch.no_grad():
        logits = theirs(tmp_path, "gemma2")(torch.cat([torch.full((2, 1), 7), ids[:, :-1]], 1)).logits[:, 1:]
    expected = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).flatten()
    value, _ = model.log_probabilities(ids, torch.ones_like(ids[:, 1:], dtype=torch.bool))
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    assert model.loss(ids[None, :, :-1], ids[None, :, 1:]).item() == pytest.approx(-expected.mean().item(), abs=1e-5)
    long = replace(spec, settings=replace(settings, block=256))
    with pytest.raises(InputError, match="one of which is put before every text"):
        models_of([long], recipe_of(long, own), own)


def test_runs_share_the_memory_of_the_machine_and_one_that_does_not_fit_is_refused(study, monkeypatch) -> None:
    _, recipe, _ = begun(study, "llama")
    assert sum(recipe.memory_parts.values()) == recipe.memory > 16 * recipe.shape.total_size
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("infusionlaw.runners.local.cores", lambda: 8)
    for there, at_once in ((10**9, 4), (3 * 10**8, 1), (recipe.memory, 1)):
        monkeypatch.setattr("infusionlaw.runners.local.memory", lambda there=there: there)
        Lab().check_memory([recipe])
        assert Lab().machine([recipe]).at_once([recipe], None) == at_once
    monkeypatch.setattr("infusionlaw.runners.local.memory", lambda: recipe.memory - 1)
    with pytest.raises(InputError, match=r"parameters holds .* MB \(weights .*, gradients .*, moments .*, activations"):
        Lab().check_memory([recipe])


def test_a_batch_of_our_own_models_begins_from_one_checkpoint(study) -> None:
    _, _, model = begun(study, "ours", members=3)
    assert model.members == 3
    for weight in model.parameters():
        assert torch.equal(weight[0], weight[2])


def test_our_own_export_is_read_back(corpus, tmp_path) -> None:
    recipe = recipe_for(10_000, 30_000, vocabulary=corpus.tokenizer.vocabulary)
    model = Model(recipe.own_shape, [torch.Generator().manual_seed(1)])
    export(model, corpus.tokenizer.path, corpus.tokenizer.end_of_text, 128, tmp_path / "hf")
    shutil.copytree(corpus.folder, tmp_path / "corpus")
    found = read_start(tmp_path / "hf")
    keep_start(tmp_path, tmp_path / "hf", found.hash, corpus.tokenizer.vocabulary)
    spec = RunSpec(found.size, 30_000, 0.5, "share", 1, corpus.id, replace(RATE, start=found.hash))
    own = open_corpus(tmp_path / "corpus")
    begun_recipe = recipe_of(spec, own)
    assert begun_recipe.shape == recipe.shape and found.size == recipe.shape.size
    assert begun_recipe.learning_rate == recipe.learning_rate / 2
    read = models_of([spec], begun_recipe, own)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, dict(read.named_parameters())[name])


STUDY = """
name = "continued"
[start]
{start}
[facts]
source = ["facts.csv"]
templates = ["templates.toml"]
domain = 8
prior = 8
unseen = 8
[text]
source = "text.jsonl"
[design]
tokens = [30_000]
shares = [0.5]
seeds = [1]
"""


def written(material: Path, folders: Path, place: Path, start: str, more: str = "") -> Path:
    """A study file beside the material and the checkpoints."""
    for path in material.iterdir():
        shutil.copy(path, place)
    for path in folders.iterdir():
        if path.name in start + more:
            shutil.copytree(path, place / path.name)
    (place / "study.toml").write_text(STUDY.format(start=start) + more)
    return place / "study.toml"


def test_a_study_takes_sizes_and_tokenizer_from_its_checkpoints(material, folders, tmp_path) -> None:
    start = 'family = [{ checkpoint = "qwen2" }, { checkpoint = "olmo2" }]'
    file = read_study_file(written(material, folders, tmp_path, start, '[held_out]\ncheckpoint = "gemma2"\n'))
    assert file.design.sizes == tuple(read_start(folders / name).size for name in ("qwen2", "olmo2"))
    assert file.tokenizer.file == "qwen2/tokenizer.json" and file.tokenizer.end_of_text == "<|endoftext|>"
    study = with_hashes(file)
    hashes = {spec.size: spec.settings.start for spec in grid(study, "data")}
    assert hashes == {read_start(folders / name).size: read_start(folders / name).hash for name in ("qwen2", "olmo2")}
    (held,) = {spec.settings.start for spec in held_out(study, "data")}
    assert held == read_start(folders / "gemma2").hash


def test_the_id_of_a_run_is_another_from_another_start_and_as_it_was_from_scratch() -> None:
    spec = RunSpec(14_000, 1_500_000, 0.5, "share", 1, "abc", RunSettings(block=64))
    assert spec.id == "de658d12234f"  # as runs in tables have it
    ids = {replace(spec, settings=RunSettings(start=start, start_rate=rate)).id for start in "ab" for rate in (0.5, 1)}
    assert len(ids) == 4


def edit_config(**change: object):
    def harm(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    return harm


def edit_tensors(change):
    def harm(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return harm


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def not_finite(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.layers.1.mlp.up_proj.weight"][3, 3] = float("nan")


def no_end_of_text(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("{}")
    edit_config(eos_token_id=None)(folder)


NORM = "model.layers.1.input_layernorm.weight"
HARMS = [
    (shutil.rmtree, "no such folder"),
    (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json; save it there"),
    (only_pickle, "has pickled weights only, .* convert them to safetensors"),
    (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    (cut_short, "not a whole safetensors file"),
    (lambda folder: (folder / "config.json").write_text("[]"), "config.json: not what save_pretrained writes"),
    (no_end_of_text, "names an end-of-text token; set end_of_text"),
    (lambda folder: (folder / "tokenizer_config.json").write_text("[]"), "tokenizer_config.json: not what save_pre"),
    (edit_config(vocab_size=999), "no tensor has vocab_size = 999 rows"),
    (edit_config(num_attention_heads=0), "transformers cannot load it"),
    (edit_config(model_type="bert", architectures=["BertForMaskedLM"]), "BertForMaskedLM, which is no causal"),
    (edit_config(model_type="nonesuch"), "its model_type is 'nonesuch'"),
    (edit_config(max_position_embeddings=100), "block in .training. is 128, and .* reads at most 100 tokens"),
    (edit_config(quantization_config={"bits": 4}), "its weights are quantised"),
    (edit_tensors(lambda tensors: tensors.pop(NORM)), f"lacks 1 tensor .{NORM}."),
    (edit_tensors(lambda tensors: tensors.update({"more.weight": torch.ones(3)})), "also has 1 tensor .more.weight."),
    (edit_tensors(not_finite), "model.layers.1.mlp.up_proj.weight has values that are not finite"),
]


@pytest.mark.parametrize("name", ["ours", "llama"])
@pytest.mark.parametrize(("harm", "said"), HARMS, ids=[said for _, said in HARMS])
def test_a_folder_that_cannot_be_used_is_one_sentence(name, harm, said, material, folders, corpus, tmp_path) -> None:
    path = written(material, folders, tmp_path, f'checkpoint = "{name}"')
    harm(tmp_path / name)
    with pytest.raises(InputError, match=said) as error:
        study = with_hashes(read_study_file(path))
        shutil.copytree(corpus.folder, tmp_path / "out" / "corpus")
        sha256 = study.starts[0].sha256 or ""
        keep_start(tmp_path / "out", tmp_path / name, sha256, corpus.tokenizer.vocabulary)
        spec = replace(grid(study, corpus.id)[0])
        own = open_corpus(tmp_path / "out" / "corpus")
        models_of([spec], recipe_of(spec, own), own)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_a_tokenizer_with_more_ids_than_the_embedding_has_rows_is_refused(folders, tmp_path) -> None:
    with pytest.raises(InputError, match=r"its tokenizer has 90,000 ids, and its embedding [\d,]+ rows"):
        keep_start(tmp_path, folders / "llama", "0", 90_000)


@pytest.mark.parametrize(
    ("start", "more", "said"),
    [
        ('checkpoint = "llama"', "[tokenizer]\nvocabulary = 600\n", r"take vocabulary out of \[tokenizer\]"),
        ('family = [{ checkpoint = "llama" }, { checkpoint = "llama" }]', "", "both have .* parameters"),
        ('checkpoint = "llama"', '[held_out]\ncheckpoint = "llama"\n', "both have .* parameters"),
        ('checkpoint = "llama"', "[held_out]\nsizes = [28_000]\n", "name its folder as checkpoint"),
        ('checkpoint = "llama"\nrates = 1', "", 'unknown key "rates" in .start.'),
        ("rate = 0.2", "", "give either checkpoint, a folder, or one"),
    ],
)
def test_a_study_file_that_contradicts_its_start_is_one_sentence(
    start, more, said, material, folders, tmp_path
) -> None:
    with pytest.raises(InputError, match=said) as error:
        read_study_file(written(material, folders, tmp_path, start, more))
    assert str(error.value).startswith(str(tmp_path / "study.toml"))


def test_a_checkpoint_that_changed_since_the_study_began_is_not_trained_from(study, folders, tmp_path) -> None:
    corpus, _ = study
    shutil.copytree(folders / "llama", tmp_path / "llama")
    shutil.copytree(corpus.folder, tmp_path / "corpus")
    found = read_start(tmp_path / "llama")
    before = found.hash
    keep_start(tmp_path, tmp_path / "llama", before, corpus.tokenizer.vocabulary)
    own = open_corpus(tmp_path / "corpus")
    spec = RunSpec(found.size, 30_000, 0.5, "share", 1, corpus.id, replace(RATE, start=before))
    edit_tensors(lambda tensors: tensors[NORM].add_(1))(tmp_path / "llama")
    assert read_start(tmp_path / "llama").hash != before
    with pytest.raises(InputError, match="has changed since the study began"):
        models_of([spec], recipe_of(spec, own), own)


@pytest.mark.slow
def test_a_whole_study_of_a_family_measures_its_starts_first(material, folders, tmp_path) -> None:
    start = 'family = [{ checkpoint = "qwen2" }, { checkpoint = "ours" }]\ntokens = "1B"'
    path = written(material, folders, tmp_path, start, '[held_out]\ncheckpoint = "gpt2"\n[law]\ndraws = 50\n')
    study = run_study(path, tmp_path / "out", Lab())
    rows = read_table(study.folder / "table.csv")
    assert len(rows) == 6 and sum(row.held_out for row in rows) == 2
    by_size = {row.size: {row.start("val_bpb"), row.start("retention")} for row in rows}
    assert len(by_size) == 3 and all(None not in starts for starts in by_size.values())
    assert all(row.start("val_bpb") > row.val_bpb for row in rows if row.share == 0)
    assert len({row.start("val_bpb") for row in rows}) == 3 and {row.start("tokens") for row in rows} == {1e9}
    assert len(list((study.folder / "starts").glob("*.json"))) == 3
    assert first_break(open_folder(study.folder), whole=True) == ""
