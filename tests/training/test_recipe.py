"""Shapes and schedules over the whole range of sizes."""

from itertools import pairwise

import numpy as np
import pytest

from infusionlaw.training.recipe import recipe_for, shape_for


@pytest.mark.parametrize("size", np.geomspace(10_000, 3e9, 40).astype(int).tolist())
def test_shapes_come_within_five_percent(size: int) -> None:
    shape = shape_for(size, 1024)
    assert abs(shape.size / size - 1) < 0.05
    assert shape.d_model % shape.heads == 0
    assert shape.head_width % 2 == 0
    assert 1 <= shape.d_ff / shape.d_model <= 5


def test_heads_are_four_until_they_are_wide() -> None:
    shapes = [shape_for(size, 1024) for size in (12_000, 95_000, 450_000, 1_800_000, 7_200_000, 124_000_000)]
    heads = [(shape.heads, shape.head_width) for shape in shapes]
    assert heads == [(3, 8), (4, 16), (4, 24), (4, 44), (5, 64), (14, 64)]


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        shape_for(5_000, 1024)


def test_depth_and_width_grow_with_size() -> None:
    shapes = [shape_for(int(n), 1024) for n in np.geomspace(10_000, 3e9, 30)]
    assert all(a.layers <= b.layers for a, b in pairwise(shapes))
    assert all(a.size < b.size for a, b in pairwise(shapes))


def test_schedule_warms_up_holds_and_decays_to_nearly_zero() -> None:
    recipe = recipe_for(25_000, 1_500_000, vocabulary=1024)
    rates = [recipe.learning_rate_at(i) for i in range(recipe.steps)]
    assert rates[0] < 0.1 * recipe.learning_rate
    assert rates[recipe.steps // 2] == recipe.learning_rate == max(rates)
    assert 0 < rates[-1] < 0.01 * recipe.learning_rate
    assert recipe.tokens == recipe.steps * recipe.batch * 128 <= 1_500_000


def test_batch_at_the_measured_budget_is_1024_tokens_and_grows() -> None:
    assert recipe_for(25_000, 1_500_000, vocabulary=1024).batch == 8
    assert recipe_for(25_000, 24_000_000, vocabulary=1024).batch > 30


def test_the_rate_is_capped_where_models_are_small_and_falls_with_size_above() -> None:
    def rate(size: int) -> float:
        return recipe_for(size, 1_500_000, vocabulary=1024).learning_rate

    assert {rate(size) for size in (12_000, 95_000, 270_000)} == {0.005}
    assert rate(450_000) == pytest.approx(0.0035, rel=0.02)
    assert rate(1_800_000) == pytest.approx(0.0013, rel=0.02)


def test_a_step_that_a_gpu_cannot_hold_is_taken_in_pieces() -> None:
    small, large = (recipe_for(size, 1_000_000_000, vocabulary=4096) for size in (16_000_000, 1_000_000_000))
    assert small.piece == small.batch
    assert large.piece < large.batch and large.memory < 64e9
    assert large.piece * 9 >= large.batch  # no more of them than need be
