"""How an infusion is spread over a run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infusionlaw.corpus.infusion.pacing import TILTS, Pacing

TOKENS = 1_000_000
SHARES = st.floats(0.001, 0.999)


@given(share=SHARES, schedule=st.sampled_from(sorted(TILTS)))
def test_the_whole_run_has_its_share_and_every_position_its_tokens(share: float, schedule: str) -> None:
    pacing, at = Pacing(share, 0.25, TILTS[schedule], TOKENS), np.arange(0, TOKENS + 1, 1000)
    domain, prior, general = pacing.by(at)
    assert domain[0] == 0
    assert domain[-1] == pytest.approx(share * TOKENS, rel=1e-9)
    assert domain + prior + general == pytest.approx(at)
    assert all(np.all(np.diff(each) >= 0) for each in (domain, prior, general))
    assert prior[1:] == pytest.approx(0.25 * (at - domain)[1:])


@given(share=SHARES)
def test_the_odds_of_an_early_infusion_fall_a_hundredfold_and_of_a_late_one_rise(share: float) -> None:
    at = np.array([0, 1, TOKENS - 1, TOKENS])
    for schedule, factor in (("early", 1 / 100), ("late", 100)):
        infused, prior, general = (np.diff(each) for each in Pacing(share, 0.25, TILTS[schedule], TOKENS).by(at))
        odds = (infused / (prior + general))[[0, 2]]
        assert odds[1] / odds[0] == pytest.approx(factor, rel=1e-3)


def test_nothing_infused_is_no_schedule() -> None:
    at = np.arange(0, TOKENS, 1000)
    assert np.array_equal(Pacing(0.0, 0.25, TILTS["late"], TOKENS).by(at), Pacing(0.0, 0.25).by(at))
