"""How much of the validation text stands word for word in the training text.

What a model has been trained on it may know by heart, and its loss on that tells less of how well it does on new text.
Equal documents never lie on both sides of the split; parts of documents may. Counted are the tokens of the validation
text within a run of RUN tokens that the training text has too, as Touvron et al. 2023 (2307.09288, A.6) count
contamination, with longer runs, which are no phrases of common speech. The training text is read once, a CHUNK at a
time.
"""

import numpy as np
from numpy.typing import NDArray

RUN = 32  # a power of two: the hash of a run is made from those of its halves
CHUNK = 1 << 20  # tokens hashed at a time
_SLOTS = 1 << 22  # of the table that most runs are refused by
_TOKEN, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def repeated_tokens(validation: NDArray[np.integer], training: NDArray[np.integer]) -> int:
    """How many tokens of `validation` (n,) lie within a run of RUN tokens that is in `training` (m,) too."""
    looked_for = _hashes(validation)
    known = np.unique(looked_for)
    if not len(known):
        return 0
    slots = np.zeros(_SLOTS, dtype=bool)
    slots[_slot(known)] = True
    found = np.zeros(len(known), dtype=bool)
    for start in range(0, len(training) - RUN + 1, CHUNK):
        hashes = _hashes(training[start : start + CHUNK + RUN - 1])
        likely = hashes[slots[_slot(hashes)]]
        place = np.minimum(np.searchsorted(known, likely), len(known) - 1)
        found[place[known[place] == likely]] = True
    begins = found[np.searchsorted(known, looked_for)]
    covered = np.convolve(begins, np.ones(RUN, dtype=np.int64))  # a token lies in the runs that begin up to RUN earlier
    return int((covered > 0).sum())


def _hashes(tokens: NDArray[np.integer]) -> NDArray[np.uint64]:
    """A hash of the RUN tokens from each place that has so many after it."""
    if len(tokens) < RUN:
        return np.empty(0, dtype=np.uint64)
    value = (tokens.astype(np.uint64) + np.uint64(1)) * _TOKEN
    value ^= value >> np.uint64(29)
    length = 1
    while length < RUN:
        value = value[:-length] * _HALF + value[length:]
        value ^= value >> np.uint64(31)
        length *= 2
    return value


def _slot(hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
    return (hashes & np.uint64(_SLOTS - 1)).astype(np.intp)
