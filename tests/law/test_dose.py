import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.law.dose import Interval, Scale, exposures_per_share, log_odds, share_of, unit_of, x_of
from infusionlaw.runs.record import RunRecord


def test_share_and_log_odds_are_inverse() -> None:
    share = np.array([1e-6, 0.1, 0.5, 0.97])
    assert share_of(log_odds(share)) == pytest.approx(share)
    assert log_odds(0.0) == -np.inf
    assert share_of(50.0) == 1 and share_of(-400.0) == 0


def test_exposures_follow_from_the_share() -> None:
    per_share = exposures_per_share(1.5e6, 128, 16)
    scale = Scale("share", per_share)
    x = Interval(float(log_odds(0.5)), float(log_odds(0.2)), None)
    assert scale.share(x).value == pytest.approx(0.5)
    assert scale.exposures(x).low == pytest.approx(0.2 * 1.5e6 / (128 * 16))
    assert scale.exposures(x).high is None


def test_exposures_give_the_share_back() -> None:
    scale = Scale("exposures", 1000.0)
    assert scale.share(Interval(2.0)).value == pytest.approx(0.1)
    assert Scale("exposures").share(Interval(2.0)).value is None


def test_unit_is_the_share_only_when_every_row_has_it() -> None:
    both = RunRecord(size=1, tokens=1, share=0.1, exposures=3)
    assert unit_of([both, both]) == "share"
    assert unit_of([both, RunRecord(size=1, tokens=1, exposures=3)]) == "exposures"
    with pytest.raises(InputError, match=r"of size 1, 1 tokens and seed None has a share of 0.1 but no exposures"):
        unit_of([RunRecord(size=1, tokens=1, exposures=3), RunRecord(size=1, tokens=1, share=0.1)])


def test_dose_zero_is_off_the_axis_and_a_share_of_one_is_refused() -> None:
    assert x_of(RunRecord(size=1, tokens=1, share=0.0), "share") == -np.inf
    assert x_of(RunRecord(size=1, tokens=1, exposures=0.0), "exposures") == -np.inf
    with pytest.raises(InputError, match="share of 1"):
        x_of(RunRecord(size=1, tokens=1, share=1.0), "share")
