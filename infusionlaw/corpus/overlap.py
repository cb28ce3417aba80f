"""How much of one text stands word for word in another: validation text, and questions, in what is trained on.

What a model has been trained on it may know by heart, and its loss on that tells less of how well it does on new text.
Equal documents never lie on both sides of the split; parts of documents may. Counted are the tokens of the validation
text within a run of RUN tokens that the training text has too, as Touvron et al. 2023 (2307.09288, A.6) count
contamination, with longer runs, which are no phrases of common speech. The training text is read once, a CHUNK at a
time.

A question, with its right answer, stands in a text where at least PART of its tokens lie in such runs, as Chowdhery et
al. 2022 (2204.02311, section 8) have it. Their runs are 8 tokens of a vocabulary of 256,000, and those of Brown et al.
2020 (2005.14165) are 13 words. Tokens of a small vocabulary are two to four letters, so runs are of 16 tokens here: 40
to 65 letters. Of a question that is shorter than that they are of 8, and one below 8 tokens is not looked for.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RUN = 32  # a power of two: the hash of a run is made from those of its halves
QUESTION_RUNS, PART = (16, 8), 0.7  # runs of a question, the longest that it has room for
CHUNK = 1 << 20  # tokens hashed at a time
_SLOTS = 1 << 22  # of the table that most runs are refused by
_TOKEN, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def repeated_tokens(validation: NDArray[np.integer], training: NDArray[np.integer]) -> int:
    """How many tokens of `validation` (n,) lie within a run of RUN tokens that is in `training` (m,) too."""
    return int(_covered([validation], training, RUN)[0].sum())


def texts_within(texts: Sequence[Sequence[int]], training: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each of some short texts, as tokens, stands in `training` (m,), whole or but for a part of it."""
    found = np.zeros(len(texts), dtype=bool)
    longer = np.inf
    for run in QUESTION_RUNS:
        mine = [i for i, text in enumerate(texts) if run <= len(text) < longer]
        covered = _covered([np.asarray(texts[i]) for i in mine], training, run)
        found[mine] = [each.mean() >= PART for each in covered]
        longer = run
    return found


def _covered(texts: Sequence[NDArray[np.integer]], training: NDArray[np.integer], run: int) -> list[NDArray[np.bool_]]:
    """Return, for each text, which of its tokens lie within a run of so many tokens that is in `training` too."""
    looked_for = [_hashes(text, run) for text in texts]
    known = np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *looked_for]))
    found = np.zeros(len(known), dtype=bool)
    if len(known):
        slots = np.zeros(_SLOTS, dtype=bool)
        slots[_slot(known)] = True
        for start in range(0, len(training) - run + 1, CHUNK):
            hashes = _hashes(training[start : start + CHUNK + run - 1], run)
            likely = hashes[slots[_slot(hashes)]]
            place = np.minimum(np.searchsorted(known, likely), len(known) - 1)
            found[place[known[place] == likely]] = True
    covered = []
    for text, hashes in zip(texts, looked_for, strict=True):
        inside = np.zeros(len(text), dtype=bool)
        if len(hashes):  # a token lies in the runs that begin up to `run` earlier
            inside = np.convolve(found[np.searchsorted(known, hashes)], np.ones(run, dtype=np.int64)) > 0
        covered.append(inside)
    return covered


def _hashes(tokens: NDArray[np.integer], run: int) -> NDArray[np.uint64]:
    """A hash of the `run` tokens from each place that has so many after it."""
    if len(tokens) < run:
        return np.empty(0, dtype=np.uint64)
    value = (tokens.astype(np.uint64) + np.uint64(1)) * _TOKEN
    value ^= value >> np.uint64(29)
    length = 1
    while length < run:
        value = value[:-length] * _HALF + value[length:]
        value ^= value >> np.uint64(31)
        length *= 2
    return value


def _slot(hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
    return (hashes & np.uint64(_SLOTS - 1)).astype(np.intp)
