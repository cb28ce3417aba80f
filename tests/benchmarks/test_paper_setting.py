from pathlib import Path

import pytest

from benchmarks.paper_setting import LEAST_FALL, Place, Setting, main, setting, verdict
from infusionlaw.law.dose import Interval


@pytest.fixture(scope="module")
def study() -> Setting:
    return setting(1)


def test_the_study_is_the_papers_and_its_truth_is_the_worlds(study: Setting) -> None:
    assert [place.size for place in study.places] == [137e6, 300e6, 700e6, 1.5e9, 3e9]
    assert study.world.unit == "exposures" and study.target.size == 7e9
    assert study.world.plateau["retention"] - study.world.floor["retention"] >= LEAST_FALL
    for place in (*study.places, study.target):
        assert place.truth == study.world.x("retention", place.size, 1e11)


def test_it_says_whether_the_prediction_held(study: Setting) -> None:
    def told(law: Interval) -> str:
        target = Place(7e9, "predicted", Interval(), law, 2.0)
        return verdict(Setting(study.number, study.world, study.rows, study.places, target, ()))

    assert "inside" in told(Interval(1.9, 1.5, 2.5)) and "0.10 dex higher" in told(Interval(1.9, 1.5, 2.5))
    assert "outside" in told(Interval(2.5, 2.2, 2.8)) and "lower" in told(Interval(2.5, 2.2, 2.8))
    assert "no prediction" in told(Interval())


def test_the_page_has_its_figures_and_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--out", str(tmp_path)])
    page, printed = (tmp_path / "paper-setting.md").read_text(), capsys.readouterr().out
    for name in ("curves", "law"):
        assert f"paper-setting/{name}.png" in page
        assert (tmp_path / "paper-setting" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert printed.split("\n\n")[0] in page
