"""Where doses and prior facts lie against what our own runs needed."""

from dataclasses import asdict

import pytest

from infusionlaw.corpus.head import Head
from infusionlaw.files import write_json
from infusionlaw.report.needed import needed, needed_text
from infusionlaw.runs.record import Estimate
from infusionlaw.settings import read_study_file, write_template

TOKENS, FACTS, LENGTH = 1_500_000, 64, 20


def told(tmp_path, size, *exposures):
    """The row of one size whose runs have these doses, and the prior share of the template (.25)."""
    counts = {"domain_facts": FACTS, "prior_facts": FACTS}
    write_json(tmp_path / "corpus" / "corpus.json", asdict(Head("", {}, {}, "abc", "", counts)))
    runs = [
        Estimate("r", size, size, TOKENS, k * FACTS * LENGTH / TOKENS, k, 1, False, 10, 1, 1.0, 1, 1.0)
        for k in (0.0, *exposures)
    ]
    return needed_text(read_study_file(write_template(tmp_path / "s.toml")), tmp_path, runs).splitlines()[-1].split()


@pytest.mark.parametrize(
    ("exposures", "verdict"), [((1, 5), "below"), ((20, 100), "within"), ((20, 900), "around"), ((400, 900), "above")]
)
def test_doses_lie_below_within_around_or_above_what_is_needed(tmp_path, exposures, verdict) -> None:
    # 50 to 200 statements at 200k parameters; prior facts get .25 · 1.5M / (64 · 20) = 293
    low, high = map(str, exposures)
    assert told(tmp_path, 200_000, *exposures) == ["200k", "50", "to", "200", low, "to", high, verdict, "293", "above"]


def test_a_smaller_model_needs_more_and_a_size_that_was_not_measured_has_no_verdict(tmp_path) -> None:
    assert needed(20_000)[0] > needed(2e6)[1]
    assert told(tmp_path, 12_000, 100)[-1] == "within"  # of the same prior facts
    (tmp_path / "s.toml").unlink()
    assert told(tmp_path, 10_000_000, 100) == ["10M", "not", "measured", "100", "293"]
