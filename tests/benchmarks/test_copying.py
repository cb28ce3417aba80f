"""What a block tells of its own tokens, and what a model makes of it."""

import numpy as np
import pytest
import torch

from benchmarks.copying import losses, repeated_in_block
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import recipe_for


def test_a_token_is_repeated_where_what_is_before_it_stood_before_it_earlier_in_the_block() -> None:
    blocks = np.array([[1, 2, 3, 9, 1, 2, 3, 2, 3], [1, 2, 4, 9, 1, 2, 3, 9, 1], [1, 2, 3, 1, 2, 3, 1, 2, 3]])
    repeated = repeated_in_block(blocks)
    assert repeated.shape == (3, 8)
    assert [np.flatnonzero(row).tolist() for row in repeated] == [[5], [], [4, 5, 6, 7]]


def test_losses_are_those_of_the_targets_in_bits() -> None:
    shape = recipe_for(12_000, 1_500_000, vocabulary=64, block=16).shape
    model = Model(shape, [torch.Generator().manual_seed(0)])
    blocks = np.random.default_rng(0).integers(64, size=(40, 17))
    bits = losses(model, blocks)
    assert bits.shape == (40, 16)
    with torch.inference_mode():
        mean = model.loss(torch.from_numpy(blocks[None, :, :-1]), torch.from_numpy(blocks[None, :, 1:].copy()))
    assert bits.mean() * np.log(2) == pytest.approx(float(mean), rel=1e-5)
