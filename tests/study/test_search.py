"""The search: a pure function of the runs done; it finds a collapse where there is one and says where there is none.

Runs are of a simulated world; a run's result depends on the run alone.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from fakelab import Died, FakeLab

from infusionlaw.console import ConsoleWatch
from infusionlaw.law.design import look
from infusionlaw.law.design.look import BEFORE_GRID, LOCATED, NONE, SPENT, UNLEARNED
from infusionlaw.law.design.simulate import TrueLaw, World, simulate
from infusionlaw.law.dose import log_odds
from infusionlaw.law.points.point import read_points
from infusionlaw.pipeline import dry_run, run_study
from infusionlaw.report.power import evenly, most_minutes, search_text, study_power
from infusionlaw.report.status import status_text
from infusionlaw.runs.record import RunRecord, RunSpec
from infusionlaw.runs.table import read_table
from infusionlaw.settings import StudyFile
from infusionlaw.study import search
from infusionlaw.study.search import judged, most_runs, opening, rounds, tried

SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97)
CLEAR = World(collapse=TrueLaw(0.4, 0.3), fall=0.5, spread=0.01)


def study(sizes=(15_000, 30_000), **search) -> StudyFile:
    design = {"design": "search", "sizes": sizes, "tokens": [1_500_000], "shares": SHARES}
    return StudyFile.model_validate({"name": "s", "design": design, "search": {"runs": 32, **search}})


def measure(world: World):
    def record(spec: RunSpec) -> RunRecord:
        rng = np.random.default_rng([spec.size, spec.seed, int(1e6 * spec.dose)])
        (row,), _ = simulate(world, [spec.size], [spec.tokens], [spec.dose], 1, rng)
        return replace(row, seed=spec.seed, run=spec.id)

    return record


def forget() -> None:
    """Forget what was decided, as another process has: what comes next must follow from the runs alone."""
    for part in (look, search):
        for name in vars(part).values():
            if hasattr(name, "cache_clear"):
                name.cache_clear()


def searched(world: World, file: StudyFile):
    """All runs of a search, and where its curves ended."""
    steps = list(rounds(file, "d", measure(world)))
    return [spec for step in steps for spec in step.specs], steps[-1].states


def test_it_starts_with_every_dose_once_and_dose_zero() -> None:
    first = next(rounds(study(), "d", lambda spec: None))
    assert list(first.specs) == opening(study(), "d")
    for size in (15_000, 30_000):
        own = [spec for spec in first.specs if spec.size == size]
        assert [spec.dose for spec in own] == [0.0, *SHARES]
        assert len({spec.seed for spec in own}) == len(own)


def test_doses_that_may_be_tried_hold_the_given_ones_and_lie_close() -> None:
    doses = tried(study())
    assert set(SHARES) <= set(doses)
    assert doses[0] == SHARES[0] and doses[-1] == SHARES[-1]
    gaps = np.diff(log_odds(doses))
    assert gaps.min() > 0.04 and gaps.max() < 0.105
    counted = StudyFile.model_validate(
        {"name": "s", "design": {"design": "search", "sizes": [14_000], "tokens": [1_500_000], "exposures": [10, 100]}}
    )
    assert np.allclose(np.diff(np.log10(tried(counted))), 0.1, atol=0.001)


def test_a_known_collapse_is_found_with_runs_near_it() -> None:
    specs, states = searched(CLEAR, study())
    for state in states:
        truth = 0.4 + 0.3 * np.log10(state.size / 3e4)
        assert state.over == LOCATED
        assert state.x.low - 0.05 <= truth <= state.x.high + 0.05
        assert (state.x.high - state.x.low) / 2 <= 0.1
        assert state.runs == sum(spec.size == state.size for spec in specs) < 32
    added = [log_odds(spec.dose) for spec in specs[16:]]
    assert np.median(np.abs(np.array(added) - 0.4)) < 0.6


def test_an_interval_must_be_narrow_in_two_successive_rounds() -> None:
    steps = list(rounds(study((30_000,)), "d", measure(CLEAR)))
    assert steps[-1].states[0].over == LOCATED
    before = tuple(measure(CLEAR)(spec) for step in steps[:-2] for spec in step.specs)  # all but the last round of runs
    assert judged(study((30_000,)), (before,), 0).over == LOCATED


def test_rounds_depend_on_nothing_but_the_runs_done() -> None:
    first = searched(CLEAR, study((30_000,)))
    forget()
    assert searched(CLEAR, study((30_000,))) == first
    other, _ = searched(replace(CLEAR, collapse=TrueLaw(-0.2)), study((30_000,)))
    assert other != first[0]


@pytest.mark.parametrize("known", [0, 5, 16, 19, 22])
def test_an_unfinished_round_is_asked_for_again(known: int) -> None:
    whole = list(rounds(study(), "d", measure(CLEAR)))
    specs = [spec for step in whole for spec in step.specs]
    done = {spec.id: measure(CLEAR)(spec) for spec in specs[:known]}
    part = list(rounds(study(), "d", lambda spec: done.get(spec.id)))
    assert part == whole[: len(part)]
    assert any(spec.id not in done for spec in part[-1].specs)
    assert all(spec.id in done for step in part[:-1] for spec in step.specs)


def test_a_world_without_collapse_is_told_so() -> None:
    specs, states = searched(World(collapse=None, spread=0.01), study())
    assert {state.over for state in states} == {NONE}
    assert all(state.x.value is None or state.x.value > log_odds(0.97) - 0.1 for state in states)
    assert len(specs) < 64


def test_facts_never_learned_and_a_collapse_before_all_doses_end_a_search() -> None:
    _, states = searched(World(acquisition=None, spread=0.01), study((15_000,)))
    assert states[0].over == UNLEARNED
    early = World(collapse=TrueLaw(-1.2), acquisition=TrueLaw(-2.5), fall=1.5, spread=0.01)
    _, states = searched(early, study((30_000,), runs=60))
    assert states[0].over == BEFORE_GRID


def test_no_curve_takes_more_runs_than_it_may() -> None:
    noisy = replace(CLEAR, spread=0.1)
    specs, states = searched(noisy, study((15_000, 30_000), runs=13, width=0.01))
    assert {state.over for state in states} == {SPENT}
    assert set(Counter(spec.size for spec in specs).values()) == {13}
    assert len({spec.id for spec in specs}) == len(specs)
    assert most_runs(study(runs=3)) == len(SHARES) + 1


def test_a_larger_size_starts_around_what_the_smaller_ones_predict() -> None:
    _, states = searched(CLEAR, study((15_000, 30_000, 60_000)))
    steps = list(rounds(study((15_000, 30_000, 60_000)), "d", measure(CLEAR)))
    first = next(step for step in steps if any(spec.size == 60_000 for spec in step.specs))
    assert all(state.over for state in first.states if state.size < 60_000)
    start = [spec.dose for spec in first.specs]
    assert 0.0 in start and len(start) < len(SHARES) + 1
    x = 0.4 + 0.3 * np.log10(2)
    assert sum(abs(log_odds(dose) - x) < 0.75 for dose in start if dose) >= 4
    assert states[-1].over == LOCATED
    assert states[-1].runs <= max(state.runs for state in states[:2])


def test_two_doses_lie_on_the_plateau_before_a_curve_is_located() -> None:
    short = World(collapse=TrueLaw(0.3), acquisition=TrueLaw(-0.4), rise=0.4, fall=0.5, spread=0.01)
    specs, states = searched(short, study((30_000,)))
    assert states[0].over == LOCATED
    assert len({spec.dose for spec in specs if -0.02 <= log_odds(spec.dose or 1e-9) <= 0.32}) >= 2


def test_dead_runs_count_and_a_dead_curve_ends() -> None:
    dead = lambda spec: RunRecord(spec.size, spec.tokens, share=spec.dose, status="diverged")  # noqa: E731
    *_, last = rounds(study(), "d", dead)
    assert all("fewer than two doses" in state.over for state in last.states)


def test_any_table_can_be_judged_by_the_same_rules() -> None:
    rows, _ = simulate(CLEAR, [30_000], [1_500_000], (0, *tried(study())), 3, np.random.default_rng(3))
    state = judged(study(), (tuple(rows),), 0)
    assert state.runs == len(rows) and state.over == LOCATED
    few = [row for row in rows if row.share in (0, *SHARES)]
    assert judged(study(runs=32), (tuple(few[:8]),), 0).over == ""


TOML = """
name = "searched"
[design]
design = "search"
sizes = [14_000, 28_000, 56_000]
tokens = [1_500_000]
shares = [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.97]
[search]
runs = 24
[held_out]
sizes = [112_000]
seeds = [1]
[law]
draws = 100
"""


@pytest.fixture
def toml(tmp_path):
    (tmp_path / "study.toml").write_text(TOML)
    return tmp_path / "study.toml"


def test_a_study_searches_predicts_and_goes_on_after_a_stop(tmp_path, toml) -> None:
    whole = run_study(toml, tmp_path / "whole", FakeLab(CLEAR))
    with pytest.raises(Died):
        run_study(toml, tmp_path / "part", FakeLab(CLEAR, dies_after=19))
    assert "of 3 curves are over; a curve takes 24 runs at most" in status_text(tmp_path / "part")
    assert "56k, 1.5M tokens: not begun" in status_text(tmp_path / "part")
    forget()
    lab = FakeLab(CLEAR)
    with ConsoleWatch() as watch:
        part = run_study(toml, tmp_path / "part", lab, watch)
    for name in ("table.csv", "law.json", "points.json", "plan.json"):
        assert (part.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    rows = read_table(whole.folder / "fitted.csv")
    assert len(rows) == len(whole.fitted) <= 3 * 24
    assert len(lab.log) == len(rows) + 8 - 19
    points = [p for p in read_points(whole.folder / "points.json") if p.kind == "collapse" and p.size < 1e5]
    assert {point.status for point in points} == {"found"}
    assert "3 of 3 curves are over" in status_text(whole.folder)
    assert all(state.over == LOCATED for state in whole.states)


def test_a_dry_run_and_the_power_say_the_most_that_a_search_takes(tmp_path, toml) -> None:
    from infusionlaw.settings import read_study_file

    file, estimates = read_study_file(toml), dry_run(toml, tmp_path / "out", FakeLab())
    assert len(estimates) == 3 * 8 + 8
    assert most_minutes(file, estimates) == (3 * 24 + 8) / 2
    assert "starts with 8 runs or fewer and takes 24 at most" in search_text(file)
    assert evenly(file).design.seeds == (1, 2, 3) and evenly(file).design.design == "grid"
    assert study_power(file).curves > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOML.replace("runs = 24", "run = 24"), 'unknown key "run" in [search]; did you mean "runs"?'),
        (TOML.replace('"search"\n', '"serach"\n', 1), '"design.design" is'),
        (TOML.replace("runs = 24", "width = 0"), '"search.width" is 0'),
    ],
)
def test_a_mistake_in_a_search_is_one_sentence(toml, text, message) -> None:
    from infusionlaw.errors import InputError
    from infusionlaw.settings import read_study_file

    toml.write_text(text)
    with pytest.raises(InputError) as error:
        read_study_file(toml)
    assert message in str(error.value)
