"""A search, end to end in simulated worlds: it locates, says when there is nothing, and may be killed anywhere."""

import pytest
from fakelab import Died, FakeLab

from infusionlaw.chain import run_study
from infusionlaw.law.simulate import World
from infusionlaw.search import most_runs, tried

STUDY = """
name = "searched"
[design]
design = "search"
sizes = [14_000, 28_000, 56_000]
budgets = [1_500_000]
shares = [0.1, 0.5, 0.8, 0.97]
seeds = [1]
[search]
runs = 16
[law]
draws = 100
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    (folder / "study.toml").write_text(STUDY)
    return run_study(folder / "study.toml", folder / "out", FakeLab())


def test_every_curve_ends_with_a_reason_within_its_runs(done) -> None:
    states = done.states
    assert [state.size for state in states] == [14_000, 28_000, 56_000]
    assert all(state.over and state.runs <= most_runs(done.file) for state in states)
    assert len(done.records(done.fitted)) == sum(state.runs for state in states)


def test_doses_stay_in_range_and_seeds_differ(done) -> None:
    allowed = {0.0, *tried(done.file)}
    for size in done.file.design.sizes:
        own = [spec for spec in done.fitted if spec.size == size]
        assert {spec.dose for spec in own} <= allowed
        assert len({spec.seed for spec in own}) == len(own)


@pytest.mark.parametrize("dies_after", [3, 12, 19])
def test_a_search_killed_anywhere_asks_for_the_same_runs(done, tmp_path, study, dies_after) -> None:
    with pytest.raises(Died):
        run_study(study, tmp_path / "out", FakeLab(dies_after=dies_after))
    again = run_study(study, tmp_path / "out", FakeLab())
    assert again.fitted == done.fitted
    assert (again.folder / "points.json").read_bytes() == (done.folder / "points.json").read_bytes()


def test_a_world_without_collapse_has_none_located(tmp_path, study) -> None:
    found = run_study(study, tmp_path / "out", FakeLab(World(collapse=None, spread=0.0)))
    assert "located" not in {state.over for state in found.states}
