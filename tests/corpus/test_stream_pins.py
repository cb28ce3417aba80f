"""The stream is pinned: the same share, prior share and seed give the same tokens in every version."""

from hashlib import sha256

import numpy as np
import pytest

from infusionlaw.corpus.infusion.general import GeneralText
from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.corpus.infusion.renderings import RenderingCycle, Renderings

END = 0
PLACES = ((0, 3_000), (1_000, 1), (1_023, 2), (1_024, 1_025), (51_234, 10_000), (2_000_001, 777), (10**12 + 5, 3_000))


def cycle(facts: int, forms: int, longest: int, seed: list[int]) -> RenderingCycle:
    """Facts of 1 to `forms` renderings, 1 to `longest` tokens each and the end-of-text token."""
    rng = np.random.default_rng([facts, forms, longest])
    sizes = [rng.integers(1, longest + 1, size=1 + f % forms).tolist() for f in range(facts)]
    forms = [[np.append(rng.integers(1, 60_000, size=n), END) for n in own] for own in sizes]
    return RenderingCycle(Renderings(forms, np.dtype(np.uint16)), seed)


def mixture(share: float, prior_share: float, facts: int, forms: int, longest: int, seed: int) -> Mixture:
    text = np.random.default_rng(7).integers(1, 60_000, size=40_000).astype(np.uint16)
    return Mixture(
        cycle(facts, forms, longest, [seed, 1]),
        cycle(9, 2, 20, [seed, 2]),
        GeneralText(text, END, [seed, 3]),
        share=share,
        prior_share=prior_share,
        end_of_text=END,
    )


def read_hash(mix: Mixture) -> str:
    digest = sha256()
    for start, count in PLACES:
        digest.update(mix.read(start, count).astype("<i8").tobytes())
    digest.update(mix.blocks(3, 40, 128).astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def ledger_hash(mix: Mixture) -> str:
    ledgers = [mix.ledger(tokens) for tokens in (1, 1_000, 1_024, 77_777, 10**7)]
    pinned = [repr(ledger).partition(", document_tokens=")[0] + ")" for ledger in ledgers]
    return sha256(f"[{', '.join(pinned)}]".encode()).hexdigest()[:16]


# (share, prior share, domain facts, most forms, longest rendering, seed): hash of the tokens, hash of the ledgers
PINNED = [
    ((0.0, 0.25, 12, 3, 20, 1), "cad61dbfe2737f7b", "1b0c341591fbe1f8"),
    ((0.02, 0.25, 12, 3, 20, 1), "1988f8398b29f963", "7faa7e22ffb14794"),
    ((0.1, 0.25, 64, 4, 15, 2), "eedd2447cd89f164", "0d58ded9436065e1"),
    ((0.1, 0.9, 64, 4, 15, 2), "6b0d3343077a3599", "0cbb759ce0c326b3"),
    ((1 / 3, 0.5, 1, 1, 5, 0), "ece0064e5870b2ec", "1643001e6a7dcec3"),
    ((0.5, 0.25, 64, 4, 15, 2**40), "596c9c67e521c092", "d36d8836c9e8d94c"),
    ((0.5, 0.25, 5_000, 2, 15, 3), "21c83afbcc85e982", "59b45ab2fa1c5149"),
    ((0.85, 0.25, 3, 3, 4_000, 4), "9ef2d8168f1ff077", "cae5088fa343d046"),
    ((0.9, 0.25, 64, 4, 15, 5), "2bc836502f5557cc", "5ad3888bc9d08c46"),
    ((0.97, 0.25, 40, 5, 1, 6), "cf454620a42800e8", "7d7ac90fd269ecd3"),
    ((1.0, 0.25, 12, 3, 20, 7), "2286351654917443", "0b4e66dffde8754f"),
]


@pytest.mark.parametrize(("case", "tokens", "ledgers"), PINNED)
def test_the_stream_is_what_it_has_always_been(case: tuple, tokens: str, ledgers: str) -> None:
    mix = mixture(*case)
    assert read_hash(mix) == tokens
    assert ledger_hash(mix) == ledgers
