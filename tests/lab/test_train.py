"""The loop: learning, resuming bit for bit, diverging without harm."""

import json

import pytest
import torch
from safetensors.torch import load_file

from infusionlaw.errors import InputError
from infusionlaw.lab.model import Model
from infusionlaw.lab.recipe import recipe_for
from infusionlaw.lab.train import remove_checkpoints, train


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def start(corpus, seed: int = 1, tokens: int = 120_000):
    recipe = recipe_for(10_000, tokens, vocabulary=corpus.tokenizer.vocabulary, batch_factor=2)
    return Model(recipe.shape, torch.Generator().manual_seed(seed)), recipe, corpus.mixture(0.5, 0.25, seed)


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


class Stop(Exception):
    pass


def test_training_learns_and_the_schedule_is_in_the_metrics(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    seen = []
    assert train(model, recipe, mixture, tmp_path, checkpoint_every=10**9, on_progress=seen.append) == "ok"
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == recipe.steps == seen[-1]
    assert rows[-1]["tokens"] == recipe.tokens
    assert rows[-1]["loss"] < rows[0]["loss"] - 1
    assert rows[-1]["learning_rate"] < 0.1 * max(row["learning_rate"] for row in rows)


def test_a_run_stopped_anywhere_resumes_to_the_same_bits(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    train(model, recipe, mixture, tmp_path / "whole", checkpoint_every=50)

    def stop_at(step: int) -> None:
        if step >= 175:
            raise Stop

    again, _, _ = start(corpus)
    with pytest.raises(Stop):
        train(again, recipe, mixture, tmp_path / "cut", checkpoint_every=50, on_progress=stop_at)
    assert json.loads((tmp_path / "cut" / "checkpoint.json").read_text())["step"] == 150
    fresh, _, fresh_mixture = start(corpus)
    steps = []
    train(fresh, recipe, fresh_mixture, tmp_path / "cut", checkpoint_every=50, on_progress=steps.append)
    assert steps[0] == 175
    assert all(torch.equal(a, b) for a, b in zip(weights(model).values(), weights(fresh).values(), strict=True))

    def timeless(folder):
        rows = [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    assert timeless("cut") == timeless("whole")


def test_checkpoints_are_safetensors_and_only_the_last_is_kept(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    train(model, recipe, mixture, tmp_path, checkpoint_every=50)
    (path,) = tmp_path.glob("checkpoint-*.safetensors")
    assert set(load_file(path)) >= {"embedding.weight", "embedding.weight/exp_avg", "embedding.weight/exp_avg_sq"}
    remove_checkpoints(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_broken_checkpoint_is_one_sentence(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    train(model, recipe, mixture, tmp_path, checkpoint_every=50)
    (path,) = tmp_path.glob("checkpoint-*.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"checkpoint-\d+\.safetensors: not a readable checkpoint; remove"):
        train(model, recipe, mixture, tmp_path, checkpoint_every=50)


def test_a_loss_that_is_not_finite_stops_the_run_with_a_status(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    with torch.no_grad():
        model.final_norm.weight[0] = float("inf")
    seen = []
    assert train(model, recipe, mixture, tmp_path, checkpoint_every=50, on_progress=seen.append) == "diverged"
    assert not seen


def test_same_seed_same_bits_other_seed_other_bits(corpus, tmp_path) -> None:
    results = []
    for place, seed in (("a", 1), ("b", 1), ("c", 2)):
        model, recipe, mixture = start(corpus, seed, tokens=90_000)
        train(model, recipe, mixture, tmp_path / place, checkpoint_every=10**9)
        results.append(weights(model)["embedding.weight"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
