"""A seeded permutation of any size that is entered anywhere and never held in memory.

A Feistel network permutes the numbers of an even count of bits; one that lands beyond the size goes through it again
until it does not (cycle walking), which takes fewer than four turns on average.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8


def permuted(places: NDArray[np.int64], size: int, seed: Sequence[int]) -> NDArray[np.int64]:
    """Where the permutation of 0 to `size` - 1 that belongs to a seed puts each place."""
    keys = np.random.default_rng([*seed]).integers(2**64, size=ROUNDS, dtype=np.uint64)
    half = max(1, (size - 1).bit_length() + 1 >> 1)
    found = _network(places.astype(np.uint64), half, keys)
    while (beyond := found >= size).any():
        found[beyond] = _network(found[beyond], half, keys)
    return found.astype(np.int64)


def _network(numbers: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One turn through the network, on two halves of so many bits."""
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = numbers >> bits, numbers & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return left << bits | right


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A hash of 64 bits: the last steps of SplitMix64."""
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return words ^ words >> np.uint64(31)
