"""A permutation: every place once, another order for another seed, and no worse than a drawn one."""

import numpy as np
import pytest

from infusionlaw.corpus.infusion.permutation import permuted


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 64, 1000, 5270])
def test_every_place_comes_once(size) -> None:
    for seed in range(5):
        assert sorted(permuted(np.arange(size), size, [seed])) == list(range(size))


def test_it_can_be_entered_anywhere_and_is_its_seeds() -> None:
    whole = permuted(np.arange(10**5), 10**5, [3, 1])
    assert np.array_equal(permuted(np.array([70_000, 2]), 10**5, [3, 1]), whole[[70_000, 2]])
    assert (whole != permuted(np.arange(10**5), 10**5, [3, 2])).mean() > 0.99
    assert permuted(np.array([10**12 - 1]), 10**12, [0])[0] < 10**12


def test_no_seed_leaves_out_a_stretch() -> None:
    """The widest gap between 88 places of 5,270, over seeds, is that of numpy's own permutations."""

    def gaps(orders) -> np.ndarray:
        ends = [np.concatenate([[0], np.sort(order[:88]), [5270]]) for order in orders]
        return np.sort([np.diff(places).max() for places in ends])

    ours = gaps(permuted(np.arange(88), 5270, [seed]) for seed in range(300))
    theirs = gaps(np.random.default_rng(seed).permutation(5270) for seed in range(300))
    assert abs(np.median(ours) / np.median(theirs) - 1) < 0.1
    assert ours[-1] < 1.4 * theirs[-1]


def test_neighbours_do_not_stay_neighbours_and_no_place_is_likelier() -> None:
    size = 40
    orders = np.array([permuted(np.arange(size), size, [seed]) for seed in range(4000)])
    counts = np.array([np.bincount(orders[:, place], minlength=size) for place in range(size)])
    expected = len(orders) / size
    assert ((counts - expected) ** 2 / expected).sum() < 1.15 * (size - 1) ** 2
    steps = np.bincount(np.diff(orders, axis=1).ravel() % size, minlength=size)[1:]
    assert abs(steps / steps.mean() - 1).max() < 0.06
