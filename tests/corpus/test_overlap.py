"""How much of the validation text is in the training text: exactly the tokens of shared runs, however it is read."""

import numpy as np
import pytest
from numpy.typing import NDArray

from infusionlaw.corpus import overlap
from infusionlaw.corpus.overlap import RUN, repeated_tokens, texts_within

Tokens = NDArray[np.integer]


def text(seed: int, count: int, vocabulary: int = 1000) -> Tokens:
    return np.random.default_rng(seed).integers(vocabulary, size=count).astype(np.uint16)


def plainly(validation: Tokens, training: Tokens) -> int:
    """The same, one run at a time."""
    known = {training[i : i + RUN].tobytes() for i in range(len(training) - RUN + 1)}
    covered: set[int] = set()
    for i in range(len(validation) - RUN + 1):
        if validation[i : i + RUN].tobytes() in known:
            covered |= set(range(i, i + RUN))
    return len(covered)


def test_tokens_of_shared_runs_are_counted_once() -> None:
    training, validation = text(0, 5000), text(1, 2000)
    assert repeated_tokens(validation, training) == 0
    validation[100:140] = training[700:740]
    validation[130:170] = training[730:770]  # goes on from there: one run of 70
    validation[1000 : 1000 + RUN] = training[-RUN:]
    validation[1500 : 1500 + RUN - 1] = training[: RUN - 1]  # one token short
    validation[-RUN:] = training[:RUN]
    assert repeated_tokens(validation, training) == 70 + 2 * RUN == plainly(validation, training)


def test_it_does_not_matter_how_the_training_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    training, validation = text(2, 1000), text(3, 500)
    monkeypatch.setattr(overlap, "CHUNK", 100)
    for at in range(1000 - RUN + 1):  # many lie across a cut
        validation[:RUN] = training[at : at + RUN]
        assert repeated_tokens(validation, training) >= RUN


@pytest.mark.parametrize("seed", range(5))
def test_text_of_few_tokens_and_many_repeats_is_counted_as_it_is_run_by_run(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phrases = [text(100 + i, int(rng.integers(10, 60)), 5) for i in range(6)]
    training, validation = (np.concatenate([phrases[i] for i in rng.integers(6, size=40)]) for _ in range(2))
    assert repeated_tokens(validation, training) == plainly(validation, training) > 0


def test_order_and_length_matter() -> None:
    training = text(4, 1000)
    assert repeated_tokens(training[:RUN][::-1], training) == 0
    assert repeated_tokens(training[: RUN - 1], training) == 0
    assert repeated_tokens(training, training[: RUN - 1]) == 0
    assert repeated_tokens(np.zeros(100, dtype=np.uint32), np.zeros(50, dtype=np.uint32)) == 100


def test_a_short_text_stands_in_another_whole_or_but_for_a_part() -> None:
    training = text(5, 3000)
    whole, most, half, new = training[100:120], text(6, 40), text(7, 40), text(8, 40)
    most[4:] = training[500:536]  # 36 of 40 tokens
    half[20:] = training[700:720]
    short = training[900:909]
    texts = [each.tolist() for each in (whole, most, half, new, short, training[:7])]
    assert texts_within(texts, training).tolist() == [True, True, False, False, True, False]
    assert not texts_within(texts, training[:50]).any()
