"""One optimiser step against the formulas of the recipe, written out."""

import copy

import pytest
import torch

from infusionlaw.training.model import Model
from infusionlaw.training.recipe import recipe_for
from infusionlaw.training.step import Stepper


@pytest.mark.parametrize("members", [1, 2])
def test_steps_are_those_of_adamw_with_the_betas_decay_and_clipping_of_the_recipe(members: int) -> None:
    """Rule 7: betas .9 and .95, eps 1e-8, weight decay .1 on matrices and none on norms, gradient norm at most 1."""
    recipe = recipe_for(10_000, 900_000, vocabulary=512)
    model = Model(recipe.shape, [torch.Generator().manual_seed(3 + i) for i in range(members)])
    reference = copy.deepcopy(model)
    step_on, generator = Stepper(model, recipe), torch.Generator().manual_seed(7)
    first = {name: torch.zeros_like(weight) for name, weight in reference.named_parameters()}
    second = copy.deepcopy(first)
    for step in range(6):
        blocks = torch.randint(0, 512, (members, recipe.batch, 129), generator=generator)
        step_on(blocks, step)
        reference.loss(blocks[..., :-1], blocks[..., 1:]).sum().backward()
        squares = torch.zeros(members)
        for weight in reference.parameters():
            squares += weight.grad.flatten(1).square().sum(1)
        scale = (1.0 / squares.sqrt()).clamp(max=1.0)
        rate = recipe.learning_rate_at(step)
        with torch.no_grad():
            for name, weight in reference.named_parameters():
                gradient = weight.grad * scale.view(-1, *[1] * (weight.dim() - 1))
                first[name].mul_(0.9).add_(0.1 * gradient)
                second[name].mul_(0.95).add_(0.05 * gradient.square())
                mean, square = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.95 ** (step + 1))
                if weight.dim() > 2:
                    weight.mul_(1 - rate * 0.1)
                weight.sub_(rate * mean / (square.sqrt() + 1e-8))
        reference.zero_grad()
    untouched = Model(recipe.shape, [torch.Generator().manual_seed(3 + i) for i in range(members)])
    start = dict(untouched.named_parameters())
    for name, weight in model.named_parameters():
        moved = (weight - start[name]).norm()
        assert (weight - dict(reference.named_parameters())[name]).norm() < 1e-3 * moved, name
