"""Shuffles made together are those that numpy makes one by one."""

import numpy as np
import pytest

from infusionlaw.corpus.infusion.shuffles import shuffles


@pytest.mark.parametrize(
    "seed", [[], [0], [41, 1], [2**32 - 1, 2], [2**32, 1], [2**40 + 7, 2], [2**70, 1], [1, 2, 3, 4]]
)
@pytest.mark.parametrize("first", [0, 1, 123_456, 2**32 - 3, 2**32, 10**12])
def test_shuffles_are_those_of_default_rng(seed: list[int], first: int) -> None:
    expected = [np.random.default_rng([*seed, i]).permutation(50) for i in range(first, first + 5)]
    assert np.array_equal(shuffles(seed, first, 5, 50), expected)


def test_one_generator_is_made_a_shuffle_and_no_seed_is_hashed_by_numpy(monkeypatch) -> None:
    monkeypatch.setattr("infusionlaw.corpus.infusion.shuffles.default_rng", None)
    assert shuffles([3, 1], 0, 4, 10).shape == (4, 10)
