"""Mixed precision, and the GPU where there is one."""

import pytest
import torch

from infusionlaw.lab.model import Model
from infusionlaw.lab.recipe import recipe_for, shape_for
from infusionlaw.lab.train import train


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_run_learns_what_a_cpu_run_learns_and_resumes(corpus, tmp_path) -> None:
    recipe = recipe_for(28_000, 200_000, vocabulary=corpus.tokenizer.vocabulary)
    losses = []
    for device in ("cpu", "cuda"):
        model = Model(recipe.shape, [torch.Generator().manual_seed(1)]).to(device)
        mixture = corpus.mixture(0.5, 0.25, 1)
        for _ in range(2):  # the second call finds the checkpoint and does the last steps again
            train(model, recipe, [mixture], [tmp_path / device], checkpoint_every=100)
        tokens = torch.tensor(mixture.blocks(0, 32, 128), device=device)
        losses.append(model.loss(tokens[None, :, :-1], tokens[None, :, 1:]).item())
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
