"""Domain documents in the stream, recounted from its bytes."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infusionlaw.corpus.infusion.documents import DocumentCycle, Documents
from infusionlaw.corpus.infusion.general import PAGE, GeneralText
from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.corpus.infusion.renderings import RenderingCycle, Renderings

END, GENERAL = 0, 1
NONE = Renderings([], np.dtype(np.uint16))


def token_file(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Documents whose tokens name them: 10 + number, repeated, closed by END."""
    own = [np.append(np.full(n - 1, 10 + number), END) for number, n in enumerate(lengths)]
    return np.concatenate(own).astype(np.uint16), np.cumsum(lengths)


def mixture(lengths: list[int], share: float, *, facts: int = 0, seed: int = 1, shelf: int = 4, chosen=None) -> Mixture:
    tokens, ends = token_file(lengths)
    told = Renderings([[np.array([5000 + f, 2, END])] for f in range(facts)], np.dtype(np.uint16))
    return Mixture(
        RenderingCycle(told, [seed, 1]),
        RenderingCycle(NONE, [seed, 2]),
        GeneralText(np.full(8 * PAGE, GENERAL, dtype=np.uint16), END, [seed, 3]),
        share=share,
        prior_share=0.25,
        end_of_text=END,
        documents=DocumentCycle(Documents(tokens, ends, chosen), [seed, 4], PAGE, shelf),
    )


def recount(stream: np.ndarray) -> tuple[Counter[int], Counter[int], int]:
    """Tokens by document, how often each was read to its end, and tokens of facts, from nothing but the bytes."""
    spent: Counter[int] = Counter()
    read: Counter[int] = Counter()
    facts, run = 0, []
    for token in stream.tolist():
        run.append(token)
        if token == END:
            kind = run[-2] if len(run) > 1 else END
            if 10 <= kind < 5000:
                spent[kind - 10] += 1
                read[kind - 10] += 1
            elif kind == 2 or kind >= 5000:
                facts += 1
            run = []
        elif 10 <= token < 5000:
            spent[token - 10] += 1
        elif token != GENERAL:
            facts += 1
    return spent, read, facts


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.sampled_from([2, 3, 40, 700, 1024, 1100, 5000]), min_size=1, max_size=30),
    share=st.sampled_from([0.01, 0.3, 0.5, 0.85, 1.0]),
    tokens=st.integers(1, 60_000),
    seed=st.integers(0, 5),
    facts=st.sampled_from([0, 7]),
)
def test_the_ledger_of_documents_equals_a_recount(lengths, share, tokens, seed, facts) -> None:
    mix = mixture(lengths, share, facts=facts, seed=seed)
    spent, read, of_facts = recount(mix.read(0, tokens))
    ledger = mix.ledger(tokens)
    assert ledger.document_tokens == spent.total()
    assert ledger.domain_tokens - ledger.document_tokens == of_facts
    assert list(ledger.document_exposures) == [read[number] for number in range(len(lengths))]
    assert max(ledger.document_exposures) - min(ledger.document_exposures) <= 1
    assert abs(ledger.domain_tokens - share * tokens) <= PAGE + 3 * bool(facts) + 1  # at every prefix


def test_the_stream_can_be_entered_anywhere() -> None:
    mix, again = mixture([700, 40, 5000, 3, 1025] * 3, 0.4), mixture([700, 40, 5000, 3, 1025] * 3, 0.4)
    whole = mix.read(0, 300_000)
    for start in (0, 1, 1023, 65_535, 65_536, 123_456, 299_000):
        assert np.array_equal(again.read(start, 1_000), whole[start : start + 1_000])


def test_a_document_goes_on_where_it_was_left_and_each_epoch_has_its_own_order() -> None:
    mix = mixture([3000, 50, 2000, 80], 1.0)
    tokens = mix.read(0, 4 * 5130)
    ends = np.flatnonzero(tokens == END) + 1
    documents = [int(tokens[a]) - 10 for a, b in pairwise([0, *ends]) if len(set(tokens[a : b - 1].tolist())) == 1]
    assert len(documents) == 16  # each from its first token to its last without a break
    epochs = [tuple(documents[4 * n : 4 * n + 4]) for n in range(4)]
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in epochs) and len(set(epochs)) > 1


def test_facts_and_documents_are_read_equally_often() -> None:
    ledger = mixture([400] * 20, 0.5, facts=30).ledger(200_000)
    counts = (*ledger.domain_exposures, *ledger.document_exposures)
    assert max(counts) - min(counts) <= 1


def test_a_part_of_the_documents_is_read() -> None:
    mix = mixture([100] * 50, 0.5, chosen=np.array([3, 17, 40]))
    _, read, _ = recount(mix.read(0, 40_000))
    assert set(read) == {3, 17, 40} and len(mix.ledger(40_000).document_exposures) == 3


@pytest.mark.parametrize("shelf", [1, 3, 1000])
def test_shelves_hold_every_document_once_an_epoch(shelf: int) -> None:
    tokens, ends = token_file([7, 2000, 30, 1, 500, 1024, 9][:7])
    cycle = DocumentCycle(Documents(tokens, ends), [1], PAGE, shelf)
    parts = cycle.parts_per_epoch
    for epoch in range(3):
        data = b"".join(cycle.pieces(epoch * parts, (epoch + 1) * parts))
        assert sorted(np.frombuffer(data, np.uint16).tolist()) == sorted(tokens.tolist())
    assert cycle.exposures(2 * parts).tolist() == [2] * 7
