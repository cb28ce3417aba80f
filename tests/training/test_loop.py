"""The loop: learning, resuming bit for bit, diverging without harm."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infusionlaw.runs.begun import begun_step
from infusionlaw.training.checkpoint import remove, resume
from infusionlaw.training.loop import time_steps, train
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import recipe_for
from infusionlaw.training.step import clip


@pytest.fixture(autouse=True, scope="module")
def every_checkpoint():
    """None is put off because training is short beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infusionlaw.training.loop.WORTH_A_CHECKPOINT", 0)
        yield


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def start(corpus, seed: int = 1, tokens: int = 60_000):
    recipe = recipe_for(10_000, tokens, vocabulary=corpus.tokenizer.vocabulary, batch_factor=2)
    return Model(recipe.shape, [torch.Generator().manual_seed(seed)]), recipe, corpus.mixture(0.5, 0.25, seed)


def into(steps: list[int]):
    """Progress of which the steps are kept."""
    return lambda step, rows: steps.append(step)


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


class Stop(Exception):
    pass


def test_training_learns_and_the_schedule_is_in_the_metrics(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    seen = []
    assert train(model, recipe, [mixture], [tmp_path], checkpoint_every=10**9, on_progress=into(seen)) == ["ok"]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == recipe.steps == seen[-1]
    assert rows[-1]["tokens"] == recipe.tokens
    assert rows[-1]["loss"] < rows[0]["loss"] - 1
    assert rows[-1]["learning_rate"] < 0.1 * max(row["learning_rate"] for row in rows)


def test_a_run_stopped_anywhere_resumes_to_the_same_bits(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    train(model, recipe, [mixture], [tmp_path / "whole"], checkpoint_every=50)

    def stop_at(step: int, rows: object) -> None:
        if step >= 125:
            raise Stop

    again, _, _ = start(corpus)
    with pytest.raises(Stop):
        train(again, recipe, [mixture], [tmp_path / "cut"], checkpoint_every=50, on_progress=stop_at)
    assert json.loads((tmp_path / "cut" / "checkpoint.json").read_text())["step"] == 100
    fresh, _, fresh_mixture = start(corpus)
    steps = []
    train(fresh, recipe, [fresh_mixture], [tmp_path / "cut"], checkpoint_every=50, on_progress=into(steps))
    assert steps[0] == 125
    assert all(torch.equal(a, b) for a, b in zip(weights(model).values(), weights(fresh).values(), strict=True))

    def timeless(folder):
        rows = [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    assert timeless("cut") == timeless("whole")


def test_checkpoints_are_safetensors_and_only_the_last_is_kept(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    train(model, recipe, [mixture], [tmp_path], checkpoint_every=50)
    (path,) = tmp_path.glob("checkpoint-*.safetensors")
    assert set(load_file(path)) >= {"embedding.weight", "embedding.weight/exp_avg", "embedding.weight/exp_avg_sq"}
    remove(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def zeroed(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-4000] + bytes(4000))


def ones(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-4000] + b"\xff" * 4000)


def with_head(**change: object) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        head = path.parent / "checkpoint.json"
        head.write_text(json.dumps(json.loads(head.read_text()) | change))

    return harm


def of_another_run(path: Path) -> None:
    other = path.parent.parent / "other"
    shutil.copy(other / path.name, path)
    shutil.copy(other / "checkpoint.json", path.parent)


def unreadable(path: Path) -> None:
    (path.parent / "checkpoint.json").write_text("null")


HARMS = [zeroed, ones, Path.unlink, unreadable, of_another_run, with_head(step=50), with_head(step=10**9)]


@pytest.fixture(scope="module")
def stopped(corpus, tmp_path_factory):
    """Folders of two runs that stopped after the same checkpoint, and the weights that the first ends with."""

    def stop_at(step: int, rows: object) -> None:
        if step >= 75:
            raise Stop

    folder = tmp_path_factory.mktemp("stopped")
    for name, seed in (("run", 1), ("other", 2)):
        model, recipe, mixture = start(corpus, seed, tokens=20_000)
        with pytest.raises(Stop):
            train(model, recipe, [mixture], [folder / name], checkpoint_every=30, on_progress=stop_at)
    model, recipe, mixture = start(corpus, tokens=20_000)
    train(model, recipe, [mixture], [folder / "whole"], checkpoint_every=10**9)
    return folder, weights(model)


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_checkpoint_is_put_aside_and_the_run_ends_in_the_same_bits(
    harm, corpus, stopped, tmp_path, caplog
) -> None:
    folder = shutil.copytree(stopped[0], tmp_path / "copy") / "run"
    assert begun_step(folder) == 60
    harm(folder / "checkpoint-00000060.safetensors")
    steps: list[int] = []
    model, recipe, mixture = start(corpus, tokens=20_000)
    assert train(model, recipe, [mixture], [folder], checkpoint_every=10**9, on_progress=into(steps)) == ["ok"]
    assert steps[0] == 25
    assert all(torch.equal(a, b) for a, b in zip(weights(model).values(), stopped[1].values(), strict=True))
    assert (folder / "damaged" / "checkpoint.json").exists() and not begun_step(folder)
    (said,) = caplog.messages
    assert f"{folder}: its checkpoint is put aside" in said and "\n" not in said


def test_a_garbled_line_of_metrics_is_left_out_and_training_goes_on(corpus, stopped, tmp_path) -> None:
    folder = shutil.copytree(stopped[0], tmp_path / "copy") / "run"
    with (folder / "metrics.jsonl").open("ab") as handle:
        handle.write(b'{"step": 5\nnull\n\xff\xfe\n{"step": "x", "tokens": 3}\n')
    steps: list[int] = []
    model, recipe, mixture = start(corpus, tokens=20_000)
    assert train(model, recipe, [mixture], [folder], checkpoint_every=10**9, on_progress=into(steps)) == ["ok"]
    assert steps[0] == 75
    told = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert told == [25, 50, *steps]
    assert all(torch.equal(a, b) for a, b in zip(weights(model).values(), stopped[1].values(), strict=True))


def test_a_loss_that_is_not_finite_stops_the_run_with_a_status(corpus, tmp_path) -> None:
    model, recipe, mixture = start(corpus)
    with torch.no_grad():
        model.final_norm.weight[0, 0] = float("inf")
    seen = []
    assert train(model, recipe, [mixture], [tmp_path], checkpoint_every=50, on_progress=into(seen)) == ["diverged"]
    assert not seen


def test_same_seed_same_bits_other_seed_other_bits(corpus, tmp_path) -> None:
    results = []
    for place, seed in (("a", 1), ("b", 1), ("c", 2)):
        model, recipe, mixture = start(corpus, seed)
        train(model, recipe, [mixture], [tmp_path / place], checkpoint_every=10**9)
        results.append(weights(model)["embedding.weight"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def model_batch(corpus, seeds: tuple[int, ...], shares: tuple[float, ...]):
    recipe = recipe_for(10_000, 20_000, vocabulary=corpus.tokenizer.vocabulary, learning_rate_factor=0.2)
    model = Model(recipe.shape, [torch.Generator().manual_seed(seed) for seed in seeds])
    return model, recipe, [corpus.mixture(share, 0.25, seed) for share, seed in zip(shares, seeds, strict=True)]


SEEDS, SHARES = (1, 2, 1), (0.0, 0.3, 0.9)


def test_each_member_of_a_batch_gets_what_it_would_get_alone(corpus, tmp_path) -> None:
    model, recipe, mixtures = model_batch(corpus, SEEDS, SHARES)
    train(model, recipe, mixtures, [tmp_path / f"{i}" for i in range(3)], checkpoint_every=10**9)
    for i in range(3):
        alone, _, own = model_batch(corpus, SEEDS[i : i + 1], SHARES[i : i + 1])
        before = alone.weights_of(0)["embedding.weight"].clone()
        train(alone, recipe, own, [tmp_path / "alone" / f"{i}"], checkpoint_every=10**9)
        moved = (alone.weights_of(0)["embedding.weight"] - before).abs().max()
        for name, weight in alone.weights_of(0).items():
            assert (model.weights_of(i)[name] - weight).abs().max() < 1e-2 * moved, name
        together, single = (
            [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
            for folder in (tmp_path / f"{i}", tmp_path / "alone" / f"{i}")
        )
        assert together == pytest.approx(single, abs=1e-3)


def test_a_member_that_diverges_does_not_touch_the_others(corpus, tmp_path) -> None:
    results = []
    for spoilt in (False, True):
        model, recipe, mixtures = model_batch(corpus, SEEDS[:2], SHARES[:2])
        if spoilt:
            with torch.no_grad():
                model.final_norm.weight[0, 0] = float("nan")
        folders = [tmp_path / f"{spoilt}" / f"{i}" for i in range(2)]
        ends = train(model, recipe, mixtures, folders, checkpoint_every=10**9)
        assert ends == (["diverged", "ok"] if spoilt else ["ok", "ok"])
        results.append(model.weights_of(1))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_the_gradient_of_each_member_is_clipped_by_its_own_norm(corpus, tmp_path) -> None:
    model, _, _ = model_batch(corpus, SEEDS[:2], SHARES[:2])
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
        weight.grad[0] *= 1e-6
    before = [weight.grad.clone() for weight in model.parameters()]
    norms = clip(model, 1.0)
    total = sum(weight[0].numel() for weight in model.parameters()) ** 0.5
    assert norms.tolist() == pytest.approx([1e-6 * total, total], rel=1e-4)
    for weight, was in zip(model.parameters(), before, strict=True):
        assert torch.equal(weight.grad[0], was[0])
        assert weight.grad[1] == pytest.approx(was[1] / total, rel=1e-4)


def test_checkpoints_are_put_off_while_training_has_not_paid_for_the_last(corpus, tmp_path, monkeypatch) -> None:
    left: list[int] = []
    monkeypatch.setattr("infusionlaw.training.loop.save", lambda model, optimiser, folders, step: left.append(step))
    for worth, expected in ((0, [20, 40]), (10**9, [20])):
        monkeypatch.setattr("infusionlaw.training.loop.WORTH_A_CHECKPOINT", worth)
        left.clear()
        model, recipe, mixtures = model_batch(corpus, SEEDS[:1], SHARES[:1])
        train(model, replace(recipe, steps=50), mixtures, [tmp_path], checkpoint_every=20)
        assert left == expected


def test_members_of_a_batch_go_on_together_or_apart_from_where_they_stopped(corpus, tmp_path) -> None:
    def stop_at(step: int, rows: object) -> None:
        if step >= 45:
            raise Stop

    model, recipe, mixtures = model_batch(corpus, SEEDS[:2], SHARES[:2])
    train(model, recipe, mixtures, [tmp_path / "whole" / f"{i}" for i in range(2)], checkpoint_every=20)
    cut, _, _ = model_batch(corpus, SEEDS[:2], SHARES[:2])
    folders = [tmp_path / "cut" / f"{i}" for i in range(2)]
    with pytest.raises(Stop):
        train(cut, recipe, mixtures, folders, checkpoint_every=20, on_progress=stop_at)
    assert [begun_step(folder) for folder in folders] == [40, 40]
    alone, _, own = model_batch(corpus, SEEDS[1:2], SHARES[1:2])
    train(alone, recipe, own, folders[1:], checkpoint_every=10**9)
    for name, weight in alone.weights_of(0).items():
        torch.testing.assert_close(weight, model.weights_of(1)[name], atol=1e-3, rtol=1e-2)
    remove(folders[1])
    with pytest.raises(ValueError, match="different steps"):
        resume(cut, torch.optim.AdamW(cut.parameters()), folders)


@pytest.mark.parametrize(("pace", "steps"), [(0.01, 13), (2.0, 2)])
def test_slow_steps_are_timed_once_after_the_first(corpus, monkeypatch, pace, steps) -> None:
    done = []

    class Paced:
        """A model's step on a clock of its own."""

        def __init__(self, model, recipe) -> None:
            pass

        def __call__(self, blocks, step):
            done.append(step)
            return torch.zeros(1), torch.zeros(1)

    monkeypatch.setattr("infusionlaw.training.loop.Stepper", Paced)
    monkeypatch.setattr("infusionlaw.training.loop.time.perf_counter", lambda: len(done) * pace)
    model, recipe, mixture = start(corpus)
    assert time_steps(model, recipe, [mixture], seconds=0.09) == pytest.approx(pace)
    assert len(done) == steps
