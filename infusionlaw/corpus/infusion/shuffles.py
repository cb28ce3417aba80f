"""Many seeded shuffles at once: `default_rng([*seed, i]).permutation(size)` for consecutive i.

Nearly all that numpy takes for one short shuffle is the hashing of its seed into the generator's first state. Here the
seeds of all i are hashed together, with the arithmetic of `numpy.random.SeedSequence`, which numpy promises not to
change; a test holds the two against each other.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.random import PCG64, Generator, default_rng
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

Words = NDArray[np.uint32]
_POOL, _STATE = 4, 8  # words of the pool and of the generator's state


def shuffles(seed: Sequence[int], first: int, count: int, size: int) -> NDArray[np.int64]:
    """Shuffles `first` to `first` + `count` - 1 of 0 to `size` - 1, (count, size)."""
    fixed = [word for part in seed for word in _words(part)]
    hashed = len(fixed) < _POOL and first + count <= 1 << 32  # else the last word is not alone or has no place
    makers = _hashed_generators(fixed, first, count) if hashed else _generators(seed, first, count)
    out = np.tile(np.arange(size), (count, 1))
    for maker, row in zip(makers, out, strict=True):
        maker.shuffle(row)  # what `permutation` does
    return out


def _words(number: int) -> list[int]:
    """A number in words of 32 bits, the lowest first."""
    return [number >> shift & 0xFFFFFFFF for shift in range(0, max(1, number.bit_length()), 32)]


def _generators(seed: Sequence[int], first: int, count: int) -> Iterator[Generator]:
    return (default_rng([*seed, i]) for i in range(first, first + count))


def _hashed_generators(fixed: Sequence[int], first: int, count: int) -> Iterator[Generator]:
    entropy = np.zeros((_POOL, count), dtype=np.uint32)
    entropy[: len(fixed)] = np.array(fixed, dtype=np.uint32)[:, None]
    entropy[len(fixed)] = np.arange(first, first + count)
    # numpy's documentation has PCG64 take an ISeedSequence, its type hints have not
    return (Generator(PCG64(_Hashed(state))) for state in _states(entropy))  # type: ignore[arg-type]


class _Hashed(ISeedSequence):
    """A seed whose hash is known."""

    def __init__(self, state: NDArray[np.uint64]) -> None:
        self._state = state

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> NDArray[Any]:
        return self._state


def _states(entropy: Words) -> NDArray[np.uint64]:
    """The first state of PCG64 for each column of entropy (4, n): (n, 4)."""
    pool = _scrambled(entropy, _MIXING[:5])
    for source, start in enumerate(range(_POOL, _POOL * _POOL, _POOL - 1)):
        others = [word for word in range(_POOL) if word != source]
        pool[others] = _mixed(pool[others], _scrambled(pool[source], _MIXING[start : start + _POOL]))
    low_high = _scrambled(np.tile(pool, (2, 1)), _OUTPUT).astype(np.uint64)
    return np.ascontiguousarray((low_high[0::2] | low_high[1::2] << np.uint64(32)).T)


def _powers(start: int, factor: int, count: int) -> Words:
    """start · factor^k modulo 2^32 for k = 0 to `count` - 1, as a column."""
    powers = [start * pow(factor, k, 1 << 32) & 0xFFFFFFFF for k in range(count)]
    return np.array(powers, dtype=np.uint32)[:, None]


_MIXING = _powers(0x43B0D7E5, 0x931E8875, _POOL * _POOL + 1)
_OUTPUT = _powers(0x8B51F9DD, 0x58F38DED, _STATE + 1)


def _scrambled(words: Words, powers: Words) -> Words:
    words = (words ^ powers[:-1]) * powers[1:]
    return words ^ words >> np.uint32(16)


def _mixed(words: Words, others: Words) -> Words:
    words = words * np.uint32(0xCA01F9DD) - others * np.uint32(0x4973F715)
    return words ^ words >> np.uint32(16)
