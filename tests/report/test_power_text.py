"""The power of a study file in words."""

from pathlib import Path

import pytest

from infusionlaw.law.design.power import Power, Reach, TruePlace
from infusionlaw.report.power import power_text, study_power
from infusionlaw.runs.record import Estimate
from infusionlaw.settings import StudyFile


def study(**doses: tuple[float, ...]) -> StudyFile:
    content = {
        "name": "small",
        "facts": {"domain": 32, "relations": ["a", "b"]},
        "design": {"sizes": [14_000], "tokens": [1_500_000], "seeds": [1], **doses},
        "held_out": {"sizes": [28_000]},
    }
    return StudyFile.model_validate(content)


def test_power_reads_as_a_table_a_few_sentences_and_warnings() -> None:
    places = (TruePlace(0.85, 1.0, 0.21, 0.08), TruePlace(0.93, 0.5, None, 0.3), TruePlace(0.97, 0.0, None, None))
    text = power_text(Power("share", 6, places, 1 / 6, 1.3, (Reach(1.1e5, 1.5e6, 0.94),), ("one seed only",)))
    lines = [line.split() for line in text.splitlines()]
    assert ["0.85", "6", "of", "6", "0.21", "dex", "0.08", "dex"] in lines
    assert ["0.93", "3", "of", "6", "open", "0.30", "dex"] in lines
    assert ["0.97", "0", "of", "6", "-", "-"] in lines
    assert "a collapse is claimed in 1 of 6" in text
    assert "110k parameters and 1.5M tokens is expected to be 0.94 dex wide" in text
    assert text.endswith("Warning: one seed only.")


def test_a_dry_run_tells_the_shares_of_a_design_in_exposures() -> None:
    file = study(exposures=(500.0,))
    run = Estimate("x", 14_000, 14_000, 1_500_000, 0.4, 500.0, 1, False, 10, 1, 1.0, 1, 0.5)
    assert study_power(file).unit == "exposures"
    known = study_power(file, [run])
    assert known.unit == "share"
    assert any("largest dose, a share of 0.4," in warning for warning in known.warnings)
    assert [reach.size for reach in known.reaches] == [28_000]


def test_power_reads_nothing_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs.csv").write_text("no table of runs")
    monkeypatch.chdir(tmp_path)
    assert study_power(study(exposures=(500.0,))).unit == "exposures"
