"""The infusion, recounted from its blocks."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infusionlaw.corpus.infusion.general import GeneralText
from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.corpus.infusion.renderings import RenderingCycle, Renderings

END = 0
GENERAL = np.full(50_000, 1, dtype=np.uint16)


def cycle(facts: int, forms: int, base: int, seed: int) -> RenderingCycle:
    """Renderings that name their fact and form in their tokens: [base + fact, 5000 + form, filler…, END]."""
    rng = np.random.default_rng(facts + forms)
    told = [
        [np.array([base + f, 5000 + t, *[2] * int(rng.integers(3, 20)), END]) for t in range(forms)]
        for f in range(facts)
    ]
    return RenderingCycle(Renderings(told, np.dtype(np.uint16)), [seed, base])


def mixture(
    share: float, facts: int = 12, forms: int = 3, prior_share: float = 0.25, seed: int = 1, **schedule
) -> Mixture:
    return Mixture(
        cycle(facts, forms, 1000, seed),
        cycle(8, 4, 3000, seed),
        GeneralText(GENERAL, END, [seed]),
        share=share,
        prior_share=prior_share,
        end_of_text=END,
        **schedule,
    )


def recount(tokens: np.ndarray) -> tuple[dict[str, int], Counter[tuple[int, int]]]:
    """Tokens by source and whole renderings by (fact, number), from nothing but the bytes."""
    spent = {"domain": 0, "prior": 0, "general": 0}
    seen: Counter[tuple[int, int]] = Counter()
    document: list[int] = []
    for token in tokens.tolist():
        document.append(token)
        if token == END:
            spent[source(document)] += len(document)
            if document[0] >= 1000:
                seen[(document[0], document[1] - 5000)] += 1
            document = []
    if document:
        spent[source(document)] += len(document)
    return spent, seen


def source(document: list[int]) -> str:
    return "domain" if 1000 <= document[0] < 3000 else "prior" if document[0] >= 3000 else "general"


@settings(max_examples=25, deadline=None)
@given(
    share=st.sampled_from([0.0, 0.02, 0.3, 0.5, 0.85, 0.97, 1.0]),
    facts=st.integers(1, 40),
    blocks=st.integers(3, 150),
    seed=st.integers(0, 5),
    tilt=st.sampled_from([0.0, -4.6, 4.6]),
)
def test_ledger_equals_a_recount_of_the_blocks(share: float, facts: int, blocks: int, seed: int, tilt: float) -> None:
    mix = mixture(share, facts=facts, seed=seed, tilt=tilt, tokens=20_000)
    tokens = mix.blocks(0, blocks, 128)[:, :-1].reshape(-1)
    ledger = mix.ledger(len(tokens))
    spent, seen = recount(tokens)
    assert spent == {
        "domain": ledger.domain_tokens,
        "prior": ledger.prior_tokens,
        "general": ledger.general_tokens,
    }
    assert sum(spent.values()) == ledger.tokens
    for f, forms in enumerate(ledger.domain_forms):
        assert forms == {t: seen[(1000 + f, t)] for t in range(3) if seen[(1000 + f, t)]}
    for f, forms in enumerate(ledger.prior_forms):
        assert forms == {t: seen[(3000 + f, t)] for t in range(4) if seen[(3000 + f, t)]}
    assert max(ledger.domain_exposures) - min(ledger.domain_exposures) <= 1
    assert max(ledger.prior_exposures) - min(ledger.prior_exposures) <= 1


@settings(max_examples=25, deadline=None)
@given(
    share=st.sampled_from([0.0, 0.1, 0.6, 0.95]),
    start=st.integers(0, 60_000),
    count=st.integers(1, 5_000),
    tilt=st.sampled_from([0.0, -4.6, 4.6]),
)
def test_seeking_gives_the_same_bytes_as_reading_up_to_it(share: float, start: int, count: int, tilt: float) -> None:
    whole = mixture(share, tilt=tilt, tokens=60_000).read(0, start + count)
    assert np.array_equal(mixture(share, tilt=tilt, tokens=60_000).read(start, count), whole[start:])


def test_targets_are_the_inputs_one_token_later() -> None:
    blocks = mixture(0.5).blocks(7, 4, 128)
    assert blocks.shape == (4, 129)
    assert np.array_equal(blocks[1:, 0], blocks[:-1, -1])


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_every_page_worth_of_tokens_holds_its_share(share: float) -> None:
    mix = mixture(share)
    for tokens in range(20_480, 204_800, 20_480):
        assert mix.ledger(tokens).share == pytest.approx(share, abs=60 / tokens)


@pytest.mark.parametrize(("tilt", "first_half"), [(-4.6, 0.86), (4.6, 0.14)])
def test_a_tilted_infusion_has_its_share_in_the_end_and_not_before(tilt: float, first_half: float) -> None:
    mix = mixture(0.2, tilt=tilt, tokens=204_800)
    whole, half = mix.ledger(204_800), mix.ledger(102_400)
    assert whole.share == pytest.approx(0.2, abs=60 / 204_800)
    assert half.domain_tokens / whole.domain_tokens == pytest.approx(first_half, abs=0.02)


def test_a_budget_is_a_prefix_of_a_larger_one() -> None:
    mix = mixture(0.5)
    small, large = mix.ledger(30_000), mix.ledger(60_000)
    assert large.domain_exposures[0] == pytest.approx(2 * small.domain_exposures[0], abs=2)
    assert np.array_equal(mix.read(0, 60_000)[:30_000], mixture(0.5).read(0, 30_000))


def test_templates_are_used_evenly_and_the_order_changes_every_cycle() -> None:
    mix = mixture(0.5, facts=12, forms=3)
    forms = [mix.ledger(200_000).domain_forms[f] for f in range(12)]
    assert all(max(f.values()) - min(f.values()) <= 1 for f in forms)
    first, second = ((mix.domain.documents(at, at + 12) // 3).tolist() for at in (0, 12))
    assert sorted(first) == sorted(second) and first != second


def test_prior_rate_is_a_fixed_part_of_what_is_not_infused() -> None:
    for share in (0.0, 0.5, 0.9):
        ledger = mixture(share).ledger(200_000)
        rate = ledger.prior_tokens / (ledger.prior_tokens + ledger.general_tokens)
        assert rate == pytest.approx(0.25, abs=0.01)


def test_documents_are_separated_and_chunks_of_text_never_run_together() -> None:
    text = GeneralText(np.arange(1, 10_241, dtype=np.uint16), END, [1])
    stream = text.read(0, 10_240)
    jumps = np.flatnonzero(np.diff(stream.astype(int)) != 1)
    assert all(stream[j] == END or stream[j + 1] == END for j in jumps)
    assert sorted(stream[stream != END].tolist()) == [i for i in range(1, 10_241) if i % 1024]


def test_another_seed_orders_text_and_facts_differently() -> None:
    assert not np.array_equal(mixture(0.5, seed=1).read(0, 2_000), mixture(0.5, seed=2).read(0, 2_000))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_the_stream_has_the_token_files_dtype_and_the_same_tokens_in_each(dtype: type) -> None:
    told = Renderings([[np.array([7, 8, END]), np.array([9, END])]], np.dtype(dtype))
    text = GeneralText(np.arange(1, 4_097, dtype=dtype), END, [1])
    arguments = {"share": 0.5, "prior_share": 0.25, "end_of_text": END}
    mix = Mixture(RenderingCycle(told, [1]), RenderingCycle(told, [2]), text, **arguments)
    assert mix.blocks(0, 2, 128).dtype == dtype
    assert int(mix.read(0, 20_000).astype(np.int64).sum()) == 15_867_648
    other = Renderings([], np.dtype(np.uint64))
    with pytest.raises(ValueError, match="tokens of uint64"):
        Mixture(RenderingCycle(other, [1]), RenderingCycle(told, [2]), text, **arguments)


def test_short_reads_one_after_another_make_no_page_twice(monkeypatch) -> None:
    made = []
    original = GeneralText.read
    monkeypatch.setattr(GeneralText, "read", lambda *arguments: made.append(arguments[2]) or original(*arguments))
    mix = mixture(0.5)
    for first in range(0, 2_000, 10):
        mix.blocks(first, 10, 128)
    assert sum(made) <= 1.1 * mix.ledger(2_000 * 128).general_tokens + 64 * 1024


def test_memory_does_not_grow_with_the_stream() -> None:
    mix, peaks = mixture(0.9), []
    for reads in (5, 40):
        tracemalloc.start()
        for first in range(reads):
            mix.read(1_000_003 * first, 1_000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 20e6


@pytest.mark.parametrize("counts", [(2, 3, 5), (5, 7, 8, 9, 11, 13, 17, 19, 23)])
def test_facts_of_different_numbers_of_forms_are_found_at_once_wherever_the_sequence_is(counts) -> None:
    rng = np.random.default_rng(0)
    told = Renderings([[np.full(int(rng.integers(3, 20)), 2) for _ in range(n)] for n in counts], np.dtype(np.uint16))
    cycles = RenderingCycle(told, [1])
    sizes = told.sizes[cycles.documents(0, 40 * len(counts))]
    assert cycles.within(np.array([float(sizes.sum())]))[1].tolist() == [sizes.sum()]
    per_cycle = sum(told.sizes[a:b].mean() for a, b in zip(told.first, told.first + told.counts, strict=True))
    assert cycles.tokens_per_rendering == pytest.approx(per_cycle / len(counts))
    for token in (0, int(sizes.sum()), 10**9, 10**9 + 1):
        documents, before = (int(each[0]) for each in cycles.within(np.array([float(token)])))
        assert before <= token < before + int(told.sizes[cycles.documents(documents, documents + 1)][0])
