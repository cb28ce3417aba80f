"""Mixed precision, and the GPU where there is one: a graph's steps are steps, members are alone, runs resume."""

import pytest
import torch

from infusionlaw.training import step as stepping
from infusionlaw.training.compile import compile_layers
from infusionlaw.training.loop import train
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import Recipe, recipe_for, shape_for
from infusionlaw.training.step import WARM_UP, Stepper

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SEEDS, SHARES = (1, 2, 3, 1), (0.0, 0.3, 0.6, 0.9)


def test_bf16_autocast_stays_near_fp32() -> None:
    model = Model(shape_for(55_000, 512), [torch.Generator().manual_seed(1)])
    x = torch.randint(0, 512, (4, 65), generator=torch.Generator().manual_seed(2))
    exact = model.loss(x[None, :, :-1], x[None, :, 1:]).sum()
    exact.backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss(x[None, :, :-1], x[None, :, 1:]).sum()
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.01)
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        assert p.grad.dtype == torch.float32
        assert (p.grad - gradient).norm() < 0.05 * gradient.norm()


@needs_gpu
def test_a_gpu_run_learns_what_a_cpu_run_learns_and_resumes(corpus, tmp_path) -> None:
    recipe = recipe_for(28_000, 200_000, vocabulary=corpus.tokenizer.vocabulary)
    losses = []
    for device in ("cpu", "cuda"):
        model = Model(recipe.shape, [torch.Generator().manual_seed(1)]).to(device)
        mixture = corpus.mixture(0.5, 0.25, 1)
        for _ in range(2):  # the second call finds the checkpoint and does the last steps again
            train(model, recipe, [mixture], [tmp_path / device], checkpoint_every=100)
        tokens = torch.tensor(mixture.blocks(0, 32, 128).astype(int), device=device)
        losses.append(model.loss(tokens[None, :, :-1], tokens[None, :, 1:]).item())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def on_gpu(seeds: tuple[int, ...], recipe: Recipe) -> Model:
    return Model(recipe.shape, [torch.Generator().manual_seed(seed) for seed in seeds]).to("cuda")


@needs_gpu
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_steps_of_a_graph_are_steps(half: bool, compiled: bool, monkeypatch) -> None:
    monkeypatch.setattr(stepping, "LEAST_FOR_BF16", 0 if half else 10**12)
    recipe = recipe_for(30_000, 3_000_000, vocabulary=512)
    blocks = torch.randint(0, 512, (12, 2, recipe.batch, 129), generator=torch.Generator().manual_seed(7)).cuda()
    results = []
    for captured in (False, True):
        monkeypatch.setattr(stepping, "WARM_UP", WARM_UP if captured else 10**9)
        model = on_gpu((1, 2), recipe)
        assert not compiled or compile_layers(model, recipe.batch, recipe.block)
        step_on = Stepper(model, recipe)
        results.append([torch.stack(step_on(each, step)).clone() for step, each in enumerate(blocks)])
        assert (step_on._graph is not None) == captured
    torch.testing.assert_close(results[1], results[0], atol=2e-2 if half else 1e-4, rtol=2e-2 if half else 1e-4)
    torch.compiler.reset()


@needs_gpu
@pytest.mark.parametrize("half", [False, True])
def test_each_member_of_a_batch_gets_what_it_would_get_alone(half: bool, corpus, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stepping, "LEAST_FOR_BF16", 0 if half else 10**12)
    recipe = recipe_for(10_000, 60_000, vocabulary=corpus.tokenizer.vocabulary, learning_rate_factor=0.2)
    mixtures = [corpus.mixture(share, 0.25, seed) for share, seed in zip(SHARES, SEEDS, strict=True)]
    model = on_gpu(SEEDS, recipe)
    train(model, recipe, mixtures, [tmp_path / f"{i}" for i in range(4)], checkpoint_every=10**9)
    for i in range(4):
        alone = on_gpu(SEEDS[i : i + 1], recipe)
        before = alone.weights_of(0)["embedding.weight"].clone()
        train(alone, recipe, mixtures[i : i + 1], [tmp_path / "alone" / f"{i}"], checkpoint_every=10**9)
        moved = (alone.weights_of(0)["embedding.weight"] - before).norm()
        apart = (model.weights_of(i)["embedding.weight"] - alone.weights_of(0)["embedding.weight"]).norm()
        assert apart < (0.1 if half else 1e-2) * moved


@needs_gpu
def test_a_member_that_diverges_on_a_gpu_does_not_touch_the_others(corpus, tmp_path) -> None:
    recipe = recipe_for(10_000, 60_000, vocabulary=corpus.tokenizer.vocabulary)
    mixtures = [corpus.mixture(share, 0.25, seed) for share, seed in zip(SHARES[:2], SEEDS[:2], strict=True)]
    results = []
    for spoilt in (False, True):
        model = on_gpu(SEEDS[:2], recipe)
        if spoilt:
            with torch.no_grad():
                model.final_norm.weight[0, 0] = float("nan")
        folders = [tmp_path / f"{spoilt}" / f"{i}" for i in range(2)]
        ends = train(model, recipe, mixtures, folders, checkpoint_every=10**9)
        assert ends == (["diverged", "ok"] if spoilt else ["ok", "ok"])
        results.append(model.weights_of(1)["embedding.weight"])
    torch.testing.assert_close(results[1], results[0], atol=1e-3, rtol=1e-3)
